/* The quantisers, bit by bit, against the formulas of their header written with the C library. */
#include "support.h"

#include <float.h>
#include <math.h>
#include <omp.h>
#include <string.h>

#include "kernels/quantize.h"
#include "random_reals.h"

static struct bt_arena arena;

static int setup(void **state)
{
    (void)state;
    return bt_arena_init(&arena, (size_t)64 << 20) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    bt_arena_finish(&arena);
    return 0;
}

static int8_t *bytes(size_t n)
{
    return bt_arena_take(&arena, n, 1);
}

static float *floats(size_t n)
{
    return bt_arena_take(&arena, n, sizeof(float));
}

static int clamp(float x, int low, int high)
{
    return (int)fminf(fmaxf(x, (float)low), (float)high);
}

static const size_t lengths[] = {1, 2, 7, 15, 16, 17, 33, 255, 1000, 4096, 4097, 50001};

static void test_weight_codes(void **state)
{
    (void)state;
    for (size_t x = 0; x < BT_ARRAY_LEN(lengths); x++) {
        const size_t n = lengths[x];
        const float *w = random_reals(&arena, n, -0.1, 0.1, "w");
        int8_t *t = bytes(n + 1);
        float *codes = floats(n), *wq = floats(n), *mixed = floats(n);
        double sum = 0.0;
        for (size_t i = 0; i < n; i++)
            sum += fabs((double)w[i]);
        const float s = bt_weight_scale(w, n);
        assert_true(fabs((double)s - sum / (double)n) <= (double)FLT_EPSILON * (double)s);
        t[n] = 55;
        bt_weight_codes(t, w, n, s);
        bt_weight_codes_float(codes, t, n);
        bt_weight_dequantize(wq, t, n, s);
        bt_weight_mix(mixed, w, t, n, s, 0.3f);
        const float inverse = 1.0f / s;
        for (size_t i = 0; i < n; i++) {
            assert_int_equal(t[i], clamp(rintf(w[i] * inverse), -1, 1));
            assert_true(codes[i] == (float)t[i]);
            assert_true(wq[i] == (float)t[i] * s);
            const float difference = wq[i] - w[i];
            const float step = 0.3f * difference;
            assert_true(mixed[i] == w[i] + step);
        }
        assert_int_equal(t[n], 55);
    }
}

static void test_weight_halves_go_to_even(void **state)
{
    const float w[] = {0.5f, -0.5f, 1.5f, -1.5f, 0.50000006f, -0.50000006f, 0.49999997f, 2.5f, -1e30f, FLT_MAX, 0.0f};
    const int want[] = {0, 0, 1, -1, 1, -1, 0, 1, -1, 1, 0};
    int8_t t[BT_ARRAY_LEN(w)];
    (void)state;
    bt_weight_codes(t, w, BT_ARRAY_LEN(w), 1.0f);
    for (size_t i = 0; i < BT_ARRAY_LEN(w); i++)
        assert_int_equal(t[i], want[i]);
}

static void test_weight_scale_edges(void **state)
{
    enum { N = 9000 };
    float *w = floats(N);
    int8_t *t = bytes(N);
    (void)state;
    assert_true(bt_weight_scale(w, N) == 1e-5f);
    bt_weight_codes(t, w, N, 1e-5f);
    for (size_t i = 0; i < N; i++)
        assert_int_equal(t[i], 0);
    for (size_t i = 0; i < N; i++)
        w[i] = i % 2 ? 9e-6f : -9e-6f;
    assert_true(bt_weight_scale(w, N) == 1e-5f);
    for (size_t i = 0; i < N; i++)
        w[i] = i % 2 ? 1.1e-5f : -1.1e-5f;
    assert_true(bt_weight_scale(w, N) == 1.1e-5f);
    w[N - 1] = INFINITY;
    assert_true(isinf(bt_weight_scale(w, N)));
    w[4096] = NAN;
    assert_true(isnan(bt_weight_scale(w, N)));
}

/* The sum is the one that the header describes: blocks of 4096 in double, in order, rounded once. */
static void test_weight_scale_is_rounded_once(void **state)
{
    enum { N = 40000 };
    float *w = floats(N);
    (void)state;
    for (size_t i = 0; i < N; i++)
        w[i] = (i % 3 == 0 ? -1.0f : 1.0f) * (float)(1 + i % 1000) / 1024.0f; /* sums of these are exact in double */
    double sum = 0.0;
    for (size_t i = 0; i < N; i++)
        sum += fabs((double)w[i]);
    assert_true(bt_weight_scale(w, N) == (float)(sum / (double)N));
}

static void test_activation_codes(void **state)
{
    (void)state;
    for (size_t x = 0; x < BT_ARRAY_LEN(lengths); x++) {
        const size_t d = lengths[x], rows = d > 5000 ? 2 : 9, n = rows * d;
        const float lambda = 0.7f;
        float *in = random_reals(&arena, n, -3.0, 3.0, "x"), *a = floats(rows);
        float *codes = floats(n), *xq = floats(n), *mixed = floats(n);
        int8_t *c = bytes(n + 1);
        c[n] = 55;
        bt_activation_codes(c, a, in, rows, d);
        bt_activation_codes_float(codes, c, n);
        bt_activation_dequantize(xq, c, a, rows, d);
        bt_activation_mix(mixed, in, c, a, rows, d, lambda);
        for (size_t r = 0; r < rows; r++) {
            float most = 1e-5f;
            for (size_t i = r * d; i < (r + 1) * d; i++)
                most = fmaxf(most, fabsf(in[i]));
            assert_true(a[r] == most);
            const float factor = 127.0f / most, unit = most / 127.0f;
            for (size_t i = r * d; i < (r + 1) * d; i++) {
                assert_int_equal(c[i], clamp(rintf(in[i] * factor), -128, 127));
                assert_true(codes[i] == (float)c[i]);
                assert_true(xq[i] == (float)c[i] * unit);
                const float difference = xq[i] - in[i];
                const float step = lambda * difference;
                assert_true(mixed[i] == in[i] + step);
            }
        }
        assert_int_equal(c[n], 55);
        bt_activation_mix(in, in, c, a, rows, d, lambda);
        assert_memory_equal(in, mixed, n * sizeof *in);
    }
}

static void test_activation_halves_and_extremes(void **state)
{
    /* A largest value of 127 makes the factor exactly 1. */
    const float x[] = {127.0f, 0.5f, -0.5f, 1.5f, 2.5f, -2.5f, 126.5f, -127.0f, 125.5f, -126.5f, 0.0f};
    const int want[] = {127, 0, 0, 2, 2, -2, 126, -127, 126, -126, 0};
    const float huge[] = {FLT_MAX, -FLT_MAX, FLT_MAX / 2, 1.0f, -0.0f};
    const int want_huge[] = {127, -127, 64, 0, 0};
    int8_t c[BT_ARRAY_LEN(x)];
    float a;
    (void)state;
    bt_activation_codes(c, &a, x, 1, BT_ARRAY_LEN(x));
    assert_true(a == 127.0f);
    for (size_t i = 0; i < BT_ARRAY_LEN(x); i++)
        assert_int_equal(c[i], want[i]);
    bt_activation_codes(c, &a, huge, 1, BT_ARRAY_LEN(huge));
    assert_true(a == FLT_MAX);
    for (size_t i = 0; i < BT_ARRAY_LEN(huge); i++)
        assert_int_equal(c[i], want_huge[i]);
}

/* The largest element of a row rounds to 127 or -127 whatever it is, so that no clamp is needed. */
static void test_largest_code_is_127(void **state)
{
    enum { ROWS = 20000 };
    float *x = floats(ROWS), *a = floats(ROWS);
    int8_t *c = bytes(ROWS);
    (void)state;
    for (size_t i = 0; i < ROWS; i++)
        x[i] = (float)ldexp(1.0 + bt_rng_uniform(3, i), (int)(i % 140) - 16) * (i % 2 ? 1.0f : -1.0f);
    bt_activation_codes(c, a, x, ROWS, 1);
    for (size_t i = 0; i < ROWS; i++)
        assert_int_equal(c[i], i % 2 ? 127 : -127);
}

static void test_activation_rows_of_every_kind(void **state)
{
    enum { D = 37 };
    float x[7][D], a[7];
    int8_t c[7][D];
    (void)state;
    memset(c, 99, sizeof c);
    for (size_t r = 0; r < 7; r++)
        for (size_t i = 0; i < D; i++)
            x[r][i] = r == 0 ? 0.0f : r == 1 ? 4e-6f : (float)i - 20.0f;
    x[2][D - 1] = NAN;
    x[3][0] = -INFINITY;
    x[4][5] = INFINITY;
    x[4][6] = NAN;
    x[5][33] = copysignf(NAN, -1.0f);
    bt_activation_codes(c[0], a, x[0], 7, D);
    assert_true(a[0] == 1e-5f && a[1] == 1e-5f);
    for (size_t i = 0; i < D; i++) {
        assert_int_equal(c[0][i], 0);
        assert_int_equal(c[1][i], 51); /* 0.4 * 127 = 50.8 */
        for (size_t r = 2; r < 6; r++)
            assert_int_equal(c[r][i], 0);
    }
    assert_false(isfinite(a[2]) || isfinite(a[3]) || isfinite(a[4]) || isfinite(a[5]));
    assert_true(a[6] == 20.0f);
    assert_int_equal(c[6][0], -127);
}

/* y * ((a / 127) * s) + b: every other order of these operations gives other bits somewhere. */
static void test_finish_keeps_its_order(void **state)
{
    enum { ROWS = 50, OUT = 33 };
    float *y = floats(ROWS * OUT), *plain = floats(ROWS * OUT);
    const float *a = random_reals(&arena, ROWS, 0.1, 9.0, "a"), *b = random_reals(&arena, OUT, -1.0, 1.0, "b");
    const float s = 0.0123f;
    size_t others = 0;
    (void)state;
    for (size_t i = 0; i < ROWS * OUT; i++)
        y[i] = plain[i] = (float)((int)(i * 7919 % 30001) - 15000);
    bt_codes_finish(y, a, s, b, ROWS, OUT);
    for (size_t i = 0; i < ROWS * OUT; i++) {
        const float sum = plain[i], unit = a[i / OUT] / 127.0f;
        const float factor = unit * s;
        const float product = sum * factor;
        assert_true(y[i] == product + b[i % OUT]);
        const float early = sum * unit;
        const float late = early * s;
        others += late != product;
    }
    assert_true(others > 0);
    memcpy(y, plain, ROWS * OUT * sizeof *y);
    bt_codes_finish(y, a, s, NULL, ROWS, OUT);
    for (size_t i = 0; i < ROWS * OUT; i++) {
        const float unit = a[i / OUT] / 127.0f;
        const float factor = unit * s;
        assert_true(y[i] == plain[i] * factor);
    }
}

static void test_any_number_of_threads(void **state)
{
    enum { ROWS = 70, D = 1001, N = ROWS * D };
    static const int counts[] = {1, 2, 3, 8, 16};
    const int before = omp_get_max_threads();
    const float *x = random_reals(&arena, N, -1.0, 1.0, "x");
    int8_t *t[2] = {bytes(N), bytes(N)}, *c[2] = {bytes(N), bytes(N)};
    float *mix[2] = {floats(N), floats(N)}, *a[2] = {floats(ROWS), floats(ROWS)}, s[2];
    (void)state;
    for (size_t i = 0; i < BT_ARRAY_LEN(counts); i++) {
        const int to = i > 0;
        omp_set_num_threads(counts[i]);
        s[to] = bt_weight_scale(x, N);
        bt_weight_codes(t[to], x, N, s[to]);
        bt_activation_codes(c[to], a[to], x, ROWS, D);
        bt_activation_mix(mix[to], x, c[to], a[to], ROWS, D, 0.5f);
        if (i == 0)
            continue;
        assert_memory_equal(&s[0], &s[1], sizeof s[0]);
        assert_memory_equal(t[0], t[1], N);
        assert_memory_equal(c[0], c[1], N);
        assert_memory_equal(a[0], a[1], ROWS * sizeof(float));
        assert_memory_equal(mix[0], mix[1], N * sizeof(float));
    }
    omp_set_num_threads(before);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_weight_codes),           TEST(test_weight_halves_go_to_even),
        TEST(test_weight_scale_edges),     TEST(test_weight_scale_is_rounded_once),
        TEST(test_activation_codes),       TEST(test_activation_halves_and_extremes),
        TEST(test_largest_code_is_127),    TEST(test_activation_rows_of_every_kind),
        TEST(test_finish_keeps_its_order), TEST(test_any_number_of_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
