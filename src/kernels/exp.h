/* kernels/exp.h - an exponential that a loop over lanes can hold. */
#ifndef BT_KERNELS_EXP_H
#define BT_KERNELS_EXP_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "kernels/variant.h"

/* e^x within 2 units in the last place, for float. Below -86.9, where the result nears the denormal numbers, it is 0;
 * above ln FLT_MAX infinity; NaN stays NaN.
 *
 * x = n ln 2 + r with |r| <= ln 2 / 2, and e^r = 1 + r + r^2 P(r). The coefficients of P interpolate
 * (e^r - 1 - r) / r^2 at the five Chebyshev nodes of that interval; the largest relative error of the polynomial is
 * 1e-8. Adding 1.5 2^23 rounds to an integer and leaves it in the low bits of the sum. */
static inline float bt_expf(float x)
{
    const float shift = 12582912.0f;
    const float capped = x > 89.0f ? 89.0f : x;
    const float shifted = capped * 1.44269504f + shift;
    const float n = shifted - shift;
    const float r = (capped - n * 0.693359375f) + n * 2.12194440e-4f; /* ln 2 in two parts, the first one short */
    float p = 0.00139261759f;
    p = p * r + 0.00836317334f;
    p = p * r + 0.0416665561f;
    p = p * r + 0.166665778f;
    p = p * r + 0.5f;
    p = p * (r * r) + r + 1.0f;

    /* 2^(n-1): n reaches 128, whose power of two is not a float. */
    uint32_t bits;
    float power;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits + 126u) << 23;
    memcpy(&power, &bits, sizeof power);
    return x < -86.9f ? 0.0f : (p + p) * power;
}

/* The double instance is for the tests and takes the library's. */
static inline bt_real bt_exp(bt_real x)
{
    if (sizeof(bt_real) == sizeof(double))
        return (bt_real)exp((double)x);
    return (bt_real)bt_expf((float)x);
}

static inline bt_real bt_sqrt(bt_real x)
{
    if (sizeof(bt_real) == sizeof(double))
        return (bt_real)sqrt((double)x);
    return (bt_real)sqrtf((float)x);
}

#endif
