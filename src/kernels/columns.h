/* kernels/columns.h - sums over the rows of a matrix, the gradients of gains and biases. */
#ifndef BT_KERNELS_COLUMNS_H
#define BT_KERNELS_COLUMNS_H

#include "kernels/variant.h"

/* Rows are cut into this many blocks, whatever the number of threads; columns are taken a strip at a time, so that the
 * partial sums fit on the stack. */
enum { BT_ROW_BLOCKS = 32, BT_STRIP = 256 };

/* Adds to sum (columns) what rows [begin, end) contribute to the columns from c0 on. */
typedef void bt_column_part_fn(bt_real *sum, const void *context, size_t begin, size_t end, size_t c0, size_t columns);

/* total (d) += the sum over n rows of what `part` gives: each block of rows on its own, then the blocks in order. */
static inline void bt_column_sums(bt_real *total, size_t n, size_t d, bt_column_part_fn *part, const void *context)
{
    const size_t height = (n + BT_ROW_BLOCKS - 1) / BT_ROW_BLOCKS;
    for (size_t c0 = 0; c0 < d; c0 += BT_STRIP) {
        const size_t columns = BT_MIN((size_t)BT_STRIP, d - c0);
        bt_real sum[BT_ROW_BLOCKS][BT_STRIP] = {{0}};
#pragma omp parallel for schedule(static)
        for (size_t block = 0; block < BT_ROW_BLOCKS; block++) {
            const size_t begin = BT_MIN(n, block * height);
            part(sum[block], context, begin, BT_MIN(n, begin + height), c0, columns);
        }
        for (size_t c = 0; c < columns; c++) {
            double all = 0.0;
            for (size_t block = 0; block < BT_ROW_BLOCKS; block++)
                all += (double)sum[block][c];
            total[c0 + c] += (bt_real)all;
        }
    }
}

#endif
