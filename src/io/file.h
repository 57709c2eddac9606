/* io/file.h - reading by mapping, writing by "write beside, sync, rename". Nothing is ever half-written under its own
 * name. Every write, sync and rename of the project passes through here, and through the test hook below. */
#ifndef BT_IO_FILE_H
#define BT_IO_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* A file mapped read-only. An empty file maps to size 0 and a non-NULL pointer. */
struct bt_map {
    const unsigned char *data;
    size_t size;
};
enum bt_err bt_map_open(const char *path, struct bt_map *map, struct bt_diag *diag); /* BT_EINPUT when it can't */
void bt_map_close(struct bt_map *map);                                               /* takes a zeroed one */

/* A file being written under the name it is given (a temporary one, or one inside a temporary folder). Buffered. */
struct bt_out;
enum bt_err bt_out_open(const char *path, struct bt_out **ret_out, struct bt_diag *diag);
/* The same for path + ".tmp", which closing renames to path: the old file stays whole until the new one is. */
enum bt_err bt_out_replace(const char *path, struct bt_out **ret_out, struct bt_diag *diag);
enum bt_err bt_out_write(struct bt_out *out, const void *data, size_t size, struct bt_diag *diag);
/* Puts other bytes in the place of `size` that were written already, `at` bytes from the beginning: for a header that
 * knows what comes after it. The hash stays that of what bt_out_write was given. */
enum bt_err bt_out_patch(struct bt_out *out, uint64_t at, const void *data, size_t size, struct bt_diag *diag);
/* Flushes, syncs and closes; always frees out. bt_out_hash is the XXH3-64 of all that was written so far. */
enum bt_err bt_out_close(struct bt_out *out, struct bt_diag *diag);
void bt_out_abandon(struct bt_out *out); /* closes without syncing, removes a ".tmp"; takes NULL */
uint64_t bt_out_hash(const struct bt_out *out);

/* Writes a whole file under the name it is given, synced: for files inside a temporary folder. */
enum bt_err bt_file_write(const char *path, const void *data, size_t size, struct bt_diag *diag);
/* Replaces path whole: path + ".tmp" is written, synced and renamed, and the folder synced. A failure leaves the old
 * file or the new one; what a kill leaves beside it, the next call overwrites. */
enum bt_err bt_file_replace(const char *path, const void *data, size_t size, struct bt_diag *diag);
/* Renames a finished folder or file into place (the target must not exist, or be an empty folder) and syncs the
 * parents. */
enum bt_err bt_file_rename(const char *from, const char *to, struct bt_diag *diag);
/* The same for a file whose name others may take at the same moment: the last one stays. */
enum bt_err bt_file_rename_over(const char *from, const char *to, struct bt_diag *diag);
enum bt_err bt_file_copy(const char *from, const char *to, struct bt_diag *diag); /* writes `to` directly, synced */
/* A second name for the same file, or a copy where the disk cannot give it one. `to` must not exist. */
enum bt_err bt_file_link(const char *from, const char *to, struct bt_diag *diag);

enum bt_err bt_dir_make(const char *path, struct bt_diag *diag); /* with parents; existing is fine */
enum bt_err bt_dir_sync(const char *path, struct bt_diag *diag);
enum bt_err bt_dir_remove(const char *path, struct bt_diag *diag); /* a whole tree; absent is fine */
bool bt_file_exists(const char *path);                             /* anything of that name */
bool bt_dir_exists(const char *path);
bool bt_file_is_older(const char *path, int64_t seconds); /* last written before that; false when it is gone */
enum bt_err bt_file_read(const char *path, char **ret_text, size_t *ret_size, struct bt_diag *diag); /* NUL added */
enum bt_err bt_file_hash(const char *path, uint64_t *ret_hash, uint64_t *ret_size, struct bt_diag *diag); /* XXH3-64 */
enum bt_err bt_file_hash_in(const char *folder, const char *name, uint64_t *ret_hash, uint64_t *ret_size,
                            struct bt_diag *diag);
/* A hash as files and messages show it: 16 hexadecimal digits. */
struct bt_hash_text {
    char text[17];
};
struct bt_hash_text bt_hash_text(uint64_t hash);
/* Bytes that may still be written there; for a path to come, those of its nearest parent. */
enum bt_err bt_disk_free(const char *path, uint64_t *ret_bytes, struct bt_diag *diag);
/* Names in a folder, sorted by bytes, without "." and ".."; free with bt_names_free. */
enum bt_err bt_dir_list(const char *path, char ***ret_names, size_t *ret_count, struct bt_diag *diag);
/* Files that match a shell glob, sorted; a pattern without a match is BT_EINPUT. */
enum bt_err bt_glob(const char *pattern, char ***ret_paths, size_t *ret_count, struct bt_diag *diag);
void bt_names_free(char **names, size_t count);
char *bt_path_join(const char *folder, const char *name); /* NULL when memory is out */
char *bt_path_parent(const char *path); /* the folder it lies in, "." for a plain name; NULL when memory is out */

/* Test hook: called before each operation that changes the disk. A non-zero return is the errno the operation then
 * fails with, without being carried out. op is "open", "write", "sync", "rename", "link", "remove", "mkdir" or
 * "truncate". NULL: none. */
extern int (*bt_io_hook)(const char *op, const char *path);

/* Appends and cuts: for metrics.jsonl. A line is given without its newline, and line and newline are one write. Opening
 * cuts the file back to keep_bytes; a shorter file is BT_EINPUT. A line that does not go in whole leaves nothing. */
#define BT_APPEND_KEEP_ALL UINT64_MAX
struct bt_append;
enum bt_err bt_append_open(const char *path, uint64_t keep_bytes, struct bt_append **ret_file, struct bt_diag *diag);
enum bt_err bt_append_line(struct bt_append *file, const char *line, size_t length, struct bt_diag *diag);
uint64_t bt_append_size(const struct bt_append *file);
enum bt_err bt_append_sync(struct bt_append *file, struct bt_diag *diag);
void bt_append_close(struct bt_append *file); /* takes NULL */

#endif
