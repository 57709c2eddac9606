/* What the kernels' header promises beyond a formula: known values, the order of AdamW, same bits, NaN and infinity. */
#include "support.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "random_reals.h"

static struct bt_kernels k;
static struct bt_arena arena;

static float *reals(size_t n, const char *name)
{
    return random_reals(&arena, n, -1.0, 1.0, name);
}

static float *zeros(size_t n)
{
    return bt_arena_take(&arena, n, sizeof(float));
}

static void test_apply_repeats_forward(void **state)
{
    enum { N = 23, D = 577 };
    float *x = reals(N * D, "x"), *gain = reals(D, "gain"), *rstd = zeros(N), *y = zeros(N * D), *again = zeros(N * D);
    (void)state;
    k.rmsnorm_fwd(y, rstd, x, gain, N, D, 1e-6f);
    k.rmsnorm_apply(again, x, gain, rstd, N, D);
    assert_memory_equal(y, again, N * D * sizeof *y);
    k.rmsnorm_fwd(x, NULL, x, gain, N, D, 1e-6f);
    assert_memory_equal(y, x, N * D * sizeof *y);
}

static void test_rmsnorm_known(void **state)
{
    const float x[4] = {3.0f, -3.0f, 3.0f, 3.0f}, gain[4] = {1.0f, 2.0f, 0.0f, -1.0f};
    float y[4], rstd;
    (void)state;
    k.rmsnorm_fwd(y, &rstd, x, gain, 1, 4, 7.0f);
    assert_true(rstd == 0.25f);
    assert_true(y[0] == 0.75f && y[1] == -1.5f && y[2] == 0.0f && y[3] == -0.75f);
}

static void test_rope_known(void **state)
{
    /* A quarter turn at position 1, nothing at position 0. */
    const float cosine[] = {1.0f, 1.0f, 0.0f, 0.0f}, sine[] = {0.0f, 0.0f, 1.0f, 1.0f};
    const int32_t position[] = {0, 1};
    const float want[] = {1, 2, 3, 4, -3, -4, 1, 2};
    float x[] = {1, 2, 3, 4, 1, 2, 3, 4};
    (void)state;
    k.rope_fwd(x, cosine, sine, position, 2, 1, 4);
    for (size_t i = 0; i < 8; i++)
        assert_true(x[i] == want[i]);
}

static void test_glu_not_finite(void **state)
{
    const float gate[] = {NAN, INFINITY, -100.0f, 100.0f, -1e30f, 0.0f}, up[] = {1, 1, 1, 1, 1, 1};
    float f[6];
    (void)state;
    k.glu_fwd(f, gate, up, 6, BT_ACT_SILU);
    assert_true(isnan(f[0]) && isinf(f[1]) && fabsf(f[2]) < 1e-35f && f[3] == 100.0f && f[4] == 0.0f && f[5] == 0.0f);
    k.glu_fwd(f, gate, up, 6, BT_ACT_RELU2);
    assert_true(isnan(f[0]) && isinf(f[1]) && f[2] == 0.0f && f[3] == 10000.0f && f[4] == 0.0f && f[5] == 0.0f);
}

static void test_cross_entropy_known(void **state)
{
    enum { VOCAB = 5000 };
    float *z = zeros(2 * VOCAB);
    const int32_t labels[] = {17, BT_IGNORE_LABEL};
    double loss[2] = {9.0, 9.0};
    (void)state;
    for (size_t i = 0; i < 2 * VOCAB; i++)
        z[i] = 1000.0f; /* the maximum is taken out: no overflow */
    k.cross_entropy(loss, z, labels, 2, VOCAB, 0.0f);
    assert_true(fabs(loss[0] - log((double)VOCAB)) <= 1e-6);
    assert_true(loss[1] == 0.0);
    assert_true(z[0] == 1000.0f && z[2 * VOCAB - 1] == 1000.0f);
    k.cross_entropy(loss, z, labels, 2, VOCAB, 2.0f);
    for (size_t i = 0; i < 2 * VOCAB; i++) {
        const double want = i >= VOCAB ? 0.0 : 2.0 / VOCAB - (i == 17 ? 2.0 : 0.0);
        assert_true(fabs((double)z[i] - want) <= 4.0 * (double)FLT_EPSILON);
    }
}

static void test_cross_entropy_not_finite(void **state)
{
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    static const size_t vocabs[] = {3, 40, 2000};
    (void)state;
    for (size_t v = 0; v < BT_ARRAY_LEN(vocabs); v++)
        for (size_t b = 0; b < BT_ARRAY_LEN(bad); b++)
            for (size_t at = 0; at < vocabs[v]; at += 1 + vocabs[v] / 7)
                for (int scale = 0; scale < 2; scale++) {
                    float *z = reals(vocabs[v], "z");
                    const int32_t label = 1;
                    double loss = 0.0;
                    z[at] = bad[b];
                    k.cross_entropy(&loss, z, &label, 1, vocabs[v], (float)scale);
                    assert_false(isfinite(loss));
                }
}

/* Single steps of docs/numerics.md section 5 in double, rounded at the end. */
static void test_adamw_steps(void **state)
{
    enum { N = 1003, STEPS = 5 };
    float *p = reals(N, "p"), *m = zeros(N), *v = zeros(N);
    double *pd = bt_arena_take(&arena, N, sizeof *pd), *md = bt_arena_take(&arena, N, sizeof *md);
    double *vd = bt_arena_take(&arena, N, sizeof *vd);
    const double lr = 0.01, b1 = 0.9, b2 = 0.95, eps = 1e-8, decay = 0.1, scale = 0.5;
    (void)state;
    for (size_t i = 0; i < N; i++)
        pd[i] = (double)p[i];
    for (int t = 1; t <= STEPS; t++) {
        const double c1 = 1.0 - pow(b1, t), c2 = 1.0 - pow(b2, t);
        const struct bt_adamw a = {(float)lr,    (float)b1,    (float)b2, (float)eps,
                                   (float)decay, (float)scale, (float)c1, (float)c2};
        const float *g = reals(N, test_format("g%d", t));
        k.adamw(p, m, v, g, N, &a);
        for (size_t i = 0; i < N; i++) {
            const double grad = scale * (double)g[i];
            pd[i] *= 1.0 - lr * decay;
            md[i] = b1 * md[i] + (1.0 - b1) * grad;
            vd[i] = b2 * vd[i] + (1.0 - b2) * grad * grad;
            pd[i] -= lr * (md[i] / c1) / (sqrt(vd[i] / c2) + eps);
            /* The step is at most about lr * 2; its operands carry a few rounding errors of betas and corrections. */
            assert_true(fabs((double)p[i] - pd[i]) <= t * (2.0 + 40.0 * lr) * (double)FLT_EPSILON);
        }
    }
}

static void test_adamw_zero_gradient(void **state)
{
    const struct bt_adamw a = {0.5f, 0.9f, 0.95f, 1e-8f, 0.5f, 1.0f, 0.1f, 0.05f};
    float p = 2.0f, m = 0.0f, v = 0.0f;
    const float g = 0.0f;
    (void)state;
    k.adamw(&p, &m, &v, &g, 1, &a);
    assert_true(p == 1.5f && m == 0.0f && v == 0.0f);
}

static void test_sum_squares(void **state)
{
    enum { N = 5000000 };
    struct bt_arena large;
    (void)state;
    assert_true(bt_arena_init(&large, (size_t)N * sizeof(float) + 64));
    float *g = bt_arena_take(&large, N, sizeof *g);
    for (size_t i = 0; i < N; i++)
        g[i] = i % 2 ? 0.5f : -2.0f;
    assert_true(k.sum_squares(g, N) == 4.25 * N / 2);
    assert_true(k.sum_squares(g, 0) == 0.0);
    g[N - 1] = 1e30f; /* its square is no float, but it is a double */
    assert_true(isfinite(k.sum_squares(g, N)));
    g[N - 3] = INFINITY;
    assert_true(isinf(k.sum_squares(g, N)));
    g[4321] = NAN;
    assert_true(isnan(k.sum_squares(g, N)));
    bt_arena_finish(&large);
}

/* exp() of every instance, as silu shows it: f / gate / up = 1 / (1 + exp(-gate)) has the digits of exp where it is
 * large. 2 units of exp, one each for the sum, the quotient and two products. */
static void test_exponential(void **state)
{
    enum { N = 20000 };
    float *gate = zeros(N), *up = zeros(N), *f = zeros(N);
    (void)state;
    for (size_t i = 0; i < N; i++) {
        gate[i] = -86.0f * (float)i / N - 0.001f;
        up[i] = 1.0f;
    }
    k.glu_fwd(f, gate, up, N, BT_ACT_SILU);
    for (size_t i = 0; i < N; i++) {
        const double g = (double)gate[i], want = g / (1.0 + exp(-g));
        if (!(fabs((double)f[i] - want) <= 4.0 * (double)FLT_EPSILON * fabs(want)))
            fail_msg("silu(%.9g): got %.9g, want %.9g", g, (double)f[i], want);
    }
}

static enum bt_cpu_level tested;

static int setup(void **state)
{
    (void)state;
    bt_kernels_init(&k, tested);
    return bt_arena_init(&arena, (size_t)64 << 20) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    bt_arena_finish(&arena);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_apply_repeats_forward), TEST(test_rmsnorm_known),       TEST(test_rope_known),
        TEST(test_glu_not_finite),        TEST(test_cross_entropy_known), TEST(test_cross_entropy_not_finite),
        TEST(test_adamw_steps),           TEST(test_adamw_zero_gradient), TEST(test_sum_squares),
        TEST(test_exponential),
    };
    int failures = 0;
    for (int level = 0; level <= (int)bt_cpu_level(); level++) {
        tested = (enum bt_cpu_level)level;
        failures += cmocka_run_group_tests_name(bt_cpu_level_name(tested), tests, NULL, NULL);
    }
    return failures;
}
