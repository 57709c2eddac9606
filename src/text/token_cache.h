/* text/token_cache.h - token shards that stand for text files: made once, taken from a folder ever after.
 *
 *   <folder>/tokens-<key>/     what bt_tokenize writes, and cache.json with size and XXH3-64 of each of its files
 *   <folder>/tokens-<key>.lock held while the cache is looked at or made
 *
 * The key is a hash of all that the tokens depend on: the bytes of the inputs in their order (not their names), of
 * tokenizer.json, and the options. So what is there is right, unless its bytes are damaged: that is noticed each time,
 * and it is made again. It is made beside and renamed; what a kill leaves, the next one that makes it clears away. */
#ifndef BT_TEXT_TOKEN_CACHE_H
#define BT_TEXT_TOKEN_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "text/tokenize.h"

struct bt_token_cache_input {
    uint64_t size, hash; /* as it lies on the disk; XXH3-64 */
};

struct bt_token_cache {
    char **shards; /* (shard_count) paths, in the order of the documents */
    size_t shard_count;
    struct bt_token_cache_input *inputs; /* (input_count of the options) */
};

/* options: as for bt_tokenize, which says what its functions are for; prefix, input_hashes, shard_tokens and skip are
 * the cache's own. say (may be NULL) is told, with their context, of work and of waiting. Another process that holds
 * the cache is waited for; BT_ESTOPPED when options->stop gives up on that, or on the work. BT_EINPUT: an input cannot
 * be read, is not text, or changed meanwhile. */
enum bt_err bt_token_cache_get(const char *folder, const struct bt_tokenize_options *options,
                               void (*say)(void *context, const char *sentence), struct bt_token_cache *ret_cache,
                               struct bt_diag *diag);
void bt_token_cache_finish(struct bt_token_cache *cache); /* takes a zeroed one */

#endif
