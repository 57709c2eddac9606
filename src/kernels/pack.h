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

/* `rows` (even) rows of `depth` units: the units of one k side by side. */
BT_INLINE void bt_turn_rows(void *packed, const void *from, size_t stride, size_t depth, const size_t rows)
{
    int32_t *to = packed;
    const char *row = from;
    size_t p = 0;
    for (; p + 4 <= depth; p += 4) {
        for (size_t r = 0; r + 4 <= rows; r += 4)
            bt_turn_quads(to + p * rows + r, rows, row + r * stride + 4 * p, stride);
        if (rows % 4 == 2)
            bt_turn_pairs(to + p * rows + rows - 2, rows, row + (rows - 2) * stride + 4 * p, stride);
    }
    for (; p < depth; p++)
        for (size_t r = 0; r < rows; r++)
            memcpy(to + p * rows + r, row + r * stride + 4 * p, 4);
}

#endif
