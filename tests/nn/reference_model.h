/* tests/nn/reference_model.h - the whole decoder once more, in plain loops and double precision, from section 2 of the
 * numerics alone: what the model is compared with. It shares nothing with src/nn but the table of parameters and takes
 * documents by number, not as the batch's `first` and `position`.
 *
 * Quantisation is frozen at one point: there the differences we - w and xe - x are taken by the formulas and kept as
 * constants. Elsewhere the model is the smooth function in which w + (we - w) and x + (xe - x) stand for w and x, so
 * that its finite differences are the straight-through gradients. */
#ifndef BT_TESTS_REFERENCE_MODEL_H
#define BT_TESTS_REFERENCE_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "nn/batch.h"
#include "nn/params.h"

struct reference {
    const struct bt_params *params;
    bool ternary, int8;
    double lambda;
    const struct bt_batch *batch;
    const int32_t *document; /* (n) the tokens of a row that share a number see each other */
    double *weight_offset;   /* (total) we - w */
    double *input_offset;    /* xe - x, linear layers in the order of the forward pass */
    size_t input_used;
    bool freezing;
    double margin; /* the smallest distance of an activation code from a rounding boundary, in code units */
};

struct reference_trace { /* what a pass leaves behind; any of them may be NULL */
    double *logits;      /* (n, vocab) */
    double *hidden;      /* (layers + 1, n, hidden) */
    double *attn, *ffn;  /* (layers, n): sums of squares of what enters, or would enter, the two SubLN norms */
};

/* Everything is borrowed. Until it is frozen, the reference is the float model. */
void reference_init(struct reference *r, const struct bt_params *params, const struct bt_batch *batch,
                    const int32_t *document);
/* Freezes the quantisation at these weights; all passes after it use it. */
void reference_freeze(struct reference *r, const float *weights, bool ternary, bool int8, double lambda);
void reference_finish(struct reference *r);

/* Sum of the losses, in nats; weights (total). trace may be NULL. */
double reference_loss(struct reference *r, const double *weights, const struct reference_trace *trace);

double *reference_doubles(const float *values, size_t n); /* a copy, by malloc */

/* The same angle by another route than src/nn takes: the frequency of pair j in radians a position. */
double reference_frequency(const struct bt_rope *rope, size_t j, size_t head_dim);

#endif
