/* kernels/hidden_loss.c - the output s of a block against a teacher's t, token by token (docs/numerics.md section 8).
 *
 * With unit vectors s' = s / |s| and t' = t / |t| (a length being at least 1e-12) and c = s' t', the gradients are
 *
 *   mse              2 / d (s - t)
 *   mse_normalized   2 / d (c s' - t') / |s|
 *   inner_product          (c s' - t') / |s| */
#include <math.h>

#include "kernels/lanes.h"

static const double shortest = 1e-12;

static double length_of(const bt_real *x, size_t d)
{
    return fmax(sqrt(bt_dot(x, x, d)), shortest);
}

/* The sum of (a s - b t)^2 in double. */
static double squared_distance(const bt_real *s, double a, const bt_real *t, double b, size_t d)
{
    double lane[BT_LANES] = {0};
    for (size_t i = 0; i < d; i += BT_LANES) {
        const size_t count = BT_MIN((size_t)BT_LANES, d - i);
#pragma omp simd
        for (size_t j = 0; j < count; j++) {
            const double difference = a * (double)s[i + j] - b * (double)t[i + j];
            lane[j] += difference * difference;
        }
    }
    return bt_fold_sum(lane);
}

/* ds += a s + b t */
static void add_both(bt_real *ds, const bt_real *s, double a, const bt_real *t, double b, size_t d)
{
#pragma omp simd
    for (size_t i = 0; i < d; i++)
        ds[i] += (bt_real)(a * (double)s[i] + b * (double)t[i]);
}

static double token_mse(bt_real *ds, const bt_real *s, const bt_real *t, size_t d, double scale)
{
    const double loss = squared_distance(s, 1.0, t, 1.0, d) / (double)d;
    if (scale != 0.0)
        add_both(ds, s, 2.0 * scale / (double)d, t, -2.0 * scale / (double)d, d);
    return loss;
}

static double token_unit(bt_real *ds, const bt_real *s, const bt_real *t, size_t d, enum bt_hidden_loss type,
                         double scale)
{
    const bool mse = type == BT_HIDDEN_MSE_NORMALIZED;
    const double of_s = length_of(s, d), of_t = length_of(t, d), cosine = bt_dot(s, t, d) / of_s / of_t;
    const double loss = mse ? squared_distance(s, 1.0 / of_s, t, 1.0 / of_t, d) / (double)d : -cosine;
    if (scale != 0.0) {
        const double factor = (mse ? 2.0 * scale / (double)d : scale) / of_s;
        const double along = of_s > shortest ? cosine : mse ? 1.0 : 0.0; /* a length that is held does not change */
        add_both(ds, s, factor * along / of_s, t, -factor / of_t, d);
    }
    return loss;
}

void BT_FN(hidden_loss)(double *loss, bt_real *ds, const bt_real *s, const bt_real *t, const int32_t *used, size_t rows,
                        size_t seq, size_t d, enum bt_hidden_loss type, bt_real scale)
{
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < rows * seq; i++) {
        const size_t at = i * d;
        if (used && i % seq >= (size_t)used[i / seq])
            loss[i] = 0.0;
        else if (type == BT_HIDDEN_MSE)
            loss[i] = token_mse(ds ? ds + at : NULL, s + at, t + at, d, (double)scale);
        else
            loss[i] = token_unit(ds ? ds + at : NULL, s + at, t + at, d, type, (double)scale);
    }
}
