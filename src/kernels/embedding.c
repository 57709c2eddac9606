/* kernels/embedding.c - rows of a table by token id. */
#include <string.h>

#include "kernels/variant.h"

void BT_FN(embedding_fwd)(bt_real *x, const bt_real *table, const int32_t *ids, size_t n, size_t d)
{
#pragma omp parallel for schedule(static) if (n > 1)
    for (size_t t = 0; t < n; t++)
        memcpy(x + t * d, table + (size_t)ids[t] * d, d * sizeof *x);
}

/* Ids repeat, so a thread owns columns of the table, not rows: each column takes its tokens in order. */
void BT_FN(embedding_bwd)(bt_real *dtable, const bt_real *dx, const int32_t *ids, size_t n, size_t d)
{
    const size_t width = 32;
#pragma omp parallel for schedule(static)
    for (size_t c0 = 0; c0 < d; c0 += width) {
        const size_t columns = BT_MIN(width, d - c0);
        for (size_t t = 0; t < n; t++) {
            bt_real *to = dtable + (size_t)ids[t] * d + c0;
            const bt_real *from = dx + t * d + c0;
#pragma omp simd
            for (size_t c = 0; c < columns; c++)
                to[c] += from[c];
        }
    }
}
