/* kernels/ternary_variant.h - the instances of the packed product. Private to this folder. */
#ifndef BT_KERNELS_TERNARY_VARIANT_H
#define BT_KERNELS_TERNARY_VARIANT_H

#include "kernels/ternary.h"

enum { BT_TERNARY_MOST_ROWS = 64 }; /* of one call: they stay in the second-level cache */

/* y (n, rows) with rows ldy apart = the sums, as floats, of rows of packed weights with the codes of n tokens. Single-
 * threaded. */
typedef void bt_ternary_rows_fn(float *y, size_t ldy, const uint8_t *packed, size_t rows, size_t in,
                                const int8_t *codes, size_t n);
bt_ternary_rows_fn bt_ternary_rows_portable, bt_ternary_rows_avx2, bt_ternary_rows_avx512;

#endif
