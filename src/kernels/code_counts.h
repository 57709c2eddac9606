/* kernels/code_counts.h - what telemetry counts in codes. Whole numbers, so the same on every instruction set and for
 * any number of threads. */
#ifndef BT_KERNELS_CODE_COUNTS_H
#define BT_KERNELS_CODE_COUNTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bt_code_counts { /* of the ternary codes of one tensor */
    uint64_t minus, zero, plus;
    uint64_t flipped;      /* are not what they were */
    uint64_t sign_changed; /* of these, went from -1 to 1 or from 1 to -1 */
};

/* Bytes that n codes take at two bits each: code i, plus one, stands in bits 2 (i % 4) of byte i / 4, and what is
 * beyond the last code is 0. */
size_t bt_packed_codes_bytes(size_t n);
/* t (n) in {-1, 0, 1} -> packed. */
void bt_packed_codes_make(uint8_t *packed, const int8_t *t, size_t n);
/* Could bt_packed_codes_make have written these bytes? */
bool bt_packed_codes_valid(const uint8_t *packed, size_t n);
/* Counts t (n) and how it differs from what is packed. */
void bt_codes_compare(struct bt_code_counts *counts, const int8_t *t, const uint8_t *packed, size_t n);

/* Weights within `margin` scales of a rounding boundary: | |w| (1 / s) - 0.5 | < margin. */
uint64_t bt_weights_near_boundary(const float *w, size_t n, float s, float margin);
/* Activation codes that are 127, -127 or -128. */
uint64_t bt_codes_at_ends(const int8_t *codes, size_t n);

#endif
