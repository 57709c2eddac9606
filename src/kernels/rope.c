/* kernels/rope.c - rotary positions in the rotate-half convention: element j of a head turns with element
 * j + head_dim / 2. */
#include "kernels/variant.h"

/* Turns one head by the angles, or by their opposites when sign is -1. */
static void rotate(bt_real *x, const bt_real *cosine, const bt_real *sine, size_t half, bt_real sign)
{
#pragma omp simd
    for (size_t j = 0; j < half; j++) {
        const bt_real s = sine[j] * sign;
        const bt_real a = x[j], b = x[j + half];
        x[j] = a * cosine[j] - b * s;
        x[j + half] = b * cosine[j] + a * s;
    }
}

static void rotate_all(bt_real *x, const bt_real *cosine, const bt_real *sine, const int32_t *position, size_t n,
                       size_t heads, size_t head_dim, bt_real sign)
{
    const size_t half = head_dim / 2;
#pragma omp parallel for schedule(static) if (n > 1)
    for (size_t t = 0; t < n; t++) {
        const size_t at = (size_t)position[t] * half;
        for (size_t h = 0; h < heads; h++)
            rotate(x + (t * heads + h) * head_dim, cosine + at, sine + at, half, sign);
    }
}

void BT_FN(rope_fwd)(bt_real *x, const bt_real *cosine, const bt_real *sine, const int32_t *position, size_t n,
                     size_t heads, size_t head_dim)
{
    rotate_all(x, cosine, sine, position, n, heads, head_dim, (bt_real)1);
}

void BT_FN(rope_bwd)(bt_real *dx, const bt_real *cosine, const bt_real *sine, const int32_t *position, size_t n,
                     size_t heads, size_t head_dim)
{
    rotate_all(dx, cosine, sine, position, n, heads, head_dim, (bt_real)-1);
}
