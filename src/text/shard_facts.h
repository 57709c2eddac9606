/* text/shard_facts.h - what a token shard holds: its documents and its kinds of tokens. */
#ifndef BT_TEXT_SHARD_FACTS_H
#define BT_TEXT_SHARD_FACTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "io/mask.h"
#include "io/shard.h"
#include "text/separators.h"

/* The end of the document that begins at token `first`, which exists: behind its `after`, or in front of the next
 * `before`, as training sees it; of a shard with a mask (zeroed: it has none) where the mask lets the next one begin.
 * Without separators and mask a shard is one document. */
size_t bt_shard_document_end(const struct bt_shard *shard, const struct bt_mask *mask,
                             const struct bt_separators *separators, size_t first);

struct bt_shard_facts {
    int32_t smallest_id, largest_id;
    size_t documents;         /* a shard may end in the middle of one, or begin so */
    size_t shortest, longest; /* tokens with separators */
    size_t longest_at;        /* number of that document, from 0 */
    size_t unknown, byte_ids; /* tokens for what the vocabulary has no token for; with a tokenizer */
    size_t labels;            /* tokens that may be labels; without a mask all */
};
/* tokenizer may be NULL; else every id must be in its vocabulary (bt_shard_check). */
void bt_shard_facts(const struct bt_shard *shard, const struct bt_mask *mask, const struct bt_separators *separators,
                    const struct bt_tokenizer *tokenizer, struct bt_shard_facts *facts);

#endif
