/* kernels/tile.h - the register tile that matrix products and attention are made of.
 *
 *   c (rows, lanes) = or += a (rows, depth) b (depth, lanes)
 *
 * The lanes of b and c lie side by side in memory and fill vector registers; elements of a are broadcast, so its rows
 * and columns may lie any distance apart. Vectors are those of GNU C: gcc and clang turn them into the instructions of
 * whatever machine they compile for. */
#ifndef BT_KERNELS_TILE_H
#define BT_KERNELS_TILE_H

#include "kernels/pack.h"
#include "kernels/variant.h"

/* Six rows of accumulators, the vectors of b and one broadcast fit 16 registers (32 with AVX-512). Matrix products have
 * a tile of their own where there are 32: groups of eight rows are packed faster than those of six. */
#if defined(__AVX512F__)
#define BT_VECTOR_BYTES 64
#define BT_TILE_VECTORS 4
#define BT_GEMM_ROWS    8
#define BT_GEMM_VECTORS 3
#elif defined(__AVX__)
#define BT_VECTOR_BYTES 32
#define BT_TILE_VECTORS 2
#else
#define BT_VECTOR_BYTES 16
#define BT_TILE_VECTORS 2
#endif

#define BT_TILE_ROWS 6
#ifndef BT_GEMM_ROWS
#define BT_GEMM_ROWS    BT_TILE_ROWS
#define BT_GEMM_VECTORS BT_TILE_VECTORS
#endif

#define BT_VECTOR_LANES (BT_VECTOR_BYTES / sizeof(bt_real))
#define BT_TILE_LANES   (BT_TILE_VECTORS * BT_VECTOR_LANES)
#define BT_GEMM_LANES   (BT_GEMM_VECTORS * BT_VECTOR_LANES)
#define BT_MOST_ROWS    8

/* Not aligned beyond its elements. */
typedef bt_real bt_vector __attribute__((vector_size(BT_VECTOR_BYTES), aligned(sizeof(bt_real)), may_alias));

/* Where the elements of a lie: row r, depth p at at[r * row + p * step]. */
struct bt_broadcast {
    const bt_real *at;
    size_t row, step;
};

/* `rows` and `vectors` are constants wherever this is inlined. ldb and ldc are in elements. */
BT_INLINE void bt_tile_fixed(const int rows, const int vectors, bt_real *c, size_t ldc, struct bt_broadcast a,
                             const bt_real *b, size_t ldb, size_t depth, bool accumulate)
{
    bt_vector sum[BT_MOST_ROWS][BT_TILE_VECTORS]; /* of which `rows` and `vectors` */
    BT_UNROLL
    for (int r = 0; r < rows; r++) {
        BT_UNROLL
        for (int v = 0; v < vectors; v++)
            sum[r][v] = (bt_vector){0};
    }
    for (size_t p = 0; p < depth; p++) {
        bt_vector lanes[BT_TILE_VECTORS]; /* of which `vectors` */
        BT_UNROLL
        for (int v = 0; v < vectors; v++)
            lanes[v] = *(const bt_vector *)(b + p * ldb + (size_t)v * BT_VECTOR_LANES);
        BT_UNROLL
        for (int r = 0; r < rows; r++) {
            const bt_real x = a.at[(size_t)r * a.row + p * a.step];
            BT_UNROLL
            for (int v = 0; v < vectors; v++)
                sum[r][v] += x * lanes[v];
        }
    }
    BT_UNROLL
    for (int r = 0; r < rows; r++) {
        BT_UNROLL
        for (int v = 0; v < vectors; v++) {
            bt_vector *to = (bt_vector *)(c + (size_t)r * ldc + (size_t)v * BT_VECTOR_LANES);
            if (accumulate)
                sum[r][v] += *to;
            *to = sum[r][v];
        }
    }
}

/* One tile of up to BT_TILE_ROWS rows. */
BT_INLINE void bt_tile(size_t rows, bt_real *c, size_t ldc, struct bt_broadcast a, const bt_real *b, size_t ldb,
                       size_t depth, bool accumulate)
{
    switch (rows) {
    case 1:
        bt_tile_fixed(1, BT_TILE_VECTORS, c, ldc, a, b, ldb, depth, accumulate);
        break;
    case 2:
        bt_tile_fixed(2, BT_TILE_VECTORS, c, ldc, a, b, ldb, depth, accumulate);
        break;
    case 3:
        bt_tile_fixed(3, BT_TILE_VECTORS, c, ldc, a, b, ldb, depth, accumulate);
        break;
    case 4:
        bt_tile_fixed(4, BT_TILE_VECTORS, c, ldc, a, b, ldb, depth, accumulate);
        break;
    case 5:
        bt_tile_fixed(5, BT_TILE_VECTORS, c, ldc, a, b, ldb, depth, accumulate);
        break;
    default:
        bt_tile_fixed(BT_TILE_ROWS, BT_TILE_VECTORS, c, ldc, a, b, ldb, depth, accumulate);
    }
}

#endif
