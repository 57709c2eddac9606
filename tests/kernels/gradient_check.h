/* A gradient against central differences, in double. */
#ifndef BT_TESTS_KERNELS_GRADIENT_CHECK_H
#define BT_TESTS_KERNELS_GRADIENT_CHECK_H

#include "random_reals.h"

#include <float.h>
#include <math.h>
#include <string.h>

static inline double dot(const double *a, const double *b, size_t n)
{
    double sum = 0.0;
    for (size_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

/* A scalar function of a buffer that it reads through its context. */
typedef double function(void *context);

/* The slope of f at x (n) along a random direction against <gradient, direction>. The step balances the rounding of f,
 * DBL_EPSILON / h, against the third derivative's h^2: both are near 4e-11, times the size of f and its derivatives. */
static inline void expect_gradient(struct bt_arena *arena, const char *what, function *f, void *context, double *x,
                                   size_t n, const double *gradient)
{
    const double h = cbrt(DBL_EPSILON);
    double *direction = random_reals(arena, n, -1.0, 1.0, what), *saved = bt_arena_take(arena, n, sizeof(double));
    memcpy(saved, x, n * sizeof *x);
    for (size_t i = 0; i < n; i++)
        x[i] = saved[i] + h * direction[i];
    const double up = f(context);
    for (size_t i = 0; i < n; i++)
        x[i] = saved[i] - h * direction[i];
    const double slope = (up - f(context)) / (2.0 * h);
    memcpy(x, saved, n * sizeof *x);
    const double want = dot(gradient, direction, n), size = fmax(fabs(slope) + fabs(want), 1.0);
    if (!(fabs(slope - want) <= 1e-7 * size))
        fail_msg("%s: slope %.12g, gradient along it %.12g", what, slope, want);
}

#endif
