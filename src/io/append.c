/* Files that grow line by line: metrics.jsonl. */
#include "io/file.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/sys.h"

struct bt_append {
    int fd;
    uint64_t size;
    char path[]; /* for messages */
};

/* Brings the file to keep_bytes. */
static enum bt_err cut(struct bt_append *file, uint64_t keep_bytes, struct bt_diag *diag)
{
    struct stat info;
    if (fstat(file->fd, &info))
        return bt_sys_fail(diag, BT_EIO, file->path, "look at");
    const uint64_t size = (uint64_t)info.st_size;
    file->size = keep_bytes == BT_APPEND_KEEP_ALL ? size : keep_bytes;
    if (size < file->size)
        return bt_fail(diag, BT_EINPUT, "%s: the file has %" PRIu64 " bytes where at least %" PRIu64 " were expected",
                       file->path, size, keep_bytes);
    return size > file->size ? bt_sys_truncate(file->fd, file->path, file->size, diag) : BT_OK;
}

enum bt_err bt_append_open(const char *path, uint64_t keep_bytes, struct bt_append **ret_file, struct bt_diag *diag)
{
    const size_t path_size = strlen(path) + 1;
    struct bt_append *file = bt_alloc(sizeof *file + path_size);
    if (!file)
        return bt_fail_nomem(diag);
    memcpy(file->path, path, path_size);
    enum bt_err err = bt_sys_open(path, O_WRONLY | O_CREAT | O_APPEND, &file->fd, diag);
    if (err) {
        bt_free(file);
        return err;
    }
    err = cut(file, keep_bytes, diag);
    if (err) {
        bt_append_close(file);
        return err;
    }
    *ret_file = file;
    return BT_OK;
}

enum bt_err bt_append_line(struct bt_append *file, const char *line, size_t length, struct bt_diag *diag)
{
    char newline = '\n';
    struct iovec parts[] = {{.iov_base = (void *)(uintptr_t)line, .iov_len = length},
                            {.iov_base = &newline, .iov_len = 1}};
    const enum bt_err err = bt_sys_writev(file->fd, file->path, parts, 2, diag);
    if (err)
        bt_sys_truncate(file->fd, file->path, file->size, NULL); /* a full disk may have taken half of the line */
    else
        file->size += length + 1;
    return err;
}

uint64_t bt_append_size(const struct bt_append *file)
{
    return file->size;
}

enum bt_err bt_append_sync(struct bt_append *file, struct bt_diag *diag)
{
    return bt_sys_sync(file->fd, file->path, diag);
}

void bt_append_close(struct bt_append *file)
{
    if (!file)
        return;
    close(file->fd);
    bt_free(file);
}
