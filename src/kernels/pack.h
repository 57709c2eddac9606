/* kernels/pack.h - operands of matrix products turned into the order in which register tiles read them.
 *
 * Everything here moves units of four bytes, whatever they are: a float, two int16 or four int8 that are neighbours in
 * k. Strides and offsets of memory are in bytes, since rows of codes may begin anywhere. */
#ifndef BT_KERNELS_PACK_H
#define BT_KERNELS_PACK_H

#include <stdint.h>
#include <string.h>

#define BT_INLINE static inline __attribute__((always_inline))

typedef int32_t bt_quad __attribute__((vector_size(16), aligned(1), may_alias));
typedef int64_t bt_couple __attribute__((vector_size(16), aligned(1), may_alias));

typedef int32_t bt_oct __attribute__((vector_size(32), aligned(1), may_alias));
typedef int32_t bt_wide __attribute__((vector_size(64), aligned(1), may_alias));

/* Four rows of four neighbours become columns: unit p of row r goes to to[p * step + r]. */
BT_INLINE void bt_turn_quads(int32_t *to, size_t step, const char *from, size_t stride)
{
    const bt_quad a = *(const bt_quad *)from, b = *(const bt_quad *)(from + stride);
    const bt_quad c = *(const bt_quad *)(from + 2 * stride), d = *(const bt_quad *)(from + 3 * stride);
    const bt_quad ac_low = __builtin_shufflevector(a, c, 0, 4, 1, 5),
                  bd_low = __builtin_shufflevector(b, d, 0, 4, 1, 5);
    const bt_quad ac_up = __builtin_shufflevector(a, c, 2, 6, 3, 7), bd_up = __builtin_shufflevector(b, d, 2, 6, 3, 7);
    *(bt_quad *)(to + 0 * step) = __builtin_shufflevector(ac_low, bd_low, 0, 4, 1, 5);
    *(bt_quad *)(to + 1 * step) = __builtin_shufflevector(ac_low, bd_low, 2, 6, 3, 7);
    *(bt_quad *)(to + 2 * step) = __builtin_shufflevector(ac_up, bd_up, 0, 4, 1, 5);
    *(bt_quad *)(to + 3 * step) = __builtin_shufflevector(ac_up, bd_up, 2, 6, 3, 7);
}

/* The same with two rows. */
BT_INLINE void bt_turn_pairs(int32_t *to, size_t step, const char *from, size_t stride)
{
    const bt_quad a = *(const bt_quad *)from, b = *(const bt_quad *)(from + stride);
    const bt_couple low = (bt_couple)__builtin_shufflevector(a, b, 0, 4, 1, 5);
    const bt_couple up = (bt_couple)__builtin_shufflevector(a, b, 2, 6, 3, 7);
    memcpy(to + 0 * step, (const int64_t[]){low[0]}, 8);
    memcpy(to + 1 * step, (const int64_t[]){low[1]}, 8);
    memcpy(to + 2 * step, (const int64_t[]){up[0]}, 8);
    memcpy(to + 3 * step, (const int64_t[]){up[1]}, 8);
}

/* Eight or sixteen rows at once, where there are vectors as wide: each holds four neighbours of every fourth row. */
#if defined(__AVX__)
BT_INLINE bt_oct bt_load_oct(const char *from, size_t stride)
{
    const bt_quad low = *(const bt_quad *)from, up = *(const bt_quad *)(from + 4 * stride);
    return __builtin_shufflevector(low, up, 0, 1, 2, 3, 4, 5, 6, 7);
}

BT_INLINE void bt_turn_octs(int32_t *to, size_t step, const char *from, size_t stride)
{
    const bt_oct a = bt_load_oct(from, stride), b = bt_load_oct(from + stride, stride);
    const bt_oct c = bt_load_oct(from + 2 * stride, stride), d = bt_load_oct(from + 3 * stride, stride);
    const bt_oct ac_low = __builtin_shufflevector(a, c, 0, 8, 1, 9, 4, 12, 5, 13);
    const bt_oct bd_low = __builtin_shufflevector(b, d, 0, 8, 1, 9, 4, 12, 5, 13);
    const bt_oct ac_up = __builtin_shufflevector(a, c, 2, 10, 3, 11, 6, 14, 7, 15);
    const bt_oct bd_up = __builtin_shufflevector(b, d, 2, 10, 3, 11, 6, 14, 7, 15);
    *(bt_oct *)(to + 0 * step) = __builtin_shufflevector(ac_low, bd_low, 0, 8, 1, 9, 4, 12, 5, 13);
    *(bt_oct *)(to + 1 * step) = __builtin_shufflevector(ac_low, bd_low, 2, 10, 3, 11, 6, 14, 7, 15);
    *(bt_oct *)(to + 2 * step) = __builtin_shufflevector(ac_up, bd_up, 0, 8, 1, 9, 4, 12, 5, 13);
    *(bt_oct *)(to + 3 * step) = __builtin_shufflevector(ac_up, bd_up, 2, 10, 3, 11, 6, 14, 7, 15);
}
#endif

#if defined(__AVX512F__)
BT_INLINE bt_wide bt_load_wide(const char *from, size_t stride)
{
    const bt_oct low = bt_load_oct(from, stride), up = bt_load_oct(from + 8 * stride, stride);
    return __builtin_shufflevector(low, up, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
}

#define BT_TURN_LOW(a, b) __builtin_shufflevector(a, b, 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29)
#define BT_TURN_UP(a, b)  __builtin_shufflevector(a, b, 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31)

BT_INLINE void bt_turn_wides(int32_t *to, size_t step, const char *from, size_t stride)
{
    const bt_wide a = bt_load_wide(from, stride), b = bt_load_wide(from + stride, stride);
    const bt_wide c = bt_load_wide(from + 2 * stride, stride), d = bt_load_wide(from + 3 * stride, stride);
    const bt_wide ac_low = BT_TURN_LOW(a, c), bd_low = BT_TURN_LOW(b, d);
    const bt_wide ac_up = BT_TURN_UP(a, c), bd_up = BT_TURN_UP(b, d);
    *(bt_wide *)(to + 0 * step) = BT_TURN_LOW(ac_low, bd_low);
    *(bt_wide *)(to + 1 * step) = BT_TURN_UP(ac_low, bd_low);
    *(bt_wide *)(to + 2 * step) = BT_TURN_LOW(ac_up, bd_up);
    *(bt_wide *)(to + 3 * step) = BT_TURN_UP(ac_up, bd_up);
}
#endif

/* `rows` (even) rows of `depth` units: the units of one k side by side. */
BT_INLINE void bt_turn_rows(void *packed, const void *from, size_t stride, size_t depth, const size_t rows)
{
    int32_t *to = packed;
    const char *row = from;
    size_t p = 0;
    for (; p + 4 <= depth; p += 4) {
        size_t r = 0;
#if defined(__AVX512F__)
        for (; r + 16 <= rows; r += 16)
            bt_turn_wides(to + p * rows + r, rows, row + r * stride + 4 * p, stride);
#endif
#if defined(__AVX__)
        for (; r + 8 <= rows; r += 8)
            bt_turn_octs(to + p * rows + r, rows, row + r * stride + 4 * p, stride);
#endif
        for (; r + 4 <= rows; r += 4)
            bt_turn_quads(to + p * rows + r, rows, row + r * stride + 4 * p, stride);
        if (rows % 4 == 2)
            bt_turn_pairs(to + p * rows + rows - 2, rows, row + (rows - 2) * stride + 4 * p, stride);
    }
    for (; p < depth; p++)
        for (size_t r = 0; r < rows; r++)
            memcpy(to + p * rows + r, row + r * stride + 4 * p, 4);
}

#endif
