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

/* Writes an llm.c shard by bt_file_replace's rules: uint16 ("gpt-2", version 1) when width is 2, uint32 ("llama-3",
 * version 7) when it is 4. BT_EINPUT when an id does not fit or count is 2^31 or more. */
enum bt_err bt_shard_write(const char *path, const int32_t *tokens, size_t count, unsigned width, struct bt_diag *diag);

#endif
