/* kernels/gemm.c - one single-threaded float32 matrix product, blocked for the caches.
 *
 * A strip of k at a time, b is packed into panels as wide as the register tile (within a panel the lanes of one k lie
 * side by side, zeros beyond the edge). Groups of as many rows of a as the tile has are read where they are, if k runs
 * along memory there; else they are packed too, a block of groups at once. Both packs live on the stack.
 *
 * Every element of c is summed over a strip in order, and the strips in order: the same bits however a caller cuts c
 * into tiles. */
#include <string.h>

#include "kernels/tile.h"

#define ROWS  ((size_t)BT_GEMM_ROWS)
#define LANES ((size_t)BT_GEMM_LANES)

/* With AVX-512 panels pass by a group that stays in the first-level cache; with narrower vectors the second-level cache
 * may be too small for the panels, so one of them stays and the groups of a block pass by. */
#if defined(__AVX512F__)
enum { PANELS_PASS = 1, DEPTH = 512, WIDTH = 320, HEIGHT = 8 * BT_GEMM_ROWS };
#else
enum { PANELS_PASS = 0, DEPTH = 320, WIDTH = 384, HEIGHT = 16 * BT_GEMM_ROWS };
#endif

enum {
    PACKED = WIDTH * DEPTH, /* floats of b packed at once, in strips of k of at most DEPTH: 640 or 480 KiB */
    AHEAD = 8,              /* rows that are asked for before they are packed; of a, HEIGHT at once */
};

/* Rows of memory that become `lanes` neighbours of one k: panels of b (n, k), groups of a (m, k). Zeros beyond the
 * edge. */
BT_INLINE void pack_rows(float *packed, const float *from, size_t ld, size_t depth, size_t count, const size_t lanes)
{
    size_t j = 0;
    for (; j + lanes <= count; j += lanes)
        bt_turn_rows(packed + j * depth, from + j * ld, ld * sizeof *from, depth, lanes);
    if (j == count)
        return;
    for (size_t p = 0; p < depth; p++) {
        float *to = packed + j * depth + p * lanes;
        for (size_t l = 0; l < lanes; l++)
            to[l] = j + l < count ? from[(j + l) * ld + p] : 0.0f;
    }
}

/* Panels of b (k, n), groups of a (k, m): `lanes` neighbours in a row of memory stay neighbours. Memory is read a whole
 * row at a time, since rows may lie a multiple of the cache's size apart. */
BT_INLINE void pack_columns(float *packed, const float *from, size_t ld, size_t depth, size_t count, const size_t lanes)
{
    const size_t whole = count / lanes * lanes;
    for (size_t p = 0; p < depth; p++) {
        const float *row = from + p * ld;
        for (size_t j = 0; j < count; j += 16)
            __builtin_prefetch(row + AHEAD * ld + j);
        for (size_t j = 0; j < whole; j += lanes)
            memcpy(packed + j * depth + p * lanes, row + j, lanes * sizeof *packed);
        if (whole < count) {
            float *to = packed + whole * depth + p * lanes;
            memset(to, 0, lanes * sizeof *packed);
            memcpy(to, row + whole, (count - whole) * sizeof *packed);
        }
    }
}

static void tile(float *c, size_t ldc, struct bt_broadcast a, const float *panel, size_t depth, bool accumulate)
{
    bt_tile_fixed(BT_GEMM_ROWS, BT_GEMM_VECTORS, c, ldc, a, panel, LANES, depth, accumulate);
}

/* A tile at an edge is computed whole, on the side, and only its valid elements are handed on. */
static void edge_tile(size_t rows, size_t lanes, float *c, size_t ldc, struct bt_broadcast a, const float *panel,
                      size_t depth, bool accumulate)
{
    float whole[BT_GEMM_ROWS * BT_GEMM_LANES];
    tile(whole, LANES, a, panel, depth, false);
    for (size_t r = 0; r < rows; r++)
        for (size_t l = 0; l < lanes; l++) {
            const float value = whole[r * LANES + l];
            c[r * ldc + l] = accumulate ? c[r * ldc + l] + value : value;
        }
}

/* The operands of one strip; a begins at its first k. */
struct strip {
    enum bt_product kind;
    size_t m, width, depth;
    const float *a;
    size_t lda;
    float *c;
    size_t ldc;
    bool accumulate;
};

/* Packs the rows from i on that are not read where they are: all of a (k, m), of others an incomplete group. */
static void pack_a(float *packed, const struct strip *s, size_t i, size_t height)
{
    const size_t skip = height / ROWS * ROWS;
    if (s->kind == BT_TN)
        pack_columns(packed, s->a + i, s->lda, s->depth, height, ROWS);
    else
        pack_rows(packed + skip * s->depth, s->a + (i + skip) * s->lda, s->lda, s->depth, height - skip, ROWS);
}

/* The tile of c at row i and column j of the strip. */
static void tile_at(const struct strip *s, struct bt_broadcast a, const float *packed, size_t i, size_t j)
{
    const size_t rows = BT_MIN(ROWS, s->m - i), lanes = BT_MIN(LANES, s->width - j);
    const float *panel = packed + j * s->depth;
    float *to = s->c + i * s->ldc + j;
    for (size_t r = 0; r < rows; r++) /* c comes from memory while the tile is summed */
        for (size_t l = 0; l < lanes; l += 16)
            __builtin_prefetch(to + r * s->ldc + l, 1);
    if (lanes < LANES || rows < ROWS)
        edge_tile(rows, lanes, to, s->ldc, a, panel, s->depth, s->accumulate);
    else
        tile(to, s->ldc, a, panel, s->depth, s->accumulate);
}

/* Where the group of a at row i is: packed, since row i0, or in place. */
static struct bt_broadcast group_at(const struct strip *s, const float *left, size_t i0, size_t i)
{
    if (s->kind == BT_TN || s->m - i < ROWS)
        return (struct bt_broadcast){left + (i - i0) * s->depth, 1, ROWS};
    return (struct bt_broadcast){s->a + i * s->lda, s->lda, 1};
}

/* Rows i0 to i1 of c, for one strip of k and one group of columns. What stays in the first-level cache is in the outer
 * loop. */
static void block(const struct strip *s, const float *left, const float *packed, size_t i0, size_t i1)
{
    if (PANELS_PASS)
        for (size_t i = i0; i < i1; i += ROWS)
            for (size_t j = 0; j < s->width; j += LANES)
                tile_at(s, group_at(s, left, i0, i), packed, i, j);
    else
        for (size_t j = 0; j < s->width; j += LANES)
            for (size_t i = i0; i < i1; i += ROWS)
                tile_at(s, group_at(s, left, i0, i), packed, i, j);
}

/* All rows of c for one strip of k and one group of columns, whose part of b is packed. */
static void rows_of_strip(const struct strip *s, const float *packed)
{
    _Alignas(64) float left[HEIGHT * DEPTH];
    for (size_t i = 0; i < s->m; i += HEIGHT) {
        const size_t height = BT_MIN((size_t)HEIGHT, s->m - i);
        pack_a(left, s, i, height);
        block(s, left, packed, i, i + height);
    }
}

/* k in equal strips: a short last one would be all overhead. */
static size_t strip_depth(size_t k)
{
    const size_t strips = (k + DEPTH - 1) / DEPTH;
    return strips > 1 ? ((k + strips - 1) / strips + 3) / 4 * 4 : k;
}

/* Columns of b that are packed at once, in equal groups too. */
static size_t group_width(size_t n, size_t depth)
{
    const size_t most = PACKED / depth / LANES * LANES, groups = (n + most - 1) / most;
    return ((n + groups - 1) / groups + LANES - 1) / LANES * LANES;
}

void BT_FN(gemm)(enum bt_product kind, size_t m, size_t n, size_t k, const float *a, size_t lda, const float *b,
                 size_t ldb, float *c, size_t ldc, bool accumulate)
{
    _Alignas(64) float packed[PACKED];
    if (k == 0 && !accumulate)
        for (size_t i = 0; i < m; i++)
            memset(c + i * ldc, 0, n * sizeof *c);
    if (m == 0 || n == 0)
        return;
    const size_t deep = strip_depth(k);
    for (size_t p0 = 0; p0 < k; p0 += deep) {
        const size_t depth = BT_MIN(deep, k - p0), wide = group_width(n, depth);
        for (size_t j0 = 0; j0 < n; j0 += wide) {
            const size_t width = BT_MIN(wide, n - j0);
            const struct strip s = {.kind = kind,
                                    .m = m,
                                    .width = width,
                                    .depth = depth,
                                    .a = kind == BT_TN ? a + p0 * lda : a + p0,
                                    .lda = lda,
                                    .c = c + j0,
                                    .ldc = ldc,
                                    .accumulate = accumulate || p0 > 0};
            if (kind == BT_NT)
                pack_rows(packed, b + j0 * ldb + p0, ldb, depth, width, LANES);
            else
                pack_columns(packed, b + p0 * ldb + j0, ldb, depth, width, LANES);
            rows_of_strip(&s, packed);
        }
    }
}
