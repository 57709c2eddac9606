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

/* ---- what the instruction set has for units ---- */

typedef int32_t bt_ints __attribute__((vector_size(BT_VECTOR_BYTES), aligned(4), may_alias));
typedef int16_t bt_shorts __attribute__((vector_size(BT_VECTOR_BYTES), aligned(4), may_alias));
typedef int8_t bt_bytes __attribute__((vector_size(BT_VECTOR_BYTES), aligned(4), may_alias));
typedef uint8_t bt_ubytes __attribute__((vector_size(BT_VECTOR_BYTES), aligned(4), may_alias));

/* Sums of two neighbouring products. With b in 0 to 2 nothing saturates. */
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

/* The instructions of VNNI multiply and add in one. Instances with and without them differ in what stands from here to
 * the next heading and in nothing else; the emulated one, for tests, has the form of VNNI's without its instructions.
 */
#if defined(__AVX512VNNI__) || defined(__AVXVNNI__) || defined(BT_EMULATE_VNNI)

/* Four products into each int32. Unlike bt_dot_bytes the instruction has no sum of 16 bits in between: each product,
 * unsigned times signed, is exact, and all four are added in 32 bits, so a run may be as long as a product. */
typedef bt_ints bt_byte_sums;
#define BT_BYTES_RUN SIZE_MAX

BT_INLINE bt_byte_sums bt_add_bytes(bt_byte_sums sum, bt_ints b, bt_ints a)
{
#if defined(__AVX512VNNI__)
    return (bt_ints)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)b, (__m512i)a);
#elif defined(__AVXVNNI__)
    return (bt_ints)_mm256_dpbusd_avx_epi32((__m256i)sum, (__m256i)b, (__m256i)a);
#else
    return sum + bt_dot_shorts((bt_ints)bt_dot_bytes(b, a), (bt_ints)((bt_shorts){0} + 1));
#endif
}

BT_INLINE bt_ints bt_widen(bt_byte_sums sum)
{
    return sum;
}

/* Two products into each int32, modulo 2^32 as additions are. */
BT_INLINE bt_ints bt_add_shorts(bt_ints sum, bt_ints b, bt_ints a)
{
#if defined(__AVX512VNNI__)
    return (bt_ints)_mm512_dpwssd_epi32((__m512i)sum, (__m512i)b, (__m512i)a);
#elif defined(__AVXVNNI__)
    return (bt_ints)_mm256_dpwssd_avx_epi32((__m256i)sum, (__m256i)b, (__m256i)a);
#else
    return sum + bt_dot_shorts(b, a);
#endif
}

#else

/* Pairs of products stay in 16 bits over a run of units. A product lies in 2 * -128 to 2 * 127, so the pairs of a run
 * of 64 add up to 64 * -512 = -32768 at least and 64 * 508 = 32512 at most, and both are int16. */
typedef bt_shorts bt_byte_sums;
#define BT_BYTES_RUN 64

BT_INLINE bt_byte_sums bt_add_bytes(bt_byte_sums sum, bt_ints b, bt_ints a)
{
    return sum + bt_dot_bytes(b, a);
}

BT_INLINE bt_ints bt_widen(bt_byte_sums sum)
{
    return bt_dot_shorts((bt_ints)sum, (bt_ints)((bt_shorts){0} + 1));
}

BT_INLINE bt_ints bt_add_shorts(bt_ints sum, bt_ints b, bt_ints a)
{
    return sum + bt_dot_shorts(b, a);
}

#endif

/* ---- tiles ---- */

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

/* The length of the nearly equal parts, at most `most` each, that a side is cut into: a multiple of grain, as is most.
 */
BT_INLINE size_t bt_equal_parts(size_t side, size_t most, size_t grain)
{
    const size_t parts = BT_MAX((side + most - 1) / most, (size_t)1), length = (side + parts - 1) / parts;
    return BT_MAX((length + grain - 1) / grain * grain, grain);
}

/* Where a tile of sums will go: its cache lines come from memory while it is summed, one with each unit, for there are
 * only so many that a processor can wait for. */
struct bt_tile_goal {
    const float *at;
    size_t stride, last; /* line; 0 for a tile that is not whole */
};

enum { BT_LINE_FLOATS = 16, BT_LINES_A_ROW = (BT_TILE_LANES + BT_LINE_FLOATS - 1) / BT_LINE_FLOATS };

BT_INLINE struct bt_tile_goal bt_tile_goal(const float *at, size_t stride, size_t rows, size_t lanes)
{
    const bool whole = rows == BT_TILE_ROWS && lanes == BT_TILE_LANES;
    return (struct bt_tile_goal){at, stride, whole ? BT_TILE_ROWS * BT_LINES_A_ROW - 1 : 0};
}

/* After the last line that one again: a branch would make two loops of one, and gcc spills the sums in one of them. */
BT_INLINE void bt_fetch_line(const struct bt_tile_goal *goal, size_t p)
{
    const size_t line = BT_MIN(p, goal->last);
    __builtin_prefetch(goal->at + line / BT_LINES_A_ROW * goal->stride + line % BT_LINES_A_ROW * BT_LINE_FLOATS, 1);
}

/* A run of bt_tile_bytes, units from ... to, added to the sums unless it is the first. */
BT_INLINE void bt_tile_run(int32_t *sums, const int32_t *a, const int32_t *b, size_t from, size_t to,
                           const struct bt_tile_goal *goal)
{
    bt_byte_sums sum[BT_TILE_ROWS][BT_TILE_VECTORS];
    BT_UNROLL
    for (int r = 0; r < BT_TILE_ROWS; r++) {
        BT_UNROLL
        for (int v = 0; v < BT_TILE_VECTORS; v++)
            sum[r][v] = (bt_byte_sums){0};
    }
    for (size_t p = from; p < to; p++) {
        bt_ints lanes[BT_TILE_VECTORS];
        bt_fetch_line(goal, p);
        bt_load_unit(lanes, b, p);
        BT_UNROLL
        for (int r = 0; r < BT_TILE_ROWS; r++) {
            const bt_ints x = bt_broadcast_unit(a, p, r);
            BT_UNROLL
            for (int v = 0; v < BT_TILE_VECTORS; v++)
                sum[r][v] = bt_add_bytes(sum[r][v], lanes[v], x);
        }
    }
    BT_UNROLL
    for (int r = 0; r < BT_TILE_ROWS; r++) {
        BT_UNROLL
        for (int v = 0; v < BT_TILE_VECTORS; v++) {
            bt_ints total = bt_widen(sum[r][v]);
            if (from > 0)
                total += *bt_sums_at(sums, r, v);
            *bt_sums_at(sums, r, v) = total;
        }
    }
}

/* sums (BT_TILE_ROWS, BT_TILE_LANES) = a b over `depth` units of int8 codes a and bytes 0 to 2 of b. */
BT_INLINE void bt_tile_bytes(int32_t *sums, const int32_t *a, const int32_t *b, size_t depth,
                             const struct bt_tile_goal *goal)
{
    size_t from = 0;
    do {
        const size_t to = from + BT_MIN(depth - from, (size_t)BT_BYTES_RUN);
        bt_tile_run(sums, a, b, from, to, goal);
        from = to;
    } while (from < depth);
}

/* The same for int16. */
BT_INLINE void bt_tile_shorts(int32_t *sums, const int32_t *a, const int32_t *b, size_t depth,
                              const struct bt_tile_goal *goal)
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
        bt_fetch_line(goal, p);
        bt_load_unit(lanes, b, p);
        BT_UNROLL
        for (int r = 0; r < BT_TILE_ROWS; r++) {
            const bt_ints x = bt_broadcast_unit(a, p, r);
            BT_UNROLL
            for (int v = 0; v < BT_TILE_VECTORS; v++)
                sum[r][v] = bt_add_shorts(sum[r][v], lanes[v], x);
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
