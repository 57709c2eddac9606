/* io/shard.h - token shards: llm.c (uint16 and uint32 variants) and nanoGPT (raw uint16), memory-mapped. */
#ifndef BT_IO_SHARD_H
#define BT_IO_SHARD_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "io/file.h"

enum bt_shard_format { BT_SHARD_LLMC, BT_SHARD_NANOGPT };

struct bt_shard {
    struct bt_map map;
    const unsigned char *tokens; /* little-endian, `width` bytes each */
    size_t count;
    unsigned width; /* 2 or 4 */
};
enum bt_err bt_shard_open(const char *path, enum bt_shard_format format, struct bt_shard *shard, struct bt_diag *diag);
void bt_shard_close(struct bt_shard *shard); /* takes a zeroed one */
/* 0 <= first, first + n <= count. */
void bt_shard_read(const struct bt_shard *shard, size_t first, size_t n, int32_t *out);
/* Every id must be below vocab_size; the error names path, position and id. Ids of 2^31 and more are refused too. */
enum bt_err bt_shard_check(const struct bt_shard *shard, const char *path, uint64_t vocab_size, struct bt_diag *diag);

/* An llm.c shard that grows: uint16 ("gpt-2", version 1) when width is 2, uint32 ("llama-3", version 7) when it is 4.
 * Written under the name it is given. BT_EINPUT when an id does not fit or the count would reach 2^31. */
struct bt_shard_out;
enum bt_err bt_shard_out_open(const char *path, unsigned width, struct bt_shard_out **ret_out, struct bt_diag *diag);
enum bt_err bt_shard_out_append(struct bt_shard_out *out, const int32_t *tokens, size_t count, struct bt_diag *diag);
/* Completes the header, syncs; always frees out. */
enum bt_err bt_shard_out_close(struct bt_shard_out *out, struct bt_diag *diag);
void bt_shard_out_abandon(struct bt_shard_out *out); /* the file stays as it is; takes NULL */

/* Writes a whole shard bt_file_replace's rules. */
enum bt_err bt_shard_write(const char *path, const int32_t *tokens, size_t count, unsigned width, struct bt_diag *diag);

#endif
