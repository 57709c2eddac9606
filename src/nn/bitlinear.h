/* nn/bitlinear.h - the linear layer with ternary weights and int8 activations (BitLinear of BitNet b1.58), and its
 * variants. Lambda and the straight-through estimator live here and nowhere else.
 *
 * Row-major: x (n, in), w (out, in), y (n, out).
 * Forward    y = xe we^T + b       we = w + lambda (wq - w), xe = x + lambda (xq - x)
 * Backward   straight-through: the derivatives of we by w and of xe by x are taken as 1:
 *            dx = dy we   dw = dy^T xe   db = column sums of dy.   lambda and the scales get no gradient.
 * At lambda = 1 with ternary weights and int8 activations the product runs on the codes and is exact in integers.
 *
 * What forward keeps for backward is the codes and their scales. Where backward needs x itself (lambda < 1, or no
 * activation quantisation), the caller makes it again. */
#ifndef BT_NN_BITLINEAR_H
#define BT_NN_BITLINEAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "nn/compute.h"
#include "nn/fixed_linear.h"
#include "nn/shape.h"

/* The longest row whose sum of code products (at most 127 each) is exact in float32. */
#define BT_EXACT_MAX_IN ((1u << 24) / 127)
/* BT_EINPUT when a linear layer of the shape has longer ones. */
enum bt_err bt_bitlinear_check_exact(const struct bt_shape *shape, struct bt_diag *diag);

struct bt_bitlinear { /* views; everything is borrowed from the model */
    size_t in, out;
    const float *w, *bias;               /* bias may be NULL */
    float *dw, *dbias;                   /* NULL in a model without gradients */
    int8_t *t;                           /* ternary codes, NULL when the weights are not quantised */
    float *s;                            /* their scale */
    bool int8;                           /* activations are quantised: false is BitLinearNoActivationQuant */
    const struct bt_fixed_linear *fixed; /* inference: forward takes these weights and no other; else NULL */
};

/* The input that a group of layers shares (q, k, v; gate, up): quantised once. */
struct bt_linear_input {
    size_t n, d;
    int8_t *codes;  /* (n, d), saved by forward for backward; NULL when no layer of the group is int8 */
    float *a;       /* (n) */
    const float *x; /* (n, d) in full precision; NULL in backward when nothing asks for it */
    float *scratch; /* (n, d) for the operand of the product; does not overlap x */
    int operand;    /* what scratch holds, enum bt_operand; 0 at first */
};

/* Codes and scale of the layer's weights; once an update. Nothing to do for layers without codes. */
void bt_bitlinear_prepare(const struct bt_bitlinear *layer);

/* Forward: fills codes and a from x when they are there and lambda > 0. */
void bt_linear_input_begin(struct bt_linear_input *input, float lambda);
/* Does backward at this lambda need x again? Not when every int8 layer can use the codes alone. */
bool bt_bitlinear_needs_x(const struct bt_bitlinear *layer, float lambda);

/* y (n, out) is overwritten. we: scratch of out * in floats. */
void bt_bitlinear_fwd(const struct bt_bitlinear *layer, const struct bt_compute *compute, float lambda, float *y,
                      struct bt_linear_input *input, float *we);
/* The same plus residual (n, out), which is no part of y: the bits of an addition after it, in one pass where the
 * product is one of codes. */
void bt_bitlinear_fwd_add(const struct bt_bitlinear *layer, const struct bt_compute *compute, float lambda, float *y,
                          const float *residual, struct bt_linear_input *input, float *we);
/* Adds to dw and dbias; dx (n, in) is added to with add_dx, else overwritten. dx overlaps neither dy nor the input. */
void bt_bitlinear_bwd(const struct bt_bitlinear *layer, const struct bt_compute *compute, float lambda, float *dx,
                      bool add_dx, const float *dy, struct bt_linear_input *input, float *we);

#endif
