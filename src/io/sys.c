#include "io/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/file.h"

int (*bt_io_hook)(const char *op, const char *path);

/* Whether the test hook wants this operation to fail; errno then says how. */
static bool told_to_fail(const char *op, const char *path)
{
    const int error = bt_io_hook ? bt_io_hook(op, path) : 0;
    if (error)
        errno = error;
    return error != 0;
}

enum bt_err bt_sys_fail(struct bt_diag *diag, enum bt_err err, const char *path, const char *what)
{
    return bt_fail(diag, err, "%s: cannot %s: %s", path, what, strerror(errno));
}

static int open_again(const char *path, int flags)
{
    int fd;
    do
        fd = open(path, flags | O_CLOEXEC, 0666);
    while (fd < 0 && errno == EINTR);
    return fd;
}

enum bt_err bt_sys_open_input(const char *path, int *ret_fd, struct bt_diag *diag)
{
    const int fd = open_again(path, O_RDONLY);
    if (fd < 0)
        return bt_sys_fail(diag, BT_EINPUT, path, "open");
    *ret_fd = fd;
    return BT_OK;
}

enum bt_err bt_sys_open(const char *path, int flags, int *ret_fd, struct bt_diag *diag)
{
    const int fd = told_to_fail("open", path) ? -1 : open_again(path, flags);
    if (fd < 0)
        return bt_sys_fail(diag, BT_EIO, path, "open for writing");
    *ret_fd = fd;
    return BT_OK;
}

enum bt_err bt_sys_write(int fd, const char *path, const void *data, size_t size, struct bt_diag *diag)
{
    /* writev only reads through the pointer, but its type has no const */
    struct iovec part = {.iov_base = (void *)(uintptr_t)data, .iov_len = size};
    return bt_sys_writev(fd, path, &part, 1, diag);
}

/* Takes `done` bytes off the front of the parts; returns how many parts are still to write, moved to the front. */
static int skip_written(struct iovec *parts, int count, size_t done)
{
    int first = 0;
    while (first < count && done >= parts[first].iov_len)
        done -= parts[first++].iov_len;
    memmove(parts, parts + first, (size_t)(count - first) * sizeof parts[0]);
    if (first < count) {
        parts[0].iov_base = (char *)parts[0].iov_base + done;
        parts[0].iov_len -= done;
    }
    return count - first;
}

enum bt_err bt_sys_writev(int fd, const char *path, struct iovec *parts, int count, struct bt_diag *diag)
{
    count = skip_written(parts, count, 0);
    while (count > 0) {
        const ssize_t done = told_to_fail("write", path) ? -1 : writev(fd, parts, count);
        if (done < 0 && errno != EINTR)
            return bt_sys_fail(diag, BT_EIO, path, "write");
        count = skip_written(parts, count, done < 0 ? 0 : (size_t)done);
    }
    return BT_OK;
}

enum bt_err bt_sys_pwrite(int fd, const char *path, const void *data, size_t size, uint64_t at, struct bt_diag *diag)
{
    for (const char *bytes = data; size > 0;) {
        const ssize_t done = told_to_fail("write", path) ? -1 : pwrite(fd, bytes, size, (off_t)at);
        if (done < 0 && errno != EINTR)
            return bt_sys_fail(diag, BT_EIO, path, "write");
        if (done > 0) {
            bytes += done;
            size -= (size_t)done;
            at += (uint64_t)done;
        }
    }
    return BT_OK;
}

enum bt_err bt_sys_sync(int fd, const char *path, struct bt_diag *diag)
{
    int failed;
    do
        failed = told_to_fail("sync", path) || fsync(fd);
    while (failed && errno == EINTR);
    if (failed && errno != EINVAL) /* pipes, and folders of some file systems: nothing there to sync */
        return bt_sys_fail(diag, BT_EIO, path, "sync");
    return BT_OK;
}

enum bt_err bt_sys_truncate(int fd, const char *path, uint64_t size, struct bt_diag *diag)
{
    int failed;
    do
        failed = told_to_fail("truncate", path) || ftruncate(fd, (off_t)size);
    while (failed && errno == EINTR);
    return failed ? bt_sys_fail(diag, BT_EIO, path, "cut") : BT_OK;
}

enum bt_err bt_sys_rename(const char *from, const char *to, struct bt_diag *diag)
{
    if (told_to_fail("rename", to) || rename(from, to))
        return bt_fail(diag, BT_EIO, "%s: cannot rename to %s: %s", from, to, strerror(errno));
    return BT_OK;
}

enum bt_err bt_sys_link(const char *from, const char *to, bool *ret_linked, struct bt_diag *diag)
{
    *ret_linked = !told_to_fail("link", to) && link(from, to) == 0;
    if (*ret_linked || errno == EPERM || errno == EXDEV || errno == EMLINK || errno == EOPNOTSUPP || errno == ENOSYS)
        return BT_OK;
    return bt_fail(diag, BT_EIO, "%s: cannot link to %s: %s", from, to, strerror(errno));
}

enum bt_err bt_sys_mkdir(const char *path, struct bt_diag *diag)
{
    if (!told_to_fail("mkdir", path) && mkdir(path, 0777) == 0)
        return BT_OK;
    if (errno == EEXIST && bt_dir_exists(path))
        return BT_OK;
    return bt_sys_fail(diag, BT_EIO, path, "make this folder");
}

enum bt_err bt_sys_remove(const char *path, struct bt_diag *diag)
{
    if (told_to_fail("remove", path) || remove(path))
        return bt_sys_fail(diag, BT_EIO, path, "remove");
    return BT_OK;
}
