/* The kernels in double, and gradients against central differences. What a test takes from the arena lives as long as
 * the test. */
#ifndef BT_TESTS_KERNELS_GRADIENT_CHECK_H
#define BT_TESTS_KERNELS_GRADIENT_CHECK_H

#include "random_reals.h"

#include <float.h>
#include <math.h>
#include <string.h>

void bt_kernels_fill_double(struct bt_kernels *kernels);

static struct bt_kernels k;
static struct bt_arena arena;

static inline int setup(void **state)
{
    (void)state;
    bt_kernels_fill_double(&k);
    return bt_arena_init(&arena, (size_t)256 << 20) ? 0 : -1;
}

static inline int teardown(void **state)
{
    (void)state;
    bt_arena_finish(&arena);
    return 0;
}

static inline double *zeros(size_t n)
{
    return bt_arena_take(&arena, n, sizeof(double));
}

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
static inline void check_gradient(const char *what, function *f, void *context, double *x, size_t n,
                                  const double *gradient)
{
    const double h = cbrt(DBL_EPSILON);
    double *direction = random_reals(&arena, n, -1.0, 1.0, what), *saved = zeros(n);
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
