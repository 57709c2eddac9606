/* kernels/elementwise.c - sums of buffers, biases, the norm of a buffer. */
#include "kernels/columns.h"
#include "kernels/lanes.h"

/* Elements to a piece of work. */
enum { PIECE = 16384 };

void BT_FN(add)(bt_real *y, const bt_real *x, size_t n)
{
#pragma omp parallel for schedule(static) if (n > PIECE)
    for (size_t i0 = 0; i0 < n; i0 += PIECE) {
        const size_t end = i0 + BT_MIN((size_t)PIECE, n - i0);
#pragma omp simd
        for (size_t i = i0; i < end; i++)
            y[i] += x[i];
    }
}

void BT_FN(combine)(bt_real *out, bt_real a, const bt_real *x, bt_real b, const bt_real *y, size_t n)
{
#pragma omp parallel for schedule(static) if (n > PIECE)
    for (size_t i0 = 0; i0 < n; i0 += PIECE) {
        const size_t end = i0 + BT_MIN((size_t)PIECE, n - i0);
#pragma omp simd
        for (size_t i = i0; i < end; i++)
            out[i] = a * x[i] + b * y[i];
    }
}

void BT_FN(bias_fwd)(bt_real *y, const bt_real *b, size_t n, size_t d)
{
#pragma omp parallel for schedule(static) if (n > 1)
    for (size_t t = 0; t < n; t++) {
        bt_real *row = y + t * d;
#pragma omp simd
        for (size_t i = 0; i < d; i++)
            row[i] += b[i];
    }
}

struct bias_rows {
    const bt_real *dy;
    size_t d;
};

static void bias_part(bt_real *sum, const void *context, size_t begin, size_t end, size_t c0, size_t columns)
{
    const struct bias_rows *rows = context;
    for (size_t t = begin; t < end; t++) {
        const bt_real *dy = rows->dy + t * rows->d + c0;
#pragma omp simd
        for (size_t c = 0; c < columns; c++)
            sum[c] += dy[c];
    }
}

void BT_FN(bias_bwd)(bt_real *db, const bt_real *dy, size_t n, size_t d)
{
    const struct bias_rows rows = {dy, d};
    bt_column_sums(db, n, d, bias_part, &rows);
}

/* Blocks are gathered so many at a time, so that their sums fit on the stack. */
double BT_FN(sum_squares)(const bt_real *g, size_t n)
{
    enum { BLOCK = 4096, GATHER = 1024 };
    double sum[GATHER], total = 0.0;
    const size_t blocks = (n + BLOCK - 1) / BLOCK;
    for (size_t first = 0; first < blocks; first += GATHER) {
        const size_t count = BT_MIN((size_t)GATHER, blocks - first);
#pragma omp parallel for schedule(static)
        for (size_t b = 0; b < count; b++) {
            const size_t at = (first + b) * BLOCK;
            sum[b] = bt_dot(g + at, g + at, BT_MIN((size_t)BLOCK, n - at));
        }
        for (size_t b = 0; b < count; b++)
            total += sum[b];
    }
    return total;
}
