/* kernels/gemm.c - one single-threaded float32 matrix product, blocked for the caches.
 *
 * b is packed, a strip of k at a time, into panels as wide as the register tile: within a panel the lanes of one k lie
 * side by side, zeros beyond the edge. Rows of a are read in place; only the transposed a of BT_TN, whose neighbours in
 * k are a whole row apart, is packed too. Both packs live on the stack: 240 KiB. */
#include <string.h>

#include "kernels/tile.h"

enum {
    DEPTH = 256, /* of a strip: a panel of b and a row tile of a stay in the first-level cache */
    WIDTH = 192, /* columns of b packed at once; a multiple of every instance's BT_TILE_LANES */
    HEIGHT = 48, /* rows of a transposed a packed at once; a multiple of BT_TILE_ROWS */
};

/* Panels of b (n, k): the rows that become a panel's lanes are read side by side. */
static void pack_rows(float *packed, const float *from, size_t ldb, size_t depth, size_t width)
{
    for (size_t j = 0; j < width; j += BT_TILE_LANES) {
        const size_t lanes = BT_MIN(BT_TILE_LANES, width - j);
        for (size_t p = 0; p < depth; p++) {
            float *to = packed + j * depth + p * BT_TILE_LANES;
            for (size_t l = 0; l < lanes; l++)
                to[l] = from[(j + l) * ldb + p];
            for (size_t l = lanes; l < BT_TILE_LANES; l++)
                to[l] = 0.0f;
        }
    }
}

/* Panels of b (k, n), or groups of rows of a (k, m): `lanes` neighbours in a row of memory stay neighbours. Memory is
 * read a whole row at a time, since rows may lie a multiple of the cache's size apart. */
BT_INLINE void pack_columns(float *packed, const float *from, size_t ld, size_t depth, size_t width, size_t lanes)
{
    const size_t whole = width / lanes * lanes;
    for (size_t p = 0; p < depth; p++) {
        const float *row = from + p * ld;
        for (size_t j = 0; j < whole; j += lanes)
            memcpy(packed + j * depth + p * lanes, row + j, lanes * sizeof *packed);
        if (whole < width) {
            float *to = packed + whole * depth + p * lanes;
            memset(to, 0, lanes * sizeof *packed);
            memcpy(to, row + whole, (width - whole) * sizeof *packed);
        }
    }
}

/* A tile at the right edge is computed whole, on the side, and only its valid columns are handed on. */
static void edge_tile(size_t rows, size_t lanes, float *c, size_t ldc, struct bt_broadcast a, const float *panel,
                      size_t depth, bool accumulate)
{
    float whole[BT_TILE_ROWS * BT_TILE_LANES];
    bt_tile(rows, whole, BT_TILE_LANES, a, panel, BT_TILE_LANES, depth, false);
    for (size_t r = 0; r < rows; r++)
        for (size_t l = 0; l < lanes; l++) {
            const float value = whole[r * BT_TILE_LANES + l];
            c[r * ldc + l] = accumulate ? c[r * ldc + l] + value : value;
        }
}

/* c (height, width) from the packed panels of b; `group` is how far apart row tiles of a lie. */
static void block(size_t height, size_t width, size_t depth, struct bt_broadcast a, size_t group, const float *packed,
                  float *c, size_t ldc, bool accumulate)
{
    for (size_t j = 0; j < width; j += BT_TILE_LANES) {
        const size_t lanes = BT_MIN(BT_TILE_LANES, width - j);
        const float *panel = packed + j * depth;
        for (size_t i = 0; i < height; i += BT_TILE_ROWS) {
            const size_t rows = BT_MIN((size_t)BT_TILE_ROWS, height - i);
            const struct bt_broadcast from = {a.at + i / BT_TILE_ROWS * group, a.row, a.step};
            float *to = c + i * ldc + j;
            if (lanes < BT_TILE_LANES)
                edge_tile(rows, lanes, to, ldc, from, panel, depth, accumulate);
            else
                bt_tile(rows, to, ldc, from, panel, BT_TILE_LANES, depth, accumulate);
        }
    }
}

/* All rows of c for one strip of k and one group of columns, whose part of b is packed. */
static void rows_of_strip(enum bt_product kind, size_t m, size_t width, size_t depth, size_t p0, const float *a,
                          size_t lda, const float *packed, float *c, size_t ldc, bool accumulate)
{
    if (kind != BT_TN) {
        block(m, width, depth, (struct bt_broadcast){a + p0, lda, 1}, BT_TILE_ROWS * lda, packed, c, ldc, accumulate);
        return;
    }
    _Alignas(64) float turned[HEIGHT * DEPTH];
    for (size_t i0 = 0; i0 < m; i0 += HEIGHT) {
        const size_t height = BT_MIN((size_t)HEIGHT, m - i0);
        pack_columns(turned, a + p0 * lda + i0, lda, depth, height, BT_TILE_ROWS);
        block(height, width, depth, (struct bt_broadcast){turned, 1, BT_TILE_ROWS}, BT_TILE_ROWS * depth, packed,
              c + i0 * ldc, ldc, accumulate);
    }
}

void BT_FN(gemm)(enum bt_product kind, size_t m, size_t n, size_t k, const float *a, size_t lda, const float *b,
                 size_t ldb, float *c, size_t ldc, bool accumulate)
{
    _Alignas(64) float packed[WIDTH * DEPTH];
    if (k == 0 && !accumulate)
        for (size_t i = 0; i < m; i++)
            memset(c + i * ldc, 0, n * sizeof *c);
    for (size_t p0 = 0; p0 < k; p0 += DEPTH) {
        const size_t depth = BT_MIN((size_t)DEPTH, k - p0);
        for (size_t j0 = 0; j0 < n; j0 += WIDTH) {
            const size_t width = BT_MIN((size_t)WIDTH, n - j0);
            if (kind == BT_NT)
                pack_rows(packed, b + j0 * ldb + p0, ldb, depth, width);
            else
                pack_columns(packed, b + p0 * ldb + j0, ldb, depth, width, BT_TILE_LANES);
            rows_of_strip(kind, m, width, depth, p0, a, lda, packed, c + j0, ldc, accumulate || p0 > 0);
        }
    }
}
