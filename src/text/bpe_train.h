/* text/bpe_train.h - byte-pair encoding learned from counted words (Sennrich, Haddow and Birch, arXiv 1508.07909, on
 * bytes as GPT-2 has it): the pair of adjacent tokens that occurs most often becomes a token, again and again.
 *
 * Of pairs that occur equally often the one with the smaller left number is taken, then the one with the smaller right
 * number, as the trainer of Hugging Face's tokenizers does, so the order of the words does not matter. Counts are kept
 * up to date by the words that a merge touches, and the next pair comes from a heap: near-linear in the words. */
#ifndef BT_TEXT_BPE_TRAIN_H
#define BT_TEXT_BPE_TRAIN_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "text/word_table.h"

/* A word's share of the work grows with the square of its length, so whoever counts words cuts longer ones. */
#define BT_BPE_TRAIN_WORD ((size_t)512)

struct bt_bpe_training { /* all borrowed */
    const struct bt_word_table *words;
    size_t tokens;                    /* to make, at least 256 */
    uint64_t min_frequency;           /* pairs that occur less often stay apart */
    const struct bt_word_table *kept; /* bytes that must not become a token; may be NULL */
    void (*progress)(void *context, uint64_t tokens, uint64_t wanted); /* after each merge; may be NULL */
    void *context;
};

struct bt_bpe_pair {
    int32_t left, right;
};

struct bt_bpe_trained {
    /* The tokens' bytes. The first 256 are the bytes, in the order of the letters that byte-level BPE spells them with
     * (GPT-2's order); then what the merges make, one each. Fewer than asked for when no pair is left. */
    struct bt_word_table tokens;
    struct bt_bpe_pair *merges; /* number i makes token 256 + i; an encoder applies them in this order */
    size_t merge_count, merge_capacity;
};

/* BT_ENOMEM is the only failure; trained is empty then. */
enum bt_err bt_bpe_train(const struct bt_bpe_training *training, struct bt_bpe_trained *trained, struct bt_diag *diag);
void bt_bpe_trained_finish(struct bt_bpe_trained *trained);

#endif
