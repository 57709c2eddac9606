/* kernels/strip.h - tokens of one head of one row, packed so that each is a lane of the register tile, and their
 * products with tokens that are read in place: what attention and the relations of docs/numerics.md section 8 are made
 * of. Local strips hold DIM columns of a head; a larger head is done in chunks of DIM columns. */
#ifndef BT_KERNELS_STRIP_H
#define BT_KERNELS_STRIP_H

#include <string.h>

#include "kernels/exp.h"
#include "kernels/tile.h"

enum { TILE = 64, PITCH = TILE + 16, DIM = 256 };

typedef bt_real square[TILE][PITCH];
typedef bt_real strip[DIM][PITCH];

/* Tokens of one head of one row: token i is at at + i * step. */
struct tokens {
    const bt_real *at;
    size_t step;
};

/* Tokens [begin, begin + count) packed as lanes, scaled: packed[d][lane], zeros in lanes that have no token. A head
 * that does not fit is packed chunk by chunk whenever it is used. */
struct lanes {
    bt_real (*packed)[PITCH];
    struct tokens from; /* the first lane's token */
    size_t count, dim;
    bt_real scale;
};

static inline void pack(const struct lanes *l, size_t d0, size_t dims)
{
    for (size_t lane = 0; lane < TILE; lane++) {
        const bt_real *from = l->from.at + lane * l->from.step + d0;
        for (size_t d = 0; d < dims; d++)
            l->packed[d][lane] = lane < l->count ? from[d] * l->scale : 0;
    }
}

static inline struct lanes pack_lanes(bt_real (*packed)[PITCH], struct tokens t, size_t begin, size_t count, size_t dim,
                                      bt_real scale)
{
    const struct lanes l = {packed, {t.at + begin * t.step, t.step}, count, dim, scale};
    if (dim <= DIM)
        pack(&l, 0, dim);
    return l;
}

/* c (rows, TILE) = or += a (rows, depth) b (depth, TILE). */
static inline void product(bt_real (*c)[PITCH], struct bt_broadcast a, bt_real (*b)[PITCH], size_t rows, size_t depth,
                           bool accumulate)
{
    for (size_t l = 0; l < TILE; l += BT_TILE_LANES)
        for (size_t r = 0; r < rows; r += BT_TILE_ROWS) {
            const struct bt_broadcast from = {a.at + r * a.row, a.row, a.step};
            bt_tile(BT_MIN((size_t)BT_TILE_ROWS, rows - r), &c[r][l], PITCH, from, &b[0][l], PITCH, depth, accumulate);
        }
}

/* s (count, TILE) = the dot products of tokens [begin, begin + count) with those in the lanes. */
static inline void dots(square s, struct tokens t, size_t begin, size_t count, const struct lanes *l)
{
    for (size_t d0 = 0; d0 < l->dim; d0 += DIM) {
        const size_t dims = BT_MIN((size_t)DIM, l->dim - d0);
        const struct bt_broadcast a = {t.at + begin * t.step + d0, t.step, 1};
        if (l->dim > DIM)
            pack(l, d0, dims);
        product(s, a, l->packed, count, dims, d0 > 0);
    }
}

/* sum (dims, TILE) += the columns [d0, d0 + dims) of tokens [begin, begin + count), weighted by w (count, TILE). */
static inline void add_weighted(strip sum, struct tokens t, size_t d0, size_t dims, size_t begin, size_t count,
                                square w)
{
    const struct bt_broadcast a = {t.at + begin * t.step + d0, 1, t.step};
    product(sum, a, w, dims, count, true);
}

/* Columns [d0, d0 + dims) of the lanes' tokens, scaled, back into rows of memory. */
static inline void unpack(bt_real *to, size_t step, strip from, size_t d0, size_t dims, size_t count, bt_real scale)
{
    for (size_t lane = 0; lane < count; lane++)
        for (size_t d = 0; d < dims; d++)
            to[lane * step + d0 + d] = from[d][lane] * scale;
}

/* The softmax of each lane over the keys seen so far. */
struct softmax {
    bt_real max[TILE], sum[TILE];
};

static inline void softmax_begin(struct softmax *softmax)
{
    for (size_t lane = 0; lane < TILE; lane++) {
        softmax->max[lane] = (bt_real)-INFINITY;
        softmax->sum[lane] = 0;
    }
}

/* The log of a lane's denominator, with the maximum back in. */
static inline bt_real softmax_lse(const struct softmax *softmax, size_t lane)
{
    return (bt_real)(log((double)softmax->sum[lane]) + (double)softmax->max[lane]);
}

/* Turns scores into exp(score - max) with the maximum of all keys so far, and leaves in `rescale` what sums made with
 * the maximum before are to be multiplied by. A lane that has seen no key yet has a maximum of minus infinity. */
static inline void softmax_step(struct softmax *softmax, bt_real rescale[TILE], square s, size_t keys)
{
    bt_real max[TILE], base[TILE], sum[TILE] = {0};
    memcpy(max, softmax->max, sizeof max);
    for (size_t r = 0; r < keys; r++) {
#pragma omp simd
        for (size_t lane = 0; lane < TILE; lane++)
            max[lane] = s[r][lane] > max[lane] ? s[r][lane] : max[lane];
    }
#pragma omp simd
    for (size_t lane = 0; lane < TILE; lane++)
        base[lane] = max[lane] == (bt_real)-INFINITY ? 0 : max[lane];
    for (size_t r = 0; r < keys; r++) {
#pragma omp simd
        for (size_t lane = 0; lane < TILE; lane++) {
            const bt_real p = bt_exp(s[r][lane] - base[lane]);
            s[r][lane] = p;
            sum[lane] += p;
        }
    }
#pragma omp simd
    for (size_t lane = 0; lane < TILE; lane++) {
        rescale[lane] = bt_exp(softmax->max[lane] - base[lane]);
        softmax->sum[lane] = softmax->sum[lane] * rescale[lane] + sum[lane];
        softmax->max[lane] = max[lane];
    }
}

#endif
