/* tests/bench/counters.h - kernels that count themselves: every call of a model's arithmetic adds its time, FLOPs and
 * bytes to its phase of the update, and is then made as ever.
 *
 * FLOPs are those that the formula needs; bytes are those of each operand read or written once, which is the least that
 * a kernel can move whose operands no cache holds. One model at a time. */
#ifndef BT_BENCH_COUNTERS_H
#define BT_BENCH_COUNTERS_H

#include <stddef.h>

#include "nn/compute.h"
#include "nn/params.h"

enum bench_phase {
    BENCH_FORWARD,  /* products of the blocks: y = x w^T */
    BENCH_BACKWARD, /* dx = dy w, dw = dy^T x */
    BENCH_HEAD,     /* all three of the head */
    BENCH_LOSS,     /* cross entropy and its gradient */
    BENCH_ATTENTION,
    BENCH_ATTENTION_BACKWARD,
    BENCH_NORM,
    BENCH_ROPE,
    BENCH_GLU,
    BENCH_SUM, /* residuals and biases */
    BENCH_EMBEDDING,
    BENCH_GRADIENT_NORM,
    BENCH_ADAMW,
    BENCH_PHASES
};

struct bench_count {
    double seconds, flops, bytes;
};

const char *bench_phase_name(enum bench_phase phase);

/* Puts the counting kernels in the place of compute's; compute is ready but for that. The head's products are told by
 * where their operands lie. */
void bench_count_begin(struct bt_compute *compute, const struct bt_params *params, const float *weights,
                       const float *gradients);
void bench_count_reset(void);
/* Seconds are of the clock: what several threads did at the same moment counts once. */
struct bench_count bench_count_of(enum bench_phase phase);
/* Of the two products over all pairs of tokens that see each other; backward has five. */
double bench_attention_flops(const struct bt_attention_shape *shape);
/* Forward products of the blocks since the reset: whole ones on int8 codes, and FLOPs of all that were on floats. */
size_t bench_products_on_codes(void);
double bench_flops_on_floats(void);

#endif
