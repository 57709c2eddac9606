/* Matrix products of every implementation against sums in double, at ragged sizes. */
#include "support.h"

#include <float.h>
#include <math.h>
#include <omp.h>
#include <string.h>

#include "kernels/matmul.h"
#include "random_reals.h"

static const struct bt_matmul *implementations[BT_CPU_AVX512 + 2];
static size_t implementation_count;

/* Every one that this machine and this build have, once. */
static int setup(void **state)
{
    (void)state;
    implementation_count = 0;
    for (int level = 0; level <= BT_CPU_AVX512; level++) {
        const struct bt_matmul *m = bt_matmul_portable((enum bt_cpu_level)level);
        if (implementation_count == 0 || implementations[implementation_count - 1] != m)
            implementations[implementation_count++] = m;
    }
    if (bt_matmul_onednn())
        implementations[implementation_count++] = bt_matmul_onednn();
    return 0;
}

struct problem {
    enum bt_product kind;
    size_t m, n, k, lda, ldb;
    const float *a, *b;
};

/* An element of the product, and the sum of the absolute values of its terms. */
static double element(const struct problem *p, size_t i, size_t j, double *absolute)
{
    double sum = 0.0;
    *absolute = 0.0;
    for (size_t x = 0; x < p->k; x++) {
        const float a = p->kind == BT_TN ? p->a[x * p->lda + i] : p->a[i * p->lda + x];
        const float b = p->kind == BT_NT ? p->b[j * p->ldb + x] : p->b[x * p->ldb + j];
        sum += (double)a * (double)b;
        *absolute += fabs((double)a * (double)b);
    }
    return sum;
}

static struct problem make_problem(struct bt_arena *arena, enum bt_product kind, size_t m, size_t n, size_t k,
                                   size_t extra)
{
    struct problem p = {kind, m, n, k, (kind == BT_TN ? m : k) + extra, (kind == BT_NT ? k : n) + extra, NULL, NULL};
    p.a = random_reals(arena, (kind == BT_TN ? k : m) * p.lda, -1.0, 1.0, "a");
    p.b = random_reals(arena, (kind == BT_NT ? n : k) * p.ldb, -1.0, 1.0, "b");
    return p;
}

/* Any order of summation is within k u / 2 sum|terms| of the true value; the two roundings of c come on top. Elements
 * before, after and between the rows of c hold a value that no product gives, and must keep it. */
static void check_gemm(const struct bt_matmul *matmul, enum bt_product kind, size_t m, size_t n, size_t k,
                       bool accumulate)
{
    enum { MARGIN = 16 };
    const float canary = 12345.0f;
    const size_t extra = (m + k) % 3, ldc = n + extra, cells = m * ldc + 2 * (size_t)MARGIN;
    struct bt_arena arena;
    assert_true(bt_arena_init(&arena, (size_t)64 << 20));
    const struct problem p = make_problem(&arena, kind, m, n, k, extra);
    float *whole = bt_arena_take(&arena, cells, sizeof *whole), *c = whole + MARGIN;
    for (size_t i = 0; i < cells; i++)
        whole[i] = canary;
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++)
            c[i * ldc + j] = accumulate ? (float)(i % 5) - 2.0f : NAN;
    matmul->gemm(kind, m, n, k, p.a, p.lda, p.b, p.ldb, c, ldc, accumulate);
    for (size_t x = 0; x < cells; x++) {
        const bool inside = x >= MARGIN && x < MARGIN + m * ldc && (x - MARGIN) % ldc < n;
        if (!inside && whole[x] != canary)
            fail_msg("%s kind %d %zu %zu %zu: wrote outside", matmul->name, (int)kind, m, n, k);
    }
    /* All elements of a small product, some of a large one. */
    const size_t stride = m * n * k < 1000000 ? 1 : 61;
    for (size_t x = 0; x < m * n; x += stride) {
        const size_t i = x / n, j = x % n;
        const double before = accumulate ? (double)(i % 5) - 2.0 : 0.0;
        double absolute;
        const double want = element(&p, i, j, &absolute) + before, got = (double)c[i * ldc + j];
        const double tolerance = ((double)k + 2.0) * (double)FLT_EPSILON * (absolute + fabs(before));
        if (!(fabs(got - want) <= tolerance))
            fail_msg("%s kind %d %zu %zu %zu at %zu, %zu: got %.9g, want %.9g, tolerance %.3g", matmul->name, (int)kind,
                     m, n, k, i, j, got, want, tolerance);
    }
    bt_arena_finish(&arena);
}

static const size_t lengths[] = {1, 7, 17, 64, 65, 127, 200};

static void test_ragged_sizes(void **state)
{
    static const size_t depths[] = {1, 5, 64, 257};
    (void)state;
    for (size_t i = 0; i < implementation_count; i++)
        for (int kind = BT_NT; kind <= BT_TN; kind++)
            for (size_t m = 0; m < BT_ARRAY_LEN(lengths); m++)
                for (size_t n = 0; n < BT_ARRAY_LEN(lengths); n++)
                    for (size_t k = 0; k < BT_ARRAY_LEN(depths); k++)
                        check_gemm(implementations[i], (enum bt_product)kind, lengths[m], lengths[n], depths[k],
                                   (m + n + k) % 2 == 0);
}

static void test_deep(void **state)
{
    (void)state;
    for (size_t i = 0; i < implementation_count; i++)
        for (int kind = BT_NT; kind <= BT_TN; kind++)
            for (int accumulate = 0; accumulate < 2; accumulate++) {
                check_gemm(implementations[i], (enum bt_product)kind, 17, 65, 2000, accumulate);
                check_gemm(implementations[i], (enum bt_product)kind, 64, 64, 2048, accumulate);
                check_gemm(implementations[i], (enum bt_product)kind, 1, 200, 1000, accumulate);
                check_gemm(implementations[i], (enum bt_product)kind, 200, 1, 1000, accumulate);
                check_gemm(implementations[i], (enum bt_product)kind, 400, 390, 600, accumulate);
            }
}

static const struct {
    size_t m, n, k;
} products[] = {{1, 1, 1},     {64, 64, 2048},  {2048, 64, 64},  {300, 172, 64}, {1000, 333, 77},
                {7, 3000, 65}, {1500, 40, 130}, {512, 512, 100}, {97, 1025, 300}};

/* The whole product against the implementation's own single tile would only hold up to rounding: against the sums. */
static void test_run(void **state)
{
    (void)state;
    for (size_t i = 0; i < implementation_count; i++)
        for (size_t x = 0; x < BT_ARRAY_LEN(products) * 3; x++) {
            const size_t m = products[x / 3].m, n = products[x / 3].n, k = products[x / 3].k;
            struct bt_arena arena;
            assert_true(bt_arena_init(&arena, (size_t)64 << 20));
            const struct problem p = make_problem(&arena, (enum bt_product)(x % 3), m, n, k, 0);
            float *c = bt_arena_take(&arena, m * n + 1, sizeof *c);
            c[m * n] = 77.0f;
            bt_matmul_run(implementations[i], p.kind, m, n, k, p.a, p.b, c, false);
            bt_matmul_run(implementations[i], p.kind, m, n, k, p.a, p.b, c, true);
            assert_true(c[m * n] == 77.0f);
            for (size_t at = 0; at<m * n; at += m * n> 5000 ? 17 : 1) {
                double absolute;
                const double want = 2.0 * element(&p, at / n, at % n, &absolute);
                if (!(fabs((double)c[at] - want) <= ((double)k + 2.0) * (double)FLT_EPSILON * 2.0 * absolute))
                    fail_msg("%s kind %d %zu %zu %zu at %zu: got %.9g, want %.9g", implementations[i]->name,
                             (int)p.kind, m, n, k, at, (double)c[at], want);
            }
            bt_arena_finish(&arena);
        }
}

/* Also with operands that are aligned to no more than a float: where an arena puts a buffer must not matter. */
static void test_any_number_of_threads_and_alignment(void **state)
{
    static const int counts[] = {1, 2, 3, 8, 16};
    const int before = omp_get_max_threads();
    (void)state;
    for (size_t i = 0; i < implementation_count; i++)
        for (size_t x = 0; x < BT_ARRAY_LEN(products) * 3; x++) {
            const size_t m = products[x / 3].m, n = products[x / 3].n, k = products[x / 3].k;
            struct bt_arena arena;
            assert_true(bt_arena_init(&arena, (size_t)64 << 20));
            const struct problem p = make_problem(&arena, (enum bt_product)(x % 3), m, n, k, 0);
            float *want = bt_arena_take(&arena, m * n, sizeof *want);
            float *a = bt_arena_take(&arena, m * k + 16, sizeof *a), *b = bt_arena_take(&arena, n * k + 16, sizeof *b);
            float *c = bt_arena_take(&arena, m * n + 16, sizeof *c);
            omp_set_num_threads(1);
            bt_matmul_run(implementations[i], p.kind, m, n, k, p.a, p.b, want, false);
            for (size_t t = 0; t < BT_ARRAY_LEN(counts); t++) {
                const size_t shift = (t * 3 + x) % 16;
                memcpy(a + shift, p.a, m * k * sizeof *a);
                memcpy(b + 15 - shift, p.b, n * k * sizeof *b);
                omp_set_num_threads(counts[t]);
                bt_matmul_run(implementations[i], p.kind, m, n, k, a + shift, b + 15 - shift, c + shift / 2, false);
                if (memcmp(c + shift / 2, want, m * n * sizeof *c) != 0)
                    fail_msg("%s kind %d %zu %zu %zu: other bits with %d threads, shift %zu", implementations[i]->name,
                             (int)p.kind, m, n, k, counts[t], shift);
            }
            bt_arena_finish(&arena);
        }
    omp_set_num_threads(before);
}

static void test_nothing_to_multiply(void **state)
{
    float c[6] = {1, 2, 3, 4, 5, 6};
    const float one = 1.0f;
    (void)state;
    for (size_t i = 0; i < implementation_count; i++) {
        bt_matmul_run(implementations[i], BT_NT, 0, 3, 1, &one, &one, c, false);
        bt_matmul_run(implementations[i], BT_NN, 2, 0, 1, &one, &one, c, false);
        assert_true(c[0] == 1.0f && c[5] == 6.0f);
    }
}

static void test_not_a_number_comes_through(void **state)
{
    enum { M = 70, N = 40, K = 33 };
    struct bt_arena arena;
    (void)state;
    assert_true(bt_arena_init(&arena, (size_t)1 << 20));
    float *a = random_reals(&arena, M * K, -1.0, 1.0, "a"), *b = random_reals(&arena, N * K, -1.0, 1.0, "b");
    float *c = bt_arena_take(&arena, M * N, sizeof *c);
    a[50 * K + 7] = NAN;
    b[20 * K + 3] = INFINITY;
    for (size_t i = 0; i < implementation_count; i++) {
        bt_matmul_run(implementations[i], BT_NT, M, N, K, a, b, c, false);
        for (size_t x = 0; x < M * N; x++)
            assert_int_equal(isfinite(c[x]) != 0, x / N != 50 && x % N != 20);
    }
    bt_arena_finish(&arena);
}

/* Products of ternary by int8 codes are integers below 2^24: exact in any order. */
static void test_codes_are_exact(void **state)
{
    enum { M = 33, N = 50, K = 2000 };
    struct bt_arena arena;
    (void)state;
    assert_true(bt_arena_init(&arena, (size_t)8 << 20));
    const int32_t *x = random_ints(&arena, M * K, 256, "x"), *t = random_ints(&arena, N * K, 3, "t");
    float *a = bt_arena_take(&arena, M * K, sizeof *a), *b = bt_arena_take(&arena, N * K, sizeof *b);
    float *c = bt_arena_take(&arena, M * N, sizeof *c);
    for (size_t i = 0; i < M * K; i++)
        a[i] = i % 7 == 0 ? -128.0f : i % 5 == 0 ? 127.0f : (float)(x[i] - 128);
    for (size_t i = 0; i < N * K; i++)
        b[i] = i < K ? (float)(a[i] < 0.0f ? -1 : 1) : (float)(t[i] - 1);
    for (size_t i = 0; i < implementation_count; i++) {
        bt_matmul_run(implementations[i], BT_NT, M, N, K, a, b, c, false);
        for (size_t at = 0; at < M * N; at++) {
            int64_t sum = 0;
            for (size_t k = 0; k < K; k++)
                sum += (int64_t)a[at / N * K + k] * (int64_t)b[at % N * K + k];
            assert_int_equal((int64_t)c[at], sum);
        }
    }
    bt_arena_finish(&arena);
}

static void test_names(void **state)
{
    (void)state;
    assert_string_equal(bt_matmul_portable(BT_CPU_PORTABLE)->name, "portable");
    if (bt_cpu_level() >= BT_CPU_AVX2)
        assert_string_equal(bt_matmul_portable(BT_CPU_AVX2)->name, "portable-avx2");
    if (bt_matmul_onednn())
        assert_string_equal(bt_matmul_onednn()->name, "onednn");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ragged_sizes),
        cmocka_unit_test(test_deep),
        cmocka_unit_test(test_run),
        cmocka_unit_test(test_any_number_of_threads_and_alignment),
        cmocka_unit_test(test_nothing_to_multiply),
        cmocka_unit_test(test_not_a_number_comes_through),
        cmocka_unit_test(test_codes_are_exact),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
