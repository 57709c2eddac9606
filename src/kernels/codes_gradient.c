/* kernels/codes_gradient.c - a float gradient, made into int16 codes on the way into the cache, times int8 codes. */
#include <math.h>

#include "kernels/int_tile.h"
#include "kernels/rounding.h"

enum {
    DEPTH = BT_GRADIENT_STRIP,
    WIDTH = 640, /* columns of b packed at once, a multiple of every instance's BT_TILE_LANES: 400 KiB */
    HEIGHT = 96, /* rows of g packed at once, a multiple of BT_TILE_ROWS: 60 KiB, and as much before they are turned */
    AHEAD = 8,   /* rows of dy (k, m) */
};

/* A row below this is as good as zero, and its scale has a finite inverse. */
#define SMALLEST 1e-30f
#define MOST     32767.0f

struct strip {
    size_t p0, depth, units; /* units of two, the last one filled up with zeros */
};

static int16_t code_of(float x)
{
    return (int16_t)(int32_t)bt_round_even(x);
}

static float at_least_smallest(float h)
{
    return h < SMALLEST ? SMALLEST : h; /* NaN stays */
}

/* 0 for a row that is not finite: its codes are zeros and its scale makes NaN of them. */
static float inverse_of(float h)
{
    return isfinite(h) ? MOST / h : 0.0f;
}

/* Parts of rows lie too far apart for the processor to guess the next one. */
static void prefetch_row(const float *row, size_t n)
{
    for (size_t x = 0; x < n; x += 16) /* floats of a cache line */
        __builtin_prefetch(row + x);
}

/* Codes of rows of dy (m, k). codes: rows of 2 * units. */
static void code_rows(int16_t *codes, float *h, const struct bt_gradient_product *p, const struct strip *s, size_t i,
                      size_t height)
{
    for (size_t r = 0; r < height; r++) {
        const float *row = p->dy + (i + r) * p->k + s->p0;
        int16_t *to = codes + r * 2 * s->units;
        if (r + 1 < height)
            prefetch_row(row + p->k, s->depth);
        h[r] = at_least_smallest(bt_largest(row, s->depth));
        const float inverse = inverse_of(h[r]);
        if (inverse == 0.0f) {
            memset(to, 0, 2 * s->units * sizeof *to);
            continue;
        }
#pragma omp simd
        for (size_t x = 0; x < s->depth; x++)
            to[x] = code_of(row[x] * inverse);
        if (s->depth % 2)
            to[s->depth] = 0;
    }
}

/* Groups of rows of codes (height, 2 * units), rows that do not exist are 0. */
static void turn_codes(int32_t *packed, const int16_t *codes, const struct strip *s, size_t height)
{
    const size_t stride = 2 * s->units * sizeof *codes;
    for (size_t r = 0; r < height; r += BT_TILE_ROWS)
        bt_turn_rows(packed + r * s->units, codes + r * 2 * s->units, stride, s->units, BT_TILE_ROWS);
}

/* The largest |g| of each of `height` columns of dy (k, m) within the strip. */
static void column_scales(float *h, const struct bt_gradient_product *p, const struct strip *s, size_t i, size_t height)
{
    int32_t most[HEIGHT] = {0};
    for (size_t x = 0; x < s->depth; x++) {
        if (x + AHEAD < s->depth)
            prefetch_row(p->dy + (s->p0 + x + AHEAD) * p->m + i, height);
        const float *row = p->dy + (s->p0 + x) * p->m + i, weight = p->weight ? p->weight[s->p0 + x] : 1.0f;
#pragma omp simd
        for (size_t c = 0; c < height; c++) {
            const int32_t bits = bt_magnitude(row[c] * weight);
            most[c] = bits > most[c] ? bits : most[c];
        }
    }
    for (size_t c = 0; c < height; c++)
        h[c] = at_least_smallest(bt_from_magnitude(most[c]));
}

/* Codes of two rows of dy (k, m), which are one unit of k; the second row is NULL where there is none. */
static void code_two_rows(int16_t *codes, const float *first, const float *second, float first_weight,
                          float second_weight, const float *inverse, size_t height)
{
#pragma omp simd
    for (size_t c = 0; c < height; c++) {
        const float a = first[c] * first_weight * inverse[c];
        const float b = second ? second[c] * second_weight * inverse[c] : 0.0f;
        codes[2 * c] = code_of(inverse[c] == 0.0f ? 0.0f : a);
        codes[2 * c + 1] = code_of(inverse[c] == 0.0f ? 0.0f : b);
    }
}

/* Groups of columns of dy (k, m), made into codes. */
static void code_columns(int32_t *packed, float *h, const struct bt_gradient_product *p, const struct strip *s,
                         size_t i, size_t height)
{
    float inverse[HEIGHT];
    int16_t line[2 * HEIGHT + 2 * BT_TILE_ROWS] = {0};
    column_scales(h, p, s, i, height);
    for (size_t c = 0; c < height; c++)
        inverse[c] = inverse_of(h[c]);
    for (size_t u = 0; u < s->units; u++) {
        const size_t x = s->p0 + 2 * u;
        const float *first = p->dy + x * p->m + i;
        const bool two = 2 * u + 1 < s->depth;
        code_two_rows(line, first, two ? first + p->m : NULL, p->weight ? p->weight[x] : 1.0f,
                      p->weight && two ? p->weight[x + 1] : 1.0f, inverse, height);
        for (size_t c = 0; c < height; c += BT_TILE_ROWS)
            memcpy(packed + c * s->units + u * BT_TILE_ROWS, line + 2 * c, 4 * BT_TILE_ROWS);
    }
}

static void pack_gradient(int32_t *packed, float *h, const struct bt_gradient_product *p, const struct strip *s,
                          size_t i, size_t height)
{
    if (p->transposed) {
        code_columns(packed, h, p, s, i, height);
        return;
    }
    _Alignas(64) int16_t codes[HEIGHT * DEPTH];
    code_rows(codes, h, p, s, i, height);
    const size_t whole = (height + BT_TILE_ROWS - 1) / BT_TILE_ROWS * BT_TILE_ROWS;
    memset(codes + height * 2 * s->units, 0, (whole - height) * 2 * s->units * sizeof *codes);
    turn_codes(packed, codes, s, whole);
}

typedef int8_t eight_bytes __attribute__((vector_size(8), aligned(1), may_alias));
typedef int16_t eight_shorts __attribute__((vector_size(16), aligned(2), may_alias));

/* Two rows of b become units: eight columns at a time. */
BT_INLINE void zip_eight(int16_t *to, const int8_t *first, const int8_t *second)
{
    const eight_shorts a = __builtin_convertvector(*(const eight_bytes *)first, eight_shorts);
    const eight_shorts b = __builtin_convertvector(*(const eight_bytes *)second, eight_shorts);
    *(eight_shorts *)to = __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
    *(eight_shorts *)(to + 8) = __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
}

/* One unit of k of all panels. */
static void pack_unit(int16_t *packed, const int8_t *first, const int8_t *second, size_t units, size_t width)
{
    size_t j = 0;
    for (; second && j + BT_TILE_LANES <= width; j += BT_TILE_LANES)
        for (size_t l = 0; l < BT_TILE_LANES; l += 8)
            zip_eight(packed + 2 * (j * units + l), first + j + l, second + j + l);
    for (; j < width; j += BT_TILE_LANES)
        for (size_t l = 0; l < BT_TILE_LANES; l++) {
            packed[2 * (j * units + l)] = j + l < width ? first[j + l] : 0;
            packed[2 * (j * units + l) + 1] = second && j + l < width ? second[j + l] : 0;
        }
}

static void pack_codes(int32_t *packed, const struct bt_gradient_product *p, const struct strip *s, size_t j,
                       size_t width)
{
    for (size_t u = 0; u < s->units; u++) {
        const int8_t *first = p->b + (s->p0 + 2 * u) * p->n + j;
        pack_unit((int16_t *)(packed + u * BT_TILE_LANES), first, 2 * u + 1 < s->depth ? first + p->n : NULL, s->units,
                  width);
    }
}

/* Whole vectors of a row. */
BT_INLINE void hand_on_vectors(float *c, const int32_t *sums, float unit, bool accumulate)
{
    BT_UNROLL
    for (size_t l = 0; l < BT_TILE_LANES; l += BT_VECTOR_LANES) {
        bt_vector value = __builtin_convertvector(*(const bt_ints *)(sums + l), bt_vector) * unit;
        if (accumulate)
            value += *(const bt_vector *)(c + l);
        *(bt_vector *)(c + l) = value;
    }
}

static void hand_on(const struct bt_gradient_product *p, bool accumulate, size_t i, size_t j, size_t rows, size_t lanes,
                    const int32_t *sums, const float *h)
{
    for (size_t r = 0; r < rows; r++, sums += BT_TILE_LANES) {
        float *c = p->c + (i + r) * p->n + j;
        const float unit = h[r] / MOST * p->scale;
        if (lanes == BT_TILE_LANES)
            hand_on_vectors(c, sums, unit, accumulate);
        else
            for (size_t l = 0; l < lanes; l++)
                c[l] = accumulate ? c[l] + (float)sums[l] * unit : (float)sums[l] * unit;
    }
}

static void block(const struct bt_gradient_product *p, const struct strip *s, size_t i0, size_t j0, size_t height,
                  size_t width, const int32_t *left, const int32_t *packed, const float *h)
{
    _Alignas(64) int32_t sums[BT_TILE_ROWS * BT_TILE_LANES];
    const bool accumulate = p->accumulate || s->p0 > 0;
    for (size_t j = 0; j < width; j += BT_TILE_LANES)
        for (size_t i = 0; i < height; i += BT_TILE_ROWS) {
            const size_t rows = BT_MIN((size_t)BT_TILE_ROWS, height - i), lanes = BT_MIN(BT_TILE_LANES, width - j);
            const struct bt_tile_goal goal = bt_tile_goal(p->c + (i0 + i) * p->n + j0 + j, p->n, rows, lanes);
            bt_tile_shorts(sums, left + i * s->units, packed + j * s->units, s->units, &goal);
            hand_on(p, accumulate, i0 + i, j0 + j, rows, lanes, sums, h + i);
        }
}

static void strip_of_tile(const struct bt_gradient_product *p, const struct strip *s, size_t i0, size_t j0,
                          size_t height, size_t width)
{
    _Alignas(64) int32_t packed[WIDTH * DEPTH / 2], left[HEIGHT * DEPTH / 2];
    float h[HEIGHT];
    const size_t wide = bt_equal_parts(width, WIDTH, BT_TILE_LANES);
    for (size_t j = 0; j < width; j += wide) {
        const size_t columns = BT_MIN(wide, width - j);
        pack_codes(packed, p, s, j0 + j, columns);
        for (size_t i = 0; i < height; i += HEIGHT) {
            const size_t rows = BT_MIN((size_t)HEIGHT, height - i);
            pack_gradient(left, h, p, s, i0 + i, rows);
            block(p, s, i0 + i, j0 + j, rows, columns, left, packed, h);
        }
    }
}

void BT_FN(codes_gradient)(const struct bt_gradient_product *p, size_t i, size_t j, size_t height, size_t width)
{
    const size_t strips = p->k > DEPTH ? (p->k + DEPTH - 1) / DEPTH : 1;
    const size_t depth = ((p->k + strips - 1) / strips + 1) / 2 * 2;
    for (size_t p0 = 0; p0 < p->k; p0 += depth) {
        const size_t length = BT_MIN(depth, p->k - p0);
        const struct strip s = {p0, length, (length + 1) / 2};
        strip_of_tile(p, &s, i, j, height, width);
    }
}
