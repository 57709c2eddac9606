/* Instruction sets, precisions and numbers of threads: the same kernels must give the same results. */
#include "support.h"

#include <math.h>
#include <omp.h>
#include <string.h>

#include "cases.h"
#include "kernels/kernels.h"

static void compare(const struct outcomes *got, const struct outcomes *want, double factor)
{
    assert_int_equal(got->count, want->count);
    for (size_t i = 0; i < got->count; i++) {
        const struct outcome *g = &got->at[i], *w = &want->at[i];
        const double tolerance = factor * fmax(g->tolerance, w->tolerance);
        if (!(fabs(g->value - w->value) <= tolerance))
            fail_msg("%s, outcome %zu: got %.9g, want %.9g, tolerance %.3g", g->kernel, i, g->value, w->value,
                     tolerance);
    }
}

static void test_float_near_double(void **state)
{
    (void)state;
    struct outcomes want = cases_double(BT_CPU_PORTABLE), got = cases_float(BT_CPU_PORTABLE);
    compare(&got, &want, 1.0);
    bt_free(want.at);
    bt_free(got.at);
}

/* Both are within the tolerance of the true value. */
static void check_level(enum bt_cpu_level level)
{
    struct bt_kernels kernels;
    bt_kernels_init(&kernels, level);
    if (kernels.level != level) {
        print_message("no %s on this machine or in this build\n", bt_cpu_level_name(level));
        skip();
    }
    struct outcomes want = cases_float(BT_CPU_PORTABLE), got = cases_float(level);
    compare(&got, &want, 2.0);
    bt_free(want.at);
    bt_free(got.at);
}

static void test_avx2_near_portable(void **state)
{
    (void)state;
    check_level(BT_CPU_AVX2);
}

static void test_avx512_near_portable(void **state)
{
    (void)state;
    check_level(BT_CPU_AVX512);
}

static void test_any_number_of_threads(void **state)
{
    static const int counts[] = {2, 3, 8, 16};
    const int before = omp_get_max_threads();
    (void)state;
    for (int level = 0; level <= (int)bt_cpu_level(); level++) {
        omp_set_num_threads(1);
        struct outcomes want = cases_float((enum bt_cpu_level)level);
        for (size_t c = 0; c < BT_ARRAY_LEN(counts); c++) {
            omp_set_num_threads(counts[c]);
            struct outcomes got = cases_float((enum bt_cpu_level)level);
            assert_int_equal(got.count, want.count);
            for (size_t i = 0; i < got.count; i++)
                if (memcmp(&got.at[i].value, &want.at[i].value, sizeof(double)) != 0)
                    fail_msg("%s, %s, outcome %zu: %.9g with %d threads, %.9g with one",
                             bt_cpu_level_name((enum bt_cpu_level)level), got.at[i].kernel, i, got.at[i].value,
                             counts[c], want.at[i].value);
            bt_free(got.at);
        }
        bt_free(want.at);
    }
    omp_set_num_threads(before);
}

static void test_init_is_bounded(void **state)
{
    struct bt_kernels portable, most;
    (void)state;
    bt_kernels_init(&portable, BT_CPU_PORTABLE);
    assert_int_equal(portable.level, BT_CPU_PORTABLE);
    bt_kernels_init(&most, BT_CPU_AVX512);
    assert_true(most.level <= bt_cpu_level());
    if (most.level > BT_CPU_PORTABLE)
        assert_true(most.attention_fwd != portable.attention_fwd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_float_near_double),    cmocka_unit_test(test_avx2_near_portable),
        cmocka_unit_test(test_avx512_near_portable), cmocka_unit_test(test_any_number_of_threads),
        cmocka_unit_test(test_init_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
