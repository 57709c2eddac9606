/* kernels/panel_rows.c - rows of x with one panel of outputs, which are the lanes of the vectors. */
#include "kernels/panels_variant.h"
#include "kernels/tile.h"

#ifdef __AVX2__
#include <immintrin.h>
#endif

enum {
    STRIP = 256,
    LANES = BT_VECTOR_BYTES / sizeof(float),
    VECTORS = BT_PANEL / LANES,
    ROWS = 2, /* with AVX2 their sums, the weights and a broadcast fit the registers */
};

typedef float lanes_f32 __attribute__((vector_size(BT_VECTOR_BYTES), aligned(4), may_alias));
typedef int32_t lanes_i32 __attribute__((vector_size(BT_VECTOR_BYTES), aligned(4), may_alias));
typedef uint32_t lanes_u32 __attribute__((vector_size(BT_VECTOR_BYTES), aligned(4), may_alias));
typedef uint16_t lanes_u16 __attribute__((vector_size(BT_VECTOR_BYTES / 2), aligned(2), may_alias));
typedef int8_t lanes_i8 __attribute__((vector_size(BT_VECTOR_BYTES / 4), aligned(1), may_alias));

/* Vector v of what the panel has for one input. */
BT_INLINE lanes_f32 weights_at(enum bt_panel_format format, const void *panel, size_t at)
{
    if (format == BT_PANEL_BF16) {
        const lanes_u16 bits = *(const lanes_u16 *)((const uint16_t *)panel + at);
        return (lanes_f32)(__builtin_convertvector(bits, lanes_u32) << 16);
    }
    if (format == BT_PANEL_INT8) {
#if defined(__AVX512F__) /* widenings that gcc 12 does in many steps otherwise */
        const __m128i codes = _mm_loadu_si128((const __m128i *)((const int8_t *)panel + at));
        return (lanes_f32)_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(codes));
#elif defined(__AVX2__)
        const __m128i codes = _mm_loadl_epi64((const __m128i *)((const int8_t *)panel + at));
        return (lanes_f32)_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(codes));
#else
        const lanes_i8 codes = *(const lanes_i8 *)((const int8_t *)panel + at);
        return __builtin_convertvector(__builtin_convertvector(codes, lanes_i32), lanes_f32);
#endif
    }
    return *(const lanes_f32 *)((const float *)panel + at);
}

/* `rows` and `format` are constants wherever this is inlined. */
BT_INLINE void rows_fixed(const int rows, const enum bt_panel_format format, float *y, size_t ldy, const void *panel,
                          const float *x, size_t in)
{
    for (size_t begin = 0; begin < in; begin += STRIP) {
        const size_t end = BT_MIN(in, begin + STRIP);
        lanes_f32 sum[ROWS][VECTORS];
        BT_UNROLL
        for (int r = 0; r < rows; r++) {
            BT_UNROLL
            for (int v = 0; v < VECTORS; v++)
                sum[r][v] = (lanes_f32){0};
        }
        for (size_t i = begin; i < end; i++) {
            BT_UNROLL
            for (int v = 0; v < VECTORS; v++) {
                const lanes_f32 w = weights_at(format, panel, i * BT_PANEL + (size_t)v * LANES);
                BT_UNROLL
                for (int r = 0; r < rows; r++)
                    sum[r][v] += x[(size_t)r * in + i] * w;
            }
        }
        BT_UNROLL
        for (int r = 0; r < rows; r++) {
            BT_UNROLL
            for (int v = 0; v < VECTORS; v++) {
                lanes_f32 *to = (lanes_f32 *)(y + (size_t)r * ldy + (size_t)v * LANES);
                if (begin)
                    sum[r][v] += *to;
                *to = sum[r][v];
            }
        }
    }
}

BT_INLINE void all_rows(const enum bt_panel_format format, float *y, size_t ldy, const void *panel, const float *x,
                        size_t in, size_t n)
{
    size_t r = 0;
    for (; r + ROWS <= n; r += ROWS)
        rows_fixed(ROWS, format, y + r * ldy, ldy, panel, x + r * in, in);
    for (; r < n; r++)
        rows_fixed(1, format, y + r * ldy, ldy, panel, x + r * in, in);
}

void BT_FN(panel_rows)(float *y, size_t ldy, enum bt_panel_format format, const void *panel, const float *x, size_t in,
                       size_t n)
{
    switch (format) {
    case BT_PANEL_F32:
        all_rows(BT_PANEL_F32, y, ldy, panel, x, in, n);
        break;
    case BT_PANEL_BF16:
        all_rows(BT_PANEL_BF16, y, ldy, panel, x, in, n);
        break;
    case BT_PANEL_INT8:
        all_rows(BT_PANEL_INT8, y, ldy, panel, x, in, n);
        break;
    }
}
