/* kernels/codes_forward.c - int8 activation codes times ternary weight codes, exact.
 *
 * The instructions that multiply bytes want one side unsigned: t is packed as t + 1, and since
 * sum c t = sum c (t + 1) - sum c, the sum of a row's codes is taken off at the end. */
#include "kernels/int_tile.h"

enum {
    DEPTH = 768, /* codes of k in a strip */
    WIDTH = 640, /* columns of b packed at once, a multiple of every instance's BT_TILE_LANES: 480 KiB */
    HEIGHT = 96, /* rows of a packed at once, a multiple of BT_TILE_ROWS: 72 KiB */
};

struct strip {
    size_t p0, depth, units; /* units of four codes, the last one filled up with zeros */
    bool first, last;
};

/* A few rows, `units` units each, side by side; rows that do not exist and codes beyond the depth are 0. */
BT_INLINE void pack_rows(int32_t *packed, const int8_t *from, size_t stride, const struct strip *s, size_t rows,
                         const size_t most)
{
    const size_t whole = s->depth / 4;
    if (rows == most)
        bt_turn_rows(packed, from, stride, whole, most);
    else
        for (size_t p = 0; p < whole; p++)
            for (size_t r = 0; r < most; r++) {
                packed[p * most + r] = 0;
                if (r < rows)
                    memcpy(packed + p * most + r, from + r * stride + 4 * p, 4);
            }
    if (whole == s->units)
        return;
    for (size_t r = 0; r < most; r++) {
        packed[whole * most + r] = 0;
        if (r < rows)
            memcpy(packed + whole * most + r, from + r * stride + 4 * whole, s->depth % 4);
    }
}

static void pack_weights(int32_t *packed, const struct bt_codes_product *p, const struct strip *s, size_t j,
                         size_t width)
{
    for (size_t l = 0; l < width; l += BT_TILE_LANES)
        pack_rows(packed + l * s->units, p->t + (j + l) * p->k + s->p0, p->k, s, BT_MIN(BT_TILE_LANES, width - l),
                  BT_TILE_LANES);
    int8_t *bytes = (int8_t *)packed;
    const size_t count = (width + BT_TILE_LANES - 1) / BT_TILE_LANES * BT_TILE_LANES * s->units * 4;
#pragma omp simd
    for (size_t i = 0; i < count; i++)
        bytes[i] = (int8_t)(bytes[i] + 1);
}

static int32_t sum_codes(const int8_t *codes, size_t n)
{
    int32_t sum = 0;
#pragma omp simd reduction(+ : sum)
    for (size_t i = 0; i < n; i++)
        sum += codes[i];
    return sum;
}

static void pack_activations(int32_t *packed, int32_t *row_sum, const struct bt_codes_product *p, const struct strip *s,
                             size_t i, size_t height)
{
    for (size_t r = 0; r < height; r++)
        row_sum[r] = sum_codes(p->codes + (i + r) * p->k + s->p0, s->depth);
    for (size_t r = 0; r < height; r += BT_TILE_ROWS)
        pack_rows(packed + r * s->units, p->codes + (i + r) * p->k + s->p0, p->k, s,
                  BT_MIN((size_t)BT_TILE_ROWS, height - r), BT_TILE_ROWS);
}

/* What is summed so far lies in y as int32, until the last strip makes floats of it. */
struct finish {
    bool first, last;
    int32_t row_sum;
    float unit;
    const float *bias, *residual; /* or NULL */
};

/* Whole vectors of a row. */
BT_INLINE void hand_on_vectors(float *y, const int32_t *sums, const struct finish *f)
{
    BT_UNROLL
    for (size_t l = 0; l < BT_TILE_LANES; l += BT_VECTOR_LANES) {
        bt_ints sum = *(const bt_ints *)(sums + l) - f->row_sum;
        if (!f->first)
            sum += *(const bt_ints *)(y + l);
        if (!f->last) {
            *(bt_ints *)(y + l) = sum;
            continue;
        }
        bt_vector value = __builtin_convertvector(sum, bt_vector) * f->unit;
        if (f->bias)
            value += *(const bt_vector *)(f->bias + l);
        if (f->residual)
            value += *(const bt_vector *)(f->residual + l);
        *(bt_vector *)(y + l) = value;
    }
}

/* The same, one by one. */
static void hand_on_lanes(float *y, const int32_t *sums, const struct finish *f, size_t lanes)
{
    for (size_t l = 0; l < lanes; l++) {
        int32_t sum = sums[l] - f->row_sum, before = 0;
        if (!f->first)
            memcpy(&before, y + l, sizeof before);
        sum += before;
        if (!f->last) {
            memcpy(y + l, &sum, sizeof sum);
            continue;
        }
        y[l] = f->bias ? (float)sum * f->unit + f->bias[l] : (float)sum * f->unit;
        if (f->residual)
            y[l] += f->residual[l];
    }
}

static void hand_on(const struct bt_codes_product *p, const struct strip *s, size_t i, size_t j, size_t rows,
                    size_t lanes, const int32_t *sums, const int32_t *row_sum)
{
    for (size_t r = 0; r < rows; r++) {
        float *y = p->y + (i + r) * p->n + j;
        const struct finish f = {.first = s->first,
                                 .last = s->last,
                                 .row_sum = row_sum[r],
                                 .unit = p->a[i + r] / 127.0f * p->s,
                                 .bias = p->bias ? p->bias + j : NULL,
                                 .residual = p->residual ? p->residual + (i + r) * p->n + j : NULL};
        if (lanes == BT_TILE_LANES)
            hand_on_vectors(y, sums + r * BT_TILE_LANES, &f);
        else
            hand_on_lanes(y, sums + r * BT_TILE_LANES, &f, lanes);
    }
}

static void block(const struct bt_codes_product *p, const struct strip *s, size_t i0, size_t j0, size_t height,
                  size_t width, const int32_t *left, const int32_t *packed, const int32_t *row_sum)
{
    _Alignas(64) int32_t sums[BT_TILE_ROWS * BT_TILE_LANES];
    for (size_t j = 0; j < width; j += BT_TILE_LANES)
        for (size_t i = 0; i < height; i += BT_TILE_ROWS) {
            const size_t rows = BT_MIN((size_t)BT_TILE_ROWS, height - i), lanes = BT_MIN(BT_TILE_LANES, width - j);
            const struct bt_tile_goal goal = bt_tile_goal(p->y + (i0 + i) * p->n + j0 + j, p->n, rows, lanes);
            bt_tile_bytes(sums, left + i * s->units, packed + j * s->units, s->units, &goal);
            hand_on(p, s, i0 + i, j0 + j, rows, lanes, sums, row_sum + i);
        }
}

static void strip_of_tile(const struct bt_codes_product *p, const struct strip *s, size_t i0, size_t j0, size_t height,
                          size_t width)
{
    _Alignas(64) int32_t packed[WIDTH * DEPTH / 4], left[HEIGHT * DEPTH / 4], row_sum[HEIGHT];
    const size_t wide = bt_equal_parts(width, WIDTH, BT_TILE_LANES);
    for (size_t j = 0; j < width; j += wide) {
        const size_t columns = BT_MIN(wide, width - j);
        pack_weights(packed, p, s, j0 + j, columns);
        for (size_t i = 0; i < height; i += HEIGHT) {
            const size_t rows = BT_MIN((size_t)HEIGHT, height - i);
            pack_activations(left, row_sum, p, s, i0 + i, rows);
            block(p, s, i0 + i, j0 + j, rows, columns, left, packed, row_sum);
        }
    }
}

void BT_FN(codes_forward)(const struct bt_codes_product *p, size_t i, size_t j, size_t height, size_t width)
{
    const size_t strips = p->k > DEPTH ? (p->k + DEPTH - 1) / DEPTH : 1;
    const size_t depth = ((p->k + strips - 1) / strips + 3) / 4 * 4;
    for (size_t x = 0; x < strips; x++) {
        struct strip s = {
            .p0 = x * depth, .depth = BT_MIN(depth, p->k - x * depth), .first = x == 0, .last = x + 1 == strips};
        s.units = (s.depth + 3) / 4;
        strip_of_tile(p, &s, i, j, height, width);
    }
}
