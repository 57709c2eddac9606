/* kernels/codes.h - products of integer codes: the linear layers of a ternary model at lambda = 1.
 *
 * Forward the operands are int8 activation codes and ternary weight codes, and the sum is exact. Backward the gradient
 * is taken as int16 codes, with a scale of its own for every row and strip of the contracted side (int16 has 32767
 * steps where the ternary and int8 operands it meets have 1 and 127), and sums are exact within a strip.
 * Results do not depend on the instruction set, on how c is cut into tiles or on the number of threads. */
#ifndef BT_KERNELS_CODES_H
#define BT_KERNELS_CODES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cpu.h"

/* The longest row whose sum fits an int32: codes of at most 127 times 0, 1 or 2. */
#define BT_CODES_MAX_K ((size_t)1 << 23)

/* y (m, n) = x (m, k) w (n, k)^T in codes; all rows are packed. k is at most BT_CODES_MAX_K. */
struct bt_codes_product {
    size_t m, n, k;
    const int8_t *codes;   /* (m, k), -127 to 127 */
    const float *a;        /* (m), of the rows: x = codes * a / 127 */
    const int8_t *t;       /* (n, k), -1, 0, 1 */
    float s;               /* w = t * s */
    const float *bias;     /* (n) or NULL */
    float *y;              /* ((float)(sum of code products) * ((a / 127) * s) + bias) + residual */
    const float *residual; /* (m, n), no part of y, or NULL */
};

/* c (m, n) = or += scale * g b, where g is made of int16 codes of a float gradient.
 *   backward to x    g (m, k) = dy                b (k, n) = t, scale = s
 *   backward to w    g (m, k) = dy^T, k a token   b (k, n) = codes, scale = 1 / 127, weight = a of the tokens
 * Code q of g stands for q * h / 32767, h the largest |g| of that row within a strip of BT_GRADIENT_STRIP of k (the
 * strips are equal); a row with a NaN or infinity makes its row of c NaN. */
struct bt_gradient_product {
    size_t m, n, k;
    const float *dy; /* (m, k), or (k, m) with transposed; packed */
    bool transposed;
    const float *weight; /* (k), multiplies g's columns before they become codes; NULL: 1 */
    const int8_t *b;     /* (k, n), packed */
    float scale;
    float *c;
    bool accumulate;
};

/* Longer strips could overflow: 32767 * 127 * 512 < 2^31. */
#define BT_GRADIENT_STRIP 320

/* One tile of c: rows i to i + height, columns j to j + width. Single-threaded, allocates nothing; scratch on the
 * stack. */
typedef void bt_codes_tile_fn(const struct bt_codes_product *p, size_t i, size_t j, size_t height, size_t width);
typedef void bt_gradient_tile_fn(const struct bt_gradient_product *p, size_t i, size_t j, size_t height, size_t width);

struct bt_codes {
    const char *name; /* "int8-portable", "int8-avx2", ... */
    bt_codes_tile_fn *forward;
    bt_gradient_tile_fn *gradient;
};

/* The best of at most `level` and of what the machine has, without VNNI. */
const struct bt_codes *bt_codes_for(enum bt_cpu_level level);
/* That with VNNI in the vectors of `level`; NULL where the build or the machine is without it. */
const struct bt_codes *bt_codes_vnni(enum bt_cpu_level level);

/* The whole products, parallel over tiles. */
void bt_codes_forward(const struct bt_codes *codes, const struct bt_codes_product *product);
void bt_codes_gradient(const struct bt_codes *codes, const struct bt_gradient_product *product);

#endif
