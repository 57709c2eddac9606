/* kernels/strip.h - tokens of one head of one row, packed so that each is a lane of the register tile, and their
 * products with tokens that are read in place: what attention and the relations of docs/numerics.md section 8 are made
 * of. Local strips hold DIM columns of a head; a larger head is done in chunks of DIM columns. */
#ifndef BT_KERNELS_STRIP_H
#define BT_KERNELS_STRIP_H

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

#endif
