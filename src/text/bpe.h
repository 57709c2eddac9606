/* text/bpe.h - byte-pair encoding of one word: its characters become symbols, and the adjacent pair that the file
 * merges first (of equals the leftmost) is merged, until no pair of the file is left. */
#ifndef BT_TEXT_BPE_H
#define BT_TEXT_BPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "text/token_table.h"
#include "text/tokenizer.h"

#define BT_BPE_MARK "\xE2\x96\x81" /* '▁', for a space in SentencePiece's spelling */

struct bt_bpe {
    const struct bt_token_table *tokens; /* as the file spells them, those of the model first; borrowed */
    int32_t count;                       /* of the model's tokens */
    bool letters;                        /* words are bytes, tokens are spelled in the letters of byte-level BPE */
    bool byte_fallback, fuse_unknown;
    int32_t unknown;           /* id, or BT_TOKEN_ABSENT: a character without token is dropped */
    int32_t byte_token[256];   /* of <0xHH>, or BT_TOKEN_ABSENT */
    int32_t letter_token[256]; /* letters: of a byte; otherwise of an ASCII character; or BT_TOKEN_ABSENT */
    /* With ignore_merges a word that is a token stays whole. Numbers of `whole` are ids when words are text; when they
     * are bytes, whole_ids maps them. */
    bool ignore_merges;
    struct bt_token_table whole;
    int32_t *whole_ids;
    /* No merge joins anything to a '▁' behind it, so words can be cut there and give the same ids. */
    bool cut_at_marks;

    struct bt_merge {  /* open addressing; rank and id are of no meaning in a free slot */
        uint64_t pair; /* (left << 32 | right) + 1, or 0: free */
        uint32_t rank;
        int32_t id;
    } * merges;
    size_t merge_mask;
};

/* Where a pair stands in merges, or the free slot where it belongs. Fibonacci hashing, folded so that the low bits have
 * seen all of the key. */
static inline struct bt_merge *bt_bpe_slot(const struct bt_bpe *bpe, int32_t left, int32_t right)
{
    const uint64_t pair = ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) + 1;
    const uint64_t mixed = pair * UINT64_C(0x9E3779B97F4A7C15);
    size_t i = (mixed ^ mixed >> 32) & bpe->merge_mask;
    while (bpe->merges[i].pair && bpe->merges[i].pair != pair)
        i = (i + 1) & bpe->merge_mask;
    return &bpe->merges[i];
}

/* The model's token of a spelling. */
static inline int32_t bt_bpe_find(const struct bt_bpe *bpe, const char *spelling, size_t size)
{
    const int32_t id = bt_token_table_find(bpe->tokens, spelling, size);
    return id < bpe->count ? id : BT_TOKEN_ABSENT;
}

/* Room for `count` merges. False when memory is out. */
bool bt_bpe_reserve_merges(struct bt_bpe *bpe, size_t count);
/* Of equal pairs the later one counts. */
void bt_bpe_add_merge(struct bt_bpe *bpe, int32_t left, int32_t right, uint32_t rank, int32_t id);
/* Fills what follows from the tokens, the flags and the merges: call it once, last. */
bool bt_bpe_prepare(struct bt_bpe *bpe);
void bt_bpe_finish(struct bt_bpe *bpe);

struct bt_bpe_scratch;
struct bt_bpe_scratch *bt_bpe_scratch_create(void);          /* NULL when memory is out */
void bt_bpe_scratch_destroy(struct bt_bpe_scratch *scratch); /* takes NULL */

/* Appends ids. False when memory is out. */
bool bt_ids_put(struct bt_ids *ids, const int32_t *more, size_t count);

/* Appends the ids of a word of 1 to BT_BPE_MAX_WORD bytes, valid UTF-8. False when memory is out. */
#define BT_BPE_MAX_WORD ((size_t)INT32_MAX / 2)
bool bt_bpe_encode(const struct bt_bpe *bpe, struct bt_bpe_scratch *scratch, const char *word, size_t size,
                   struct bt_ids *out);

#endif
