/* kernels/gemm.c - one single-threaded float32 matrix product, blocked for the caches.
 *
 * A strip of k at a time, b is packed into panels as wide as the register tile (within a panel the lanes of one k lie
 * side by side, zeros beyond the edge) and a into groups of as many rows as the tile has. A panel stays in the
 * first-level cache while the groups of a block of a, which stays in the second, pass by. Both packs live on the
 * stack: 480 KiB.
 *
 * Every element of c is summed over a strip in order, and the strips in order: the same bits however a caller cuts c
 * into tiles. */
#include <string.h>

#include "kernels/tile.h"

enum {
    DEPTH = 320, /* of a strip: a panel of b (16 KiB with AVX2) and a group of a fit the first-level cache */
    WIDTH = 384, /* columns of b packed at once; a multiple of every instance's BT_TILE_LANES */
    AHEAD = 8,   /* rows that are asked for before they are packed */
    HEIGHT = 96, /* rows of a packed at once, a multiple of BT_TILE_ROWS: 96 KiB */
};

/* Panels of b (n, k): the rows that become a panel's lanes are read side by side. */
static void pack_rows(float *packed, const float *from, size_t ldb, size_t depth, size_t width)
{
    size_t j = 0;
    for (; j + BT_TILE_LANES <= width; j += BT_TILE_LANES)
        bt_turn_rows(packed + j * depth, from + j * ldb, ldb * sizeof *from, depth, BT_TILE_LANES);
    if (j == width)
        return;
    for (size_t p = 0; p < depth; p++) {
        float *to = packed + j * depth + p * BT_TILE_LANES;
        for (size_t l = 0; l < BT_TILE_LANES; l++)
            to[l] = j + l < width ? from[(j + l) * ldb + p] : 0.0f;
    }
}

/* Panels of b (k, n), or groups of rows of a (k, m): `lanes` neighbours in a row of memory stay neighbours. Memory is
 * read a whole row at a time, since rows may lie a multiple of the cache's size apart. */
BT_INLINE void pack_columns(float *packed, const float *from, size_t ld, size_t depth, size_t width, size_t lanes)
{
    const size_t whole = width / lanes * lanes;
    for (size_t p = 0; p < depth; p++) {
        const float *row = from + p * ld;
        for (size_t j = 0; j < width; j += 16)
            __builtin_prefetch(row + AHEAD * ld + j);
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

/* c (height, width) from the packed groups of a and panels of b. */
static void block(size_t height, size_t width, size_t depth, const float *left, const float *packed, float *c,
                  size_t ldc, bool accumulate)
{
    for (size_t j = 0; j < width; j += BT_TILE_LANES) {
        const size_t lanes = BT_MIN(BT_TILE_LANES, width - j);
        const float *panel = packed + j * depth;
        for (size_t i = 0; i < height; i += BT_TILE_ROWS) {
            const size_t rows = BT_MIN((size_t)BT_TILE_ROWS, height - i);
            const struct bt_broadcast from = {left + i * depth, 1, BT_TILE_ROWS};
            float *to = c + i * ldc + j;
            for (size_t r = 0; r < rows; r++) /* c comes from memory while the tile is summed */
                __builtin_prefetch(to + r * ldc, 1);
            if (lanes < BT_TILE_LANES)
                edge_tile(rows, lanes, to, ldc, from, panel, depth, accumulate);
            else
                bt_tile(rows, to, ldc, from, panel, BT_TILE_LANES, depth, accumulate);
        }
    }
}

/* Groups of rows of a (m, k), their elements of one k side by side. */
static void pack_groups(float *packed, const float *from, size_t lda, size_t depth, size_t height)
{
    size_t i = 0;
    for (; i + BT_TILE_ROWS <= height; i += BT_TILE_ROWS)
        bt_turn_rows(packed + i * depth, from + i * lda, lda * sizeof *from, depth, BT_TILE_ROWS);
    for (size_t r = 0; i + r < height; r++)
        for (size_t p = 0; p < depth; p++)
            packed[i * depth + p * BT_TILE_ROWS + r] = from[(i + r) * lda + p];
}

/* All rows of c for one strip of k and one group of columns, whose part of b is packed. */
static void rows_of_strip(enum bt_product kind, size_t m, size_t width, size_t depth, size_t p0, const float *a,
                          size_t lda, const float *packed, float *c, size_t ldc, bool accumulate)
{
    _Alignas(64) float left[HEIGHT * DEPTH];
    for (size_t i0 = 0; i0 < m; i0 += HEIGHT) {
        const size_t height = BT_MIN((size_t)HEIGHT, m - i0);
        if (kind == BT_TN)
            pack_columns(left, a + p0 * lda + i0, lda, depth, height, BT_TILE_ROWS);
        else
            pack_groups(left, a + i0 * lda + p0, lda, depth, height);
        block(height, width, depth, left, packed, c + i0 * ldc, ldc, accumulate);
    }
}

/* k in equal strips: a short last one would be all overhead. */
static size_t strip_depth(size_t k)
{
    const size_t strips = (k + DEPTH - 1) / DEPTH;
    return strips > 1 ? ((k + strips - 1) / strips + 3) / 4 * 4 : DEPTH;
}

void BT_FN(gemm)(enum bt_product kind, size_t m, size_t n, size_t k, const float *a, size_t lda, const float *b,
                 size_t ldb, float *c, size_t ldc, bool accumulate)
{
    _Alignas(64) float packed[WIDTH * DEPTH];
    if (k == 0 && !accumulate)
        for (size_t i = 0; i < m; i++)
            memset(c + i * ldc, 0, n * sizeof *c);
    const size_t strip = strip_depth(k);
    for (size_t p0 = 0; p0 < k; p0 += strip) {
        const size_t depth = BT_MIN(strip, k - p0);
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
