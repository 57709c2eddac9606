/* io/mask.h - which tokens of a shard are there to be learned, and where its documents begin: a .mask file beside the
 * shard, which itself keeps the layout that other programs read.
 *
 * Little-endian, n tokens:
 *   0    8 bytes        "BT-MASK\n"
 *   8    uint32         1, the version
 *   12   uint32         2, the number of planes
 *   16   uint64         n
 *   24   uint64         XXH3-64 of the shard's file
 *   32   ceil(n/8)      labels: bit i % 8 of byte i / 8 is 1 when token i may be a label
 *   ..   ceil(n/8)      beginnings: the bit is 1 when token i is the first of a document
 *   ..   uint64         XXH3-64 of everything in front of it
 * Bits behind the last token are 0. The chat formats put their BOS and EOS inside of documents too, so the beginnings
 * cannot be found by ids. */
#ifndef BT_IO_MASK_H
#define BT_IO_MASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "io/file.h"
#include "io/shard.h"

/* "a.mask" for "a.bin", "a.tokens.mask" for "a.tokens". NULL when memory is out. */
char *bt_mask_path(const char *shard_path);

struct bt_mask { /* zeroed: there is none, every token may be a label */
    struct bt_map map;
    const unsigned char *labels, *begins; /* the planes */
    size_t count;                         /* tokens */
};
/* Checks every byte, and that the file was made for this shard. BT_EINPUT. */
enum bt_err bt_mask_open(const char *path, const struct bt_shard *shard, const char *shard_path,
                         struct bt_mask *ret_mask, struct bt_diag *diag);
void bt_mask_close(struct bt_mask *mask); /* takes a zeroed one */
bool bt_mask_exists(const struct bt_mask *mask);

/* Token i, below count, of a mask that exists. */
bool bt_mask_is_label(const struct bt_mask *mask, size_t i);
bool bt_mask_begins(const struct bt_mask *mask, size_t i);
/* How many of the tokens first .. first + n - 1 may be labels. */
size_t bt_mask_labels(const struct bt_mask *mask, size_t first, size_t n);

/* A mask that grows along with its shard; in memory, a quarter of a byte a token. */
struct bt_mask_out { /* zeroed: empty */
    unsigned char *planes[2];
    size_t count, capacity; /* tokens, bytes of a plane */
};
/* n tokens: which may be labels (n bytes of 0 or 1), and whether a document begins with the first of them. False when
 * memory is out; then nothing was added. */
bool bt_mask_out_append(struct bt_mask_out *out, const unsigned char *labels, size_t n, bool begins);
/* Writes it under the name it is given, synced, and empties out. */
enum bt_err bt_mask_out_write(struct bt_mask_out *out, const char *path, uint64_t shard_hash, uint64_t *ret_hash,
                              struct bt_diag *diag);
void bt_mask_out_finish(struct bt_mask_out *out);

#endif
