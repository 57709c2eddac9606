/* text/shard_set.h - documents written to PREFIX-000000.bin, PREFIX-000001.bin and so on (llm.c's layout), with their
 * label masks in PREFIX-000000.mask and so on (io/mask.h).
 *
 * Until all is done everything lies under names that end in ".tmp". Finishing puts it in the place of every shard
 * that stood there under that prefix: of a longer set, none must stay behind. What a kill leaves, the next set of that
 * prefix clears away. */
#ifndef BT_TEXT_SHARD_SET_H
#define BT_TEXT_SHARD_SET_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "text/manifest.h"

#define BT_SHARD_TOKENS_MAX   ((uint64_t)INT32_MAX)
#define BT_SHARD_TOKENS_USUAL 100000000

/* width: bytes of a token, 2 or 4. shard_tokens: 1 .. BT_SHARD_TOKENS_MAX. Makes the folder. prefix is borrowed. */
struct bt_shard_set;
enum bt_err bt_shard_set_open(const char *prefix, unsigned width, uint64_t shard_tokens, struct bt_shard_set **ret_set,
                              struct bt_diag *diag);
/* A document with its separators. It goes whole into one shard, unless it is longer than a shard: then it begins one
 * and fills as many as it needs. labels (count): 1 for tokens that may be labels, else 0, or NULL: the shards get no
 * masks; the same for every document of a set. bytes: of its text, for the counts. */
enum bt_err bt_shard_set_add(struct bt_shard_set *set, const int32_t *tokens, const unsigned char *labels, size_t count,
                             uint64_t bytes, struct bt_diag *diag);
/* Removes PREFIX.json, which describes what is replaced now, and renames, a mask before its shard: a shard never stands
 * there without the mask that belongs to it. BT_EINPUT when there is no token at all. */
enum bt_err bt_shard_set_finish(struct bt_shard_set *set, struct bt_diag *diag);
void bt_shard_set_close(struct bt_shard_set *set); /* removes what was not renamed; takes NULL */

/* Shards so far; what they hold is known once it is finished. */
const struct bt_shard_entry *bt_shard_set_entries(const struct bt_shard_set *set, size_t *ret_count);

#endif
