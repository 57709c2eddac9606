#include "base/half.h"

#include <string.h>

/* binary32 is 1 sign, 8 exponent (bias 127), 23 mantissa bits; binary16 is 1, 5 (bias 15), 10; bfloat16 is the upper
 * half of binary32. A NaN keeps the upper bits of its payload and becomes quiet, as the processors' instructions do. */

static uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static float float_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* bits / 2^shift, to nearest, ties to even; 1 <= shift <= 31. */
static uint32_t shift_rounded(uint32_t bits, unsigned shift)
{
    const uint32_t kept = bits >> shift, half = 1u << (shift - 1), rest = bits & (2 * half - 1);
    return kept + (rest > half || (rest == half && (kept & 1)));
}

float bt_f32_from_bf16(uint16_t bits)
{
    return float_of((uint32_t)bits << 16);
}

uint16_t bt_bf16_from_f32(float value)
{
    const uint32_t bits = bits_of(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u)
        return (uint16_t)(bits >> 16 | 0x0040u);
    return (uint16_t)shift_rounded(bits, 16); /* a carry out of the mantissa is the next exponent, up to infinity */
}

float bt_f32_from_f16(uint16_t bits)
{
    const uint32_t sign = (uint32_t)(bits & 0x8000u) << 16, exponent = bits >> 10 & 0x1fu, mantissa = bits & 0x3ffu;
    if (exponent == 0x1f)
        return float_of(sign | 0x7f800000u | (mantissa ? 0x00400000u : 0) | mantissa << 13);
    if (exponent == 0) {
        const float magnitude = (float)mantissa * 0x1p-24f; /* exact: zero or subnormal in binary16 */
        return float_of(sign | bits_of(magnitude));
    }
    return float_of(sign | (exponent + (127 - 15)) << 23 | mantissa << 13);
}

uint16_t bt_f16_from_f32(float value)
{
    const uint32_t bits = bits_of(value), magnitude = bits & 0x7fffffffu;
    const uint16_t sign = (uint16_t)(bits >> 16 & 0x8000u);
    if (magnitude > 0x7f800000u)
        return (uint16_t)(sign | 0x7e00u | (magnitude >> 13 & 0x3ffu));
    if (magnitude >= 0x477ff000u) /* 65520, halfway between the largest binary16 and 2^16 */
        return (uint16_t)(sign | 0x7c00u);
    if (magnitude >= 0x38800000u) /* 2^-14: normal in binary16; a carry is the next exponent */
        return (uint16_t)(sign | shift_rounded(magnitude - ((127u - 15u) << 23), 13));
    const uint32_t exponent = magnitude >> 23;
    if (exponent < 102) /* below 2^-25, half of the smallest subnormal */
        return sign;
    return (uint16_t)(sign | shift_rounded((magnitude & 0x7fffffu) | 0x800000u, 126 - exponent));
}
