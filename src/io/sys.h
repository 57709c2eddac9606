/* io/sys.h - the system calls that change the disk: each asks the test hook first, goes on after signals and short
 * writes, and leaves a sentence with the path and the reason. Private to src/io. */
#ifndef BT_IO_SYS_H
#define BT_IO_SYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/err.h"

/* "path: cannot <what>: <strerror(errno)>". */
enum bt_err bt_sys_fail(struct bt_diag *diag, enum bt_err err, const char *path, const char *what);

/* O_RDONLY, not inherited by children; BT_EINPUT. */
enum bt_err bt_sys_open_input(const char *path, int *ret_fd, struct bt_diag *diag);

/* All of these return BT_EIO on failure. flags are those of open(2), with O_CLOEXEC added. */
enum bt_err bt_sys_open(const char *path, int flags, int *ret_fd, struct bt_diag *diag);
enum bt_err bt_sys_write(int fd, const char *path, const void *data, size_t size, struct bt_diag *diag);
/* One writev(2) where the kernel takes it whole. parts is changed. */
enum bt_err bt_sys_writev(int fd, const char *path, struct iovec *parts, int count, struct bt_diag *diag);
enum bt_err bt_sys_pwrite(int fd, const char *path, const void *data, size_t size, uint64_t at, struct bt_diag *diag);
enum bt_err bt_sys_sync(int fd, const char *path, struct bt_diag *diag);
enum bt_err bt_sys_truncate(int fd, const char *path, uint64_t size, struct bt_diag *diag);
enum bt_err bt_sys_rename(const char *from, const char *to, struct bt_diag *diag);
/* *ret_linked is false, and nothing done, where the disk has no second names for this file. */
enum bt_err bt_sys_link(const char *from, const char *to, bool *ret_linked, struct bt_diag *diag);
enum bt_err bt_sys_mkdir(const char *path, struct bt_diag *diag);  /* existing is fine */
enum bt_err bt_sys_remove(const char *path, struct bt_diag *diag); /* a file or an empty folder */

#endif
