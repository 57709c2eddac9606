/* train/best_fit.h - best-fit decreasing: pieces into bins of one capacity. */
#ifndef BT_TRAIN_BEST_FIT_H
#define BT_TRAIN_BEST_FIT_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* lengths (n): 1 .. capacity, not increasing. Piece i goes to the bin with the least free space that still holds it,
 * the one opened first when several are equally full, or to a new bin. bin_of (n) gets its number; bins are numbered in
 * the order in which they were opened. O(n (log n + capacity / 64)); n < 2^32 - 1. BT_ENOMEM. */
enum bt_err bt_best_fit(const uint32_t *lengths, size_t n, size_t capacity, uint32_t *bin_of, size_t *ret_bins,
                        struct bt_diag *diag);

#endif
