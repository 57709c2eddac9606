/* kernels/ternary.h - the linear layer of inference: ternary weights in two bits, int8 activation codes.
 *
 *   y_ro = (float)(sum_i c_ri t_oi) * ((a_r / 127) * s) + bias_o       docs/numerics.md section 1
 *
 * The sum is exact in integers, so every instruction set gives the bits that the float product on the codes gives, for
 * any number of rows, tokens and threads. */
#ifndef BT_KERNELS_TERNARY_H
#define BT_KERNELS_TERNARY_H

#include <stddef.h>
#include <stdint.h>

#include "base/cpu.h"

/* A row is cut into blocks of 256 weights in 64 bytes. Byte j of a block holds t + 1 of the weights j, j + 64, j + 128
 * and j + 192 in its bits 0-1, 2-3, 4-5 and 6-7. What is beyond the end of a row is 0 and weighs nothing. */
enum { BT_TERNARY_BLOCK = 256, BT_TERNARY_BLOCK_BYTES = 64 };

/* Bytes of one packed row. */
size_t bt_ternary_row_bytes(size_t in);
/* t (out, in) in {-1, 0, 1} -> packed (out, bt_ternary_row_bytes(in)). */
void bt_ternary_pack(uint8_t *packed, const int8_t *t, size_t out, size_t in);

struct bt_ternary { /* views */
    size_t in, out;
    const uint8_t *packed;
    float s;
    const float *bias; /* NULL: none */
};

/* How many bytes behind the last row of codes are read (and count for nothing). */
#define BT_TERNARY_OVERREAD 256

/* y (n, out) from codes (n, in), each from -127 to 127, and their scales a (n). in is at most 2^24 / 127, where the sum
 * stops being a float. */
void bt_ternary_linear(enum bt_cpu_level level, const struct bt_ternary *layer, float *y, const int8_t *codes,
                       const float *a, size_t n);

#endif
