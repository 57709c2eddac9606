/* kernels/rounding.h - what makes codes of floats: rounding and the largest of a row, in operations that every machine
 * rounds alike. For files that are compiled without contraction. Private to this folder. */
#ifndef BT_KERNELS_ROUNDING_H
#define BT_KERNELS_ROUNDING_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Ties to even; |x| < 2^22. The sum has no bits for a fraction, and unlike rintf it is one instruction everywhere. */
static inline float bt_round_even(float x)
{
    const float shift = 12582912.0f; /* 1.5 * 2^23 */
    return (x + shift) - shift;
}

/* |x| as an integer. The bits of floats without sign are in the order of their values, infinity and NaN last: a NaN
 * comes through, which a maximum of floats does not promise. */
static inline int32_t bt_magnitude(float x)
{
    int32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits & 0x7fffffff;
}

static inline float bt_from_magnitude(int32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* The largest |x|; NaN when there is one. */
static inline float bt_largest(const float *x, size_t n)
{
    int32_t most = 0;
#pragma omp simd reduction(max : most)
    for (size_t i = 0; i < n; i++)
        most = bt_magnitude(x[i]) > most ? bt_magnitude(x[i]) : most;
    return bt_from_magnitude(most);
}

#endif
