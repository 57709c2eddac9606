/* kernels/int_tile.h - the register tiles of products of integers.
 *
 * A unit of four bytes holds neighbours in k: four int8, or two int16. Within a packed group of a the units of
 * BT_TILE_ROWS rows lie side by side, within a packed panel of b those of BT_TILE_LANES columns. */
#ifndef BT_KERNELS_INT_TILE_H
#define BT_KERNELS_INT_TILE_H

#include "kernels/tile.h"

#if defined(__AVX2__)
#include <immintrin.h>
#endif

typedef int32_t bt_ints __attribute__((vector_size(BT_VECTOR_BYTES), aligned(4), may_alias));
typedef int16_t bt_shorts __attribute__((vector_size(BT_VECTOR_BYTES), aligned(4), may_alias));
typedef int8_t bt_bytes __attribute__((vector_size(BT_VECTOR_BYTES), aligned(4), may_alias));
typedef uint8_t bt_ubytes __attribute__((vector_size(BT_VECTOR_BYTES), aligned(4), may_alias));

/* Sums of two neighbouring products. With b in 0 to 2 and a in -127 to 127 nothing saturates. */
BT_INLINE bt_shorts bt_dot_bytes(bt_ints b, bt_ints a)
{
#if defined(__AVX512BW__)
    return (bt_shorts)_mm512_maddubs_epi16((__m512i)b, (__m512i)a);
#elif defined(__AVX2__)
    return (bt_shorts)_mm256_maddubs_epi16((__m256i)b, (__m256i)a);
#else
    bt_shorts sum;
    const bt_ubytes left = (bt_ubytes)b;
    const bt_bytes right = (bt_bytes)a;
    for (unsigned i = 0; i < BT_VECTOR_BYTES / 2; i++)
        sum[i] = (int16_t)(left[2 * i] * right[2 * i] + left[2 * i + 1] * right[2 * i + 1]);
    return sum;
#endif
}

BT_INLINE bt_ints bt_dot_shorts(bt_ints b, bt_ints a)
{
#if defined(__AVX512BW__)
    return (bt_ints)_mm512_madd_epi16((__m512i)b, (__m512i)a);
#elif defined(__AVX2__)
    return (bt_ints)_mm256_madd_epi16((__m256i)b, (__m256i)a);
#else
    bt_ints sum;
    const bt_shorts left = (bt_shorts)b, right = (bt_shorts)a;
    for (unsigned i = 0; i < BT_VECTOR_BYTES / 4; i++)
        sum[i] = left[2 * i] * right[2 * i] + left[2 * i + 1] * right[2 * i + 1];
    return sum;
#endif
}

/* A sum of this many bt_dot_bytes, 508 at most each, fits an int16. */
#define BT_BYTES_RUN 64

/* Unit p of the columns of a panel. */
BT_INLINE void bt_load_unit(bt_ints lanes[BT_TILE_VECTORS], const int32_t *b, size_t p)
{
    BT_UNROLL
    for (int v = 0; v < BT_TILE_VECTORS; v++)
        lanes[v] = *(const bt_ints *)(b + p * BT_TILE_LANES + (size_t)v * BT_VECTOR_BYTES / 4);
}

/* Unit p of row r of a group, in every lane. */
BT_INLINE bt_ints bt_broadcast_unit(const int32_t *a, size_t p, int r)
{
    return (bt_ints){0} + a[p * BT_TILE_ROWS + (size_t)r];
}

/* Where vector v of row r lies in the sums of a tile. */
BT_INLINE bt_ints *bt_sums_at(int32_t *sums, int r, int v)
{
    return (bt_ints *)(sums + r * (int)BT_TILE_LANES + v * BT_VECTOR_BYTES / 4);
}

/* sums (BT_TILE_ROWS, BT_TILE_LANES) = a b over `depth` units of int8 codes a and bytes 0 to 2 of b. */
BT_INLINE void bt_tile_bytes(int32_t *sums, const int32_t *a, const int32_t *b, size_t depth)
{
    const bt_ints ones = (bt_ints)((bt_shorts){0} + 1);
    memset(sums, 0, BT_TILE_ROWS * BT_TILE_LANES * sizeof *sums);
    for (size_t from = 0; from < depth; from += BT_BYTES_RUN) {
        const size_t to = depth - from < BT_BYTES_RUN ? depth : from + BT_BYTES_RUN;
        bt_shorts part[BT_TILE_ROWS][BT_TILE_VECTORS];
        BT_UNROLL
        for (int r = 0; r < BT_TILE_ROWS; r++) {
            BT_UNROLL
            for (int v = 0; v < BT_TILE_VECTORS; v++)
                part[r][v] = (bt_shorts){0};
        }
        for (size_t p = from; p < to; p++) {
            bt_ints lanes[BT_TILE_VECTORS];
            bt_load_unit(lanes, b, p);
            BT_UNROLL
            for (int r = 0; r < BT_TILE_ROWS; r++) {
                const bt_ints x = bt_broadcast_unit(a, p, r);
                BT_UNROLL
                for (int v = 0; v < BT_TILE_VECTORS; v++)
                    part[r][v] += bt_dot_bytes(lanes[v], x);
            }
        }
        BT_UNROLL
        for (int r = 0; r < BT_TILE_ROWS; r++) {
            BT_UNROLL
            for (int v = 0; v < BT_TILE_VECTORS; v++)
                *bt_sums_at(sums, r, v) += bt_dot_shorts((bt_ints)part[r][v], ones);
        }
    }
}

/* The same for int16. */
BT_INLINE void bt_tile_shorts(int32_t *sums, const int32_t *a, const int32_t *b, size_t depth)
{
    bt_ints sum[BT_TILE_ROWS][BT_TILE_VECTORS];
    BT_UNROLL
    for (int r = 0; r < BT_TILE_ROWS; r++) {
        BT_UNROLL
        for (int v = 0; v < BT_TILE_VECTORS; v++)
            sum[r][v] = (bt_ints){0};
    }
    for (size_t p = 0; p < depth; p++) {
        bt_ints lanes[BT_TILE_VECTORS];
        bt_load_unit(lanes, b, p);
        BT_UNROLL
        for (int r = 0; r < BT_TILE_ROWS; r++) {
            const bt_ints x = bt_broadcast_unit(a, p, r);
            BT_UNROLL
            for (int v = 0; v < BT_TILE_VECTORS; v++)
                sum[r][v] += bt_dot_shorts(lanes[v], x);
        }
    }
    BT_UNROLL
    for (int r = 0; r < BT_TILE_ROWS; r++) {
        BT_UNROLL
        for (int v = 0; v < BT_TILE_VECTORS; v++)
            *bt_sums_at(sums, r, v) = sum[r][v];
    }
}

#endif
