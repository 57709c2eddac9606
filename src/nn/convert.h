/* nn/convert.h - stage 1: every linear layer of the blocks becomes a BitLinear (same weights) and the two SubLN norms
 * go in before the output projections (docs/numerics.md section 6). Weights in memory only; folders are train/'s. */
#ifndef BT_NN_CONVERT_H
#define BT_NN_CONVERT_H

#include <stddef.h>

#include "nn/params.h"

/* One scalar a norm, (layers) each; NULL for gains of 1 (the published recipe). */
struct bt_subln_gains {
    float *attn, *ffn;
};

/* Fills `to` (of a shape that differs from `from`'s at most in sub_norm being true) with the weights of `from` by name
 * and the gains of the norms that are new. Buffers do not overlap; padding of `to` is left as it is. */
void bt_convert_model_to_bitnet(const struct bt_params *from, const float *from_weights, const struct bt_params *to,
                                float *to_weights, const struct bt_subln_gains *gains);

/* Sums of squares of what enters each norm, gathered over batches of the unconverted model. */
struct bt_subln_squares {
    double *attn, *ffn; /* (layers) */
    size_t tokens;
};
struct bt_model;
/* After a forward of the unconverted model: adds the first n tokens of the batch. */
void bt_subln_squares_add(struct bt_subln_squares *squares, struct bt_model *model, const struct bt_shape *shape,
                          size_t n);
/* gain = sqrt(mean(z^2) + eps), mean in double. */
void bt_subln_gains_from(const struct bt_subln_squares *squares, const struct bt_shape *shape,
                         struct bt_subln_gains *gains);

#endif
