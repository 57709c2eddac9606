/* kernels/lanes.h - sums and maxima over a row in a fixed number of lanes.
 *
 * Element i belongs to lane i % BT_LANES and the lanes are folded in one fixed way: the order of a sum is written down
 * here instead of being left to a compiler's reduction, and it is the same on every instruction set. */
#ifndef BT_KERNELS_LANES_H
#define BT_KERNELS_LANES_H

#include "kernels/variant.h"

enum { BT_LANES = 32 };

static inline double bt_fold_sum(const double lane[BT_LANES])
{
    double fold[BT_LANES];
    for (size_t j = 0; j < BT_LANES; j++)
        fold[j] = lane[j];
    for (size_t half = BT_LANES / 2; half > 0; half /= 2)
        for (size_t j = 0; j < half; j++)
            fold[j] += fold[j + half];
    return fold[0];
}

/* The sum of x[i]: lanes of the working precision, folded in double. For rows so short that a lane takes few terms. */
static inline double bt_sum(const bt_real *x, size_t n)
{
    bt_real lane[BT_LANES] = {0};
    double wide[BT_LANES];
    size_t i = 0;
    for (; i + BT_LANES <= n; i += BT_LANES) {
#pragma omp simd
        for (size_t j = 0; j < BT_LANES; j++)
            lane[j] += x[i + j];
    }
    for (size_t j = 0; i + j < n; j++)
        lane[j] += x[i + j];
    for (size_t j = 0; j < BT_LANES; j++)
        wide[j] = (double)lane[j];
    return bt_fold_sum(wide);
}

/* The sum of a[i] b[i] in double. */
static inline double bt_dot(const bt_real *a, const bt_real *b, size_t n)
{
    double lane[BT_LANES] = {0};
    size_t i = 0;
    for (; i + BT_LANES <= n; i += BT_LANES) {
#pragma omp simd
        for (size_t j = 0; j < BT_LANES; j++)
            lane[j] += (double)a[i + j] * (double)b[i + j];
    }
    for (size_t j = 0; i + j < n; j++)
        lane[j] += (double)a[i + j] * (double)b[i + j];
    return bt_fold_sum(lane);
}

#endif
