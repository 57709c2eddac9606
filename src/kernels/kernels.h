/* kernels/kernels.h - the arithmetic of the model, forward beside backward, as a table of functions.
 *
 * The plain C source is the specification. It is compiled once per instruction set (the table's entries) and once more
 * with bt_real = double for the finite-difference tests. Functions run parallel loops of their own; each thread owns
 * what it writes and every sum has an order that does not depend on the number of threads. None allocates, does I/O or
 * fails.
 *
 * Shapes are row-major; n counts tokens (rows). Buffers do not overlap unless a comment says so. */
#ifndef BT_KERNELS_KERNELS_H
#define BT_KERNELS_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "base/cpu.h"

#ifndef BT_REAL
#define BT_REAL float
#endif
typedef BT_REAL bt_real; /* float; double only inside the kernel tests */

enum bt_activation { BT_ACT_SILU, BT_ACT_RELU2 };

#define BT_IGNORE_LABEL (-100)

struct bt_attention_shape {
    size_t rows, seq;       /* n = rows * seq tokens; attention never crosses a row */
    size_t heads, kv_heads; /* query head i uses kv head i / (heads / kv_heads) */
    size_t head_dim;
    const int32_t *first; /* (n): token i of a row sees j with first[i] <= j <= i, indices within the row;
                             non-decreasing along a row. Window and documents are both said this way. */
    size_t past;          /* forward alone: keys and values of a row begin with so many tokens that have no query;
                             query i is then token past + i of its row */
    size_t begin;         /* with past: first of the token at past / 64 * 64, so that keys are cut into tiles, and sums
                             into parts, as they are for all tokens at once */
};

struct bt_adamw {
    float lr, beta1, beta2, eps, weight_decay; /* weight_decay 0 for gains and biases */
    float gradient_scale;                      /* clipping: every gradient is multiplied by it first (1: not at all) */
    float correction1, correction2;            /* 1 - beta^t, t counting applied updates from 1 */
};

/* What the gradient of a row of logits is made of. */
struct bt_logit_loss {
    bt_real temperature;                /* of both softmaxes that are compared */
    bt_real label_scale, teacher_scale; /* what the gradients of the two losses are multiplied by; may be 0 */
};

/* The likeliest ids of n tokens, as a teacher's logits are kept on disk: log p = -level * BT_LEVEL_STEP, at the
 * temperature of the loss. */
struct bt_top_rows {
    size_t count;           /* ids a token, at most BT_TOP_MAX */
    const int32_t *ids;     /* (n, count), none twice in a row */
    const uint16_t *levels; /* (n, count) */
    const uint16_t *rest;   /* (n) of all other ids together; BT_LEVEL_NONE: there are none */
};
#define BT_TOP_MAX    1024
#define BT_LEVEL_STEP 0x1p-11
#define BT_LEVEL_NONE 65535

enum bt_hidden_loss { BT_HIDDEN_MSE, BT_HIDDEN_MSE_NORMALIZED, BT_HIDDEN_INNER_PRODUCT };

struct bt_relation_shape {
    size_t rows, seq, groups;
    size_t dim, teacher_dim;    /* channels of a group */
    bt_real rate, teacher_rate; /* what a dot product is multiplied by */
    bt_real log_floor;          /* log of the least value of R; -infinity: none */
    const int32_t *first;       /* (n): index within the row of the first token of the same document */
};

struct bt_kernels {
    enum bt_cpu_level level;

    /* x (n, d) = table[ids]. Backward adds dx to dtable (vocab, d), tokens in order. */
    void (*embedding_fwd)(bt_real *x, const bt_real *table, const int32_t *ids, size_t n, size_t d);
    void (*embedding_bwd)(bt_real *dtable, const bt_real *dx, const int32_t *ids, size_t n, size_t d);

    /* y = x * rstd * gain, rstd (n) = 1 / sqrt(mean(x^2) + eps); y may be x; rstd may be NULL.
     * Also used per head: n = tokens * heads, d = head_dim.
     * apply: y again from x and the saved rstd, the same bits as forward gave.
     * Backward: dx += (or = when add is 0) the input gradient; dgain (d) += . dx may be dy. */
    void (*rmsnorm_fwd)(bt_real *y, bt_real *rstd, const bt_real *x, const bt_real *gain, size_t n, size_t d,
                        bt_real eps);
    void (*rmsnorm_apply)(bt_real *y, const bt_real *x, const bt_real *gain, const bt_real *rstd, size_t n, size_t d);
    void (*rmsnorm_bwd)(bt_real *dx, int add, bt_real *dgain, const bt_real *dy, const bt_real *x, const bt_real *gain,
                        const bt_real *rstd, size_t n, size_t d);

    /* Rotate-half RoPE in place on x (n, heads, head_dim); cosine and sine are (positions, head_dim / 2), position (n).
     * Backward is the inverse rotation, in place. */
    void (*rope_fwd)(bt_real *x, const bt_real *cosine, const bt_real *sine, const int32_t *position, size_t n,
                     size_t heads, size_t head_dim);
    void (*rope_bwd)(bt_real *dx, const bt_real *cosine, const bt_real *sine, const int32_t *position, size_t n,
                     size_t heads, size_t head_dim);

    /* out (n, heads, hd) = softmax(q k^T / sqrt(hd) + mask) v; lse (n, heads) = log of the softmax's denominator (with
     * the maximum back in), kept for backward. In tiles: no buffer grows with seq^2.
     * Backward overwrites dq (n, heads, hd), dk, dv (n, kv_heads, hd). delta: scratch (n, heads). */
    void (*attention_fwd)(bt_real *out, bt_real *lse, const bt_real *q, const bt_real *k, const bt_real *v,
                          const struct bt_attention_shape *s);
    void (*attention_bwd)(bt_real *dq, bt_real *dk, bt_real *dv, bt_real *delta, const bt_real *dout,
                          const bt_real *out, const bt_real *lse, const bt_real *q, const bt_real *k, const bt_real *v,
                          const struct bt_attention_shape *s);

    /* The same bits for a last token alone: rows and seq are 1. out and q (heads, hd), k and v (past + 1, kv_heads,
     * hd).
     */
    void (*attention_last)(bt_real *out, const bt_real *q, const bt_real *k, const bt_real *v,
                           const struct bt_attention_shape *s);

    /* f = act(gate) * up over n elements. Backward overwrites dgate and dup; df may be dgate or dup. */
    void (*glu_fwd)(bt_real *f, const bt_real *gate, const bt_real *up, size_t n, enum bt_activation act);
    void (*glu_bwd)(bt_real *dgate, bt_real *dup, const bt_real *df, const bt_real *gate, const bt_real *up, size_t n,
                    enum bt_activation act);

    /* Rows of logits (n, vocab), labels (n), BT_IGNORE_LABEL = no loss. loss (n) in nats, double, 0 where ignored.
     * With dlogits_scale != 0 the logits are overwritten by scale * (softmax - onehot), 0 in ignored rows; with 0 they
     * are left alone. */
    void (*cross_entropy)(double *loss, bt_real *logits, const int32_t *labels, size_t n, size_t vocab,
                          bt_real dlogits_scale);

    /* Elementwise helpers on large buffers. */
    void (*add)(bt_real *y, const bt_real *x, size_t n); /* y += x */
    /* out = a x + b y over n; out may be x or y */
    void (*combine)(bt_real *out, bt_real a, const bt_real *x, bt_real b, const bt_real *y, size_t n);
    void (*bias_fwd)(bt_real *y, const bt_real *b, size_t n, size_t d);   /* y (n, d) += b (d) */
    void (*bias_bwd)(bt_real *db, const bt_real *dy, size_t n, size_t d); /* db (d) += column sums of dy */

    /* p, m, v (n) in place from g (n), formula and order of docs/numerics.md section 5: decay, moments, step. */
    void (*adamw)(bt_real *p, bt_real *m, bt_real *v, const bt_real *g, size_t n, const struct bt_adamw *a);
    /* Sum of squares in double: blocks of 4096 summed on their own, then in order. Non-finite values come through. */
    double (*sum_squares)(const bt_real *g, size_t n);

    /* Losses against a teacher (docs/numerics.md section 8). Losses are in double, unscaled.
     *
     * logits (n, vocab) are overwritten with the gradient of label_scale * ce + teacher_scale * kl, 0 in rows without a
     * label, whose losses are 0; ce, kl (n) in nats. teacher (n, vocab) is overwritten too. top: the same where only
     * the teacher's likeliest ids are known; all others count as one. */
    void (*teacher_logits)(double *ce, double *kl, bt_real *logits, bt_real *teacher, const int32_t *labels, size_t n,
                           size_t vocab, const struct bt_logit_loss *l);
    void (*teacher_top)(double *ce, double *kl, bt_real *logits, const struct bt_top_rows *top, const int32_t *labels,
                        size_t n, size_t vocab, const struct bt_logit_loss *l);
    /* s, t, ds (n, d), n = rows * seq; used (rows): tokens in front of the padding, or NULL. loss (n), 0 in padding;
     * ds += scale * gradient, untouched with 0. */
    void (*hidden_loss)(double *loss, bt_real *ds, const bt_real *s, const bt_real *t, const int32_t *used, size_t rows,
                        size_t seq, size_t d, enum bt_hidden_loss type, bt_real scale);
    /* a, da (n, groups, dim), teacher (n, groups, teacher_dim); loss (n, groups). da is overwritten with scale *
     * gradient, untouched with 0. stats: scratch (3, n, groups). A token that is alone in its document has loss 0. */
    void (*relation)(double *loss, bt_real *da, bt_real *stats, const bt_real *a, const bt_real *teacher,
                     const struct bt_relation_shape *s, bt_real scale);
    /* Rows of x (n, d) to length 1, in place; length (n), at least 1e-12. Backward turns dy into dx in place. */
    void (*unit_fwd)(bt_real *x, bt_real *length, size_t n, size_t d);
    void (*unit_bwd)(bt_real *dy, const bt_real *y, const bt_real *length, size_t n, size_t d);
};

/* Fills the table for at most `level` (and at most what the machine has). */
void bt_kernels_init(struct bt_kernels *kernels, enum bt_cpu_level level);

#endif
