/* io/stream.h - a file read from its beginning to its end, uncompressed on the way when it is gzip or Zstandard: the
 * name says so (".gz", ".zst"), or the first bytes do. */
#ifndef BT_IO_STREAM_H
#define BT_IO_STREAM_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* BT_EINPUT: the file cannot be opened, or is not what its name says. */
struct bt_stream;
enum bt_err bt_stream_open(const char *path, struct bt_stream **ret_stream, struct bt_diag *diag);
/* At least one byte and up to `size` (not 0) of them; 0 at the end. BT_EINPUT, naming the byte of the file: compressed
 * data that is damaged or ends early. After an error only closing is allowed. */
enum bt_err bt_stream_read(struct bt_stream *stream, void *data, size_t size, size_t *ret_size, struct bt_diag *diag);
void bt_stream_close(struct bt_stream *stream); /* takes NULL */

/* Of the file as it lies on the disk, compressed: how far it was read, and the XXH3-64 of what was. */
uint64_t bt_stream_position(const struct bt_stream *stream);
uint64_t bt_stream_hash(const struct bt_stream *stream);
uint64_t bt_stream_file_size(const struct bt_stream *stream); /* 0 when it is not known: a pipe */

/* The length of a name without ".gz" or ".zst". */
size_t bt_stream_plain_length(const char *path);

#endif
