/* io/shard_layout.h - llm.c's header: 256 int32, of which the first three are magic, version and token count and the
 * others are zero. Shared by the reader and the writer of shards. */
#ifndef BT_IO_SHARD_LAYOUT_H
#define BT_IO_SHARD_LAYOUT_H

#include <stdint.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "a big-endian machine would need byte swaps");

#define BT_LLMC_HEADER 1024

struct bt_llmc_variant {
    int32_t magic, version;
    unsigned width; /* bytes of a token */
};
extern const struct bt_llmc_variant bt_llmc_variants[2]; /* "gpt-2" with uint16 and "llama-3" with uint32 */

#endif
