/* train/top_rows.h - a teacher's logits in compact form: of each token the likeliest ids with their log probabilities
 * in 16 bits, and what all others have together (struct bt_top_rows of kernels.h, here to be written). */
#ifndef BT_TRAIN_TOP_ROWS_H
#define BT_TRAIN_TOP_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/kernels.h"

struct bt_top_block { /* arrays of n tokens; the caller's */
    size_t count;     /* ids a token */
    int32_t *ids;     /* (n, count), rising */
    uint16_t *levels; /* (n, count) */
    uint16_t *rest;   /* (n) */
};

/* Fills tokens [at, at + n) of the block from logits (n, vocab) at a temperature: the block->count likeliest ids, the
 * lower one on ties. count <= vocab. False when a token's logits are not finite. */
bool bt_top_rows_fill(const struct bt_top_block *block, size_t at, const float *logits, size_t n, size_t vocab,
                      float temperature);

#endif
