/* kernels/rmsnorm.c - y = x / sqrt(mean(x^2) + eps) * gain, over rows.
 *
 * With r = 1 / sqrt(mean(x^2) + eps) and u = dy * gain the gradients are
 *   dx = r u - x r^3 mean(u x)      dgain = sum over rows of dy * x * r */
#include <math.h>

#include "kernels/columns.h"
#include "kernels/lanes.h"

/* y may be x. */
static void scale_row(bt_real *y, const bt_real *x, const bt_real *gain, bt_real rstd, size_t d)
{
#pragma omp simd
    for (size_t i = 0; i < d; i++)
        y[i] = x[i] * rstd * gain[i];
}

void BT_FN(rmsnorm_fwd)(bt_real *y, bt_real *rstd, const bt_real *x, const bt_real *gain, size_t n, size_t d,
                        bt_real eps)
{
#pragma omp parallel for schedule(static) if (n > 1)
    for (size_t t = 0; t < n; t++) {
        const bt_real *row = x + t * d;
        const bt_real r = (bt_real)(1.0 / sqrt(bt_dot(row, row, d) / (double)d + (double)eps));
        if (rstd)
            rstd[t] = r;
        scale_row(y + t * d, row, gain, r, d);
    }
}

void BT_FN(rmsnorm_apply)(bt_real *y, const bt_real *x, const bt_real *gain, const bt_real *rstd, size_t n, size_t d)
{
#pragma omp parallel for schedule(static)
    for (size_t t = 0; t < n; t++)
        scale_row(y + t * d, x + t * d, gain, rstd[t], d);
}

struct gain_rows {
    const bt_real *dy, *x, *rstd;
    size_t d;
};

static void gain_part(bt_real *sum, const void *context, size_t begin, size_t end, size_t c0, size_t columns)
{
    const struct gain_rows *rows = context;
    for (size_t t = begin; t < end; t++) {
        const bt_real *dy = rows->dy + t * rows->d + c0;
        const bt_real *x = rows->x + t * rows->d + c0;
        const bt_real r = rows->rstd[t];
#pragma omp simd
        for (size_t c = 0; c < columns; c++)
            sum[c] += dy[c] * (x[c] * r);
    }
}

/* The sum of dy * gain * x in double. */
static double dot3(const bt_real *dy, const bt_real *gain, const bt_real *x, size_t d)
{
    double lane[BT_LANES] = {0};
    size_t i = 0;
    for (; i + BT_LANES <= d; i += BT_LANES) {
#pragma omp simd
        for (size_t j = 0; j < BT_LANES; j++)
            lane[j] += (double)(dy[i + j] * gain[i + j]) * (double)x[i + j];
    }
    for (size_t j = 0; i + j < d; j++)
        lane[j] += (double)(dy[i + j] * gain[i + j]) * (double)x[i + j];
    return bt_fold_sum(lane);
}

/* dx may be dy. */
static void input_row(bt_real *dx, int add, const bt_real *dy, const bt_real *x, const bt_real *gain, bt_real rstd,
                      size_t d)
{
    const double r = (double)rstd;
    const bt_real along = (bt_real)(r * r * r * dot3(dy, gain, x, d) / (double)d);
    if (add) {
#pragma omp simd
        for (size_t i = 0; i < d; i++)
            dx[i] += dy[i] * gain[i] * rstd - x[i] * along;
    } else {
#pragma omp simd
        for (size_t i = 0; i < d; i++)
            dx[i] = dy[i] * gain[i] * rstd - x[i] * along;
    }
}

void BT_FN(rmsnorm_bwd)(bt_real *dx, int add, bt_real *dgain, const bt_real *dy, const bt_real *x, const bt_real *gain,
                        const bt_real *rstd, size_t n, size_t d)
{
    /* Before dx, which may lie over dy. */
    const struct gain_rows rows = {dy, x, rstd, d};
    bt_column_sums(dgain, n, d, gain_part, &rows);
#pragma omp parallel for schedule(static)
    for (size_t t = 0; t < n; t++)
        input_row(dx + t * d, add, dy + t * d, x + t * d, gain, rstd[t], d);
}
