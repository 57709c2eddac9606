/* kernels/quantize.c - ternary weight codes and int8 activation codes.
 *
 * Compiled once, without contraction, in operations that every machine rounds alike. */
#include "kernels/quantize.h"

#include <math.h>
#include <string.h>

#include "base/minmax.h"
#include "kernels/rounding.h"

/* The smallest scale: a row or a tensor of zeros has one, too. */
#define SMALLEST_SCALE 1e-5f

/* Elements to a piece of work. */
enum { PIECE = 16384 };

/* Element i belongs to lane i % 16: the order of the sum does not hang on the instruction set. */
static double sum_abs(const float *w, size_t n)
{
    enum { LANES = 16 };
    double lane[LANES] = {0}, sum = 0.0;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
#pragma omp simd
        for (size_t j = 0; j < LANES; j++)
            lane[j] += (double)fabsf(w[i + j]);
    }
    for (size_t j = 0; i + j < n; j++)
        lane[j] += (double)fabsf(w[i + j]);
    for (size_t j = 0; j < LANES; j++)
        sum += lane[j];
    return sum;
}

float bt_weight_scale(const float *w, size_t n)
{
    enum { BLOCK = 4096, GATHER = 1024 };
    double sum[GATHER], total = 0.0;
    const size_t blocks = (n + BLOCK - 1) / BLOCK;
    for (size_t first = 0; first < blocks; first += GATHER) {
        const size_t count = BT_MIN((size_t)GATHER, blocks - first);
#pragma omp parallel for schedule(static)
        for (size_t b = 0; b < count; b++) {
            const size_t at = (first + b) * BLOCK;
            sum[b] = sum_abs(w + at, BT_MIN((size_t)BLOCK, n - at));
        }
        for (size_t b = 0; b < count; b++)
            total += sum[b];
    }
    const float mean = (float)(total / (double)n);
    return mean < SMALLEST_SCALE ? SMALLEST_SCALE : mean; /* NaN stays */
}

static void weight_codes(int8_t *t, const float *w, size_t n, float inverse)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++) {
        /* The bounds are integers: clamping before rounding gives the same and keeps round_even within its range. */
        float x = w[i] * inverse;
        x = x < 1.0f ? x : 1.0f;
        x = x > -1.0f ? x : -1.0f;
        t[i] = (int8_t)(int32_t)bt_round_even(x);
    }
}

void bt_weight_codes(int8_t *t, const float *w, size_t n, float s)
{
    const float inverse = 1.0f / s;
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < n; i += PIECE)
        weight_codes(t + i, w + i, BT_MIN((size_t)PIECE, n - i), inverse);
}

static void codes_float(float *out, const int8_t *codes, size_t n)
{
#pragma omp parallel for simd schedule(static)
    for (size_t i = 0; i < n; i++)
        out[i] = (float)codes[i];
}

void bt_weight_codes_float(float *out, const int8_t *t, size_t n)
{
    codes_float(out, t, n);
}

void bt_weight_dequantize(float *out, const int8_t *t, size_t n, float s)
{
#pragma omp parallel for simd schedule(static)
    for (size_t i = 0; i < n; i++)
        out[i] = (float)t[i] * s;
}

void bt_weight_mix(float *out, const float *w, const int8_t *t, size_t n, float s, float lambda)
{
#pragma omp parallel for simd schedule(static)
    for (size_t i = 0; i < n; i++)
        out[i] = w[i] + lambda * ((float)t[i] * s - w[i]);
}

/* |x| * inverse is at most 127 (1 + 2^-22) and rounds to 127: the clamp of the formula never acts. */
static void row_codes(int8_t *codes, const float *x, size_t d, float inverse)
{
#pragma omp simd
    for (size_t i = 0; i < d; i++) {
        codes[i] = (int8_t)(int32_t)bt_round_even(x[i] * inverse);
    }
}

void bt_activation_codes(int8_t *codes, float *a, const float *x, size_t rows, size_t d)
{
#pragma omp parallel for schedule(static) if (rows > 1)
    for (size_t r = 0; r < rows; r++) {
        const float most = bt_largest(x + r * d, d);
        a[r] = most < SMALLEST_SCALE ? SMALLEST_SCALE : most;
        if (isfinite(a[r]))
            row_codes(codes + r * d, x + r * d, d, 127.0f / a[r]);
        else
            memset(codes + r * d, 0, d);
    }
}

void bt_activation_codes_float(float *out, const int8_t *codes, size_t n)
{
    codes_float(out, codes, n);
}

void bt_activation_dequantize(float *out, const int8_t *codes, const float *a, size_t rows, size_t d)
{
#pragma omp parallel for schedule(static) if (rows > 1)
    for (size_t r = 0; r < rows; r++) {
        const float unit = a[r] / 127.0f;
#pragma omp simd
        for (size_t i = r * d; i < (r + 1) * d; i++)
            out[i] = (float)codes[i] * unit;
    }
}

void bt_activation_mix(float *out, const float *x, const int8_t *codes, const float *a, size_t rows, size_t d,
                       float lambda)
{
#pragma omp parallel for schedule(static) if (rows > 1)
    for (size_t r = 0; r < rows; r++) {
        const float unit = a[r] / 127.0f;
#pragma omp simd
        for (size_t i = r * d; i < (r + 1) * d; i++)
            out[i] = x[i] + lambda * ((float)codes[i] * unit - x[i]);
    }
}

static void finish_row(float *row, float unit, const float *bias, size_t out)
{
    if (bias) {
#pragma omp simd
        for (size_t o = 0; o < out; o++)
            row[o] = row[o] * unit + bias[o];
    } else {
#pragma omp simd
        for (size_t o = 0; o < out; o++)
            row[o] *= unit;
    }
}

void bt_codes_finish(float *y, const float *a, float s, const float *bias, size_t rows, size_t out)
{
#pragma omp parallel for schedule(static)
    for (size_t r = 0; r < rows; r++)
        finish_row(y + r * out, a[r] / 127.0f * s, bias, out);
}

void bt_codes_finish_part(float *y, size_t ld, const float *a, float s, const float *bias, size_t rows, size_t out)
{
    for (size_t r = 0; r < rows; r++)
        finish_row(y + r * ld, a[r] / 127.0f * s, bias, out);
}
