/* kernels/softmax.h - what the softmax of a row of logits is made of. */
#ifndef BT_KERNELS_SOFTMAX_H
#define BT_KERNELS_SOFTMAX_H

#include "kernels/exp.h"
#include "kernels/lanes.h"

struct range {
    bt_real low, high;
};

/* The smallest and the largest logit. NaN may or may not come through; the sum of exponentials shows it. */
static inline struct range row_range(const bt_real *z, size_t vocab)
{
    bt_real low[BT_LANES], high[BT_LANES];
    for (size_t j = 0; j < BT_LANES; j++)
        low[j] = high[j] = z[BT_MIN(j, vocab - 1)];
    size_t i = 0;
    for (; i + BT_LANES <= vocab; i += BT_LANES) {
#pragma omp simd
        for (size_t j = 0; j < BT_LANES; j++) {
            low[j] = z[i + j] < low[j] ? z[i + j] : low[j];
            high[j] = z[i + j] > high[j] ? z[i + j] : high[j];
        }
    }
    struct range all = {low[0], high[0]};
    for (size_t j = 0; i + j < vocab; j++) {
        low[j] = BT_MIN(low[j], z[i + j]);
        high[j] = z[i + j] > high[j] ? z[i + j] : high[j];
    }
    for (size_t j = 0; j < BT_LANES; j++) {
        all.low = BT_MIN(all.low, low[j]);
        all.high = high[j] > all.high ? high[j] : all.high;
    }
    return all;
}

/* The sum of e (which may be z itself, or NULL) = exp((z - high) * rate): lanes over a block, blocks in double. */
static inline double sum_exp(bt_real *e, const bt_real *z, bt_real high, bt_real rate, size_t vocab)
{
    enum { BLOCK = 1024 };
    bt_real part[BLOCK];
    double sum = 0.0;
    for (size_t begin = 0; begin < vocab; begin += BLOCK) {
        const size_t count = BT_MIN((size_t)BLOCK, vocab - begin);
        bt_real *to = e ? e + begin : part;
#pragma omp simd
        for (size_t i = 0; i < count; i++)
            to[i] = bt_exp((z[begin + i] - high) * rate);
        sum += bt_sum(to, count);
    }
    return sum;
}

#endif
