/* train/packed.h - ternary codes as Hugging Face's packed BitNet folders keep them, and master weights for codes.
 *
 * Layout: transformers, integrations/bitnet.py, pack_weights. With quarter = rows / 4, byte (r, c) of the packed matrix
 * (quarter, cols) holds the codes of rows r, r + quarter, r + 2 quarter, r + 3 quarter plus one, the first in the low
 * two bits. The value 3 never occurs. */
#ifndef BT_TRAIN_PACKED_H
#define BT_TRAIN_PACKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* codes (rows, cols) of -1, 0, 1 -> packed (rows / 4, cols); rows is a multiple of 4. */
void bt_pack_codes(uint8_t *packed, const int8_t *codes, size_t rows, size_t cols);
/* The way back, the codes as floats (rows, cols). False when a byte holds the value 3: its index is in ret_at. */
bool bt_unpack_codes(float *codes, const uint8_t *packed, size_t rows, size_t cols, size_t *ret_at);

/* Turns n codes (-1, 0, 1 as floats, in place) into master weights that quantise to these codes and to this scale:
 * their magnitude is scale * n / (number of codes that are not 0), so that the mean magnitude is the scale. The
 * magnitudes of one tensor differ in their last bit where that makes the float32 mean exact; a tensor with a single
 * nonzero code may come out one unit in the last place beside it, and one with none has the scale 1e-5 again. False
 * when the scale is below 1e-5, the smallest that quantising gives, or too large for such weights. */
bool bt_ternary_masters(float *codes, size_t n, float scale);

#endif
