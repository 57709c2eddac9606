#include "io/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/sys.h"

struct bt_lock {
    int fd;
};

struct holder {
    int pid;
    char host[65];
};

/* Reads what the holder wrote. It may be in the middle of writing it. */
static bool read_holder(int fd, struct holder *ret_holder)
{
    char text[128];
    const ssize_t size = pread(fd, text, sizeof text - 1, 0);
    text[size > 0 ? size : 0] = '\0';
    return sscanf(text, "%d %64s", &ret_holder->pid, ret_holder->host) == 2;
}

static enum bt_err fail_in_use(int fd, const char *path, struct bt_diag *diag)
{
    struct holder holder;
    if (!read_holder(fd, &holder))
        return bt_fail(diag, BT_EINPUT, "%s: is in use by another process", path);
    return bt_fail(diag, BT_EINPUT, "%s: is in use by process %d on host %s", path, holder.pid, holder.host);
}

/* Not fcntl's record locks, which a process loses by closing any other descriptor of the file. */
static enum bt_err lock_descriptor(int fd, const char *path, bool *ret_busy, struct bt_diag *diag)
{
    int failed;
    do
        failed = flock(fd, LOCK_EX | LOCK_NB);
    while (failed && errno == EINTR);
    *ret_busy = failed && errno == EWOULDBLOCK;
    if (*ret_busy)
        return fail_in_use(fd, path, diag);
    return failed ? bt_sys_fail(diag, BT_EIO, path, "lock") : BT_OK;
}

static void name_host(char host[65])
{
    memset(host, 0, 65);
    gethostname(host, 64); /* a host without a name is none to stop for */
    if (!*host)
        strcpy(host, "unknown");
}

static enum bt_err sign(int fd, const char *path, struct bt_diag *diag)
{
    char host[65], text[128];
    name_host(host);
    snprintf(text, sizeof text, "%ld %s\n", (long)getpid(), host);
    const enum bt_err err = bt_sys_truncate(fd, path, 0, diag);
    return err ? err : bt_sys_write(fd, path, text, strlen(text), diag);
}

enum bt_err bt_lock_take(const char *path, struct bt_lock **ret_lock, struct bt_diag *diag)
{
    bool busy;
    return bt_lock_try(path, &busy, ret_lock, diag);
}

enum bt_err bt_lock_try(const char *path, bool *ret_busy, struct bt_lock **ret_lock, struct bt_diag *diag)
{
    *ret_busy = false;
    struct bt_lock *lock = bt_alloc(sizeof *lock);
    if (!lock)
        return bt_fail_nomem(diag);
    enum bt_err err = bt_sys_open(path, O_RDWR | O_CREAT, &lock->fd, diag);
    if (err) {
        bt_free(lock);
        return err;
    }
    err = lock_descriptor(lock->fd, path, ret_busy, diag);
    if (!err)
        err = sign(lock->fd, path, diag);
    if (err) {
        close(lock->fd);
        bt_free(lock);
        return err;
    }
    *ret_lock = lock;
    return BT_OK;
}

bool bt_lock_has_holder(const char *path)
{
    struct holder holder;
    char host[65];
    int fd;
    if (bt_sys_open_input(path, &fd, NULL))
        return false;
    const bool named = read_holder(fd, &holder) && holder.pid > 0;
    close(fd);
    name_host(host);
    return named && (strcmp(host, holder.host) != 0 || !kill(holder.pid, 0) || errno == EPERM);
}

int bt_lock_descriptor(const struct bt_lock *lock)
{
    return lock->fd;
}

void bt_lock_release(struct bt_lock *lock)
{
    if (!lock)
        return;
    bt_sys_truncate(lock->fd, "lock", 0, NULL); /* nobody's name in a lock that nobody holds */
    close(lock->fd);
    bt_free(lock);
}
