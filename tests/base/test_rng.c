#include "support.h"

#include <math.h>
#include <string.h>

#include "base/rng.h"

/* The first row is the published Philox4x32-10 vector of counter 0 and key 0 (Random123, kat_vectors); the others come
 * from an independent program that gives all three published vectors. */
static void draws_are_philox(void **state)
{
    (void)state;
    static const uint64_t known[][3] = {
        {0, 0, 0xe169c58d6627e8d5},
        {1, 0, 0xe50a0ebce3e80670},
        {0, 1, 0x5cb200dbf8e4cca4},
        {0x0123456789abcdef, 0xfedcba9876543210, 0xd8a290fc2c03a599},
        {UINT64_MAX, UINT64_MAX, 0x430ac65a4d18d7d2},
    };
    for (size_t i = 0; i < BT_ARRAY_LEN(known); i++)
        assert_true(bt_rng_u64(known[i][0], known[i][1]) == known[i][2]);
    assert_true(bt_rng_key(42, "init/model.norm.weight") == 0x982b062818ea2d73);
    assert_true(bt_rng_key(43, "init/model.norm.weight") == 0x9abfff7c5eb6bfaa);
    assert_true(bt_rng_key(42, "order/stage2/0/3") == 0x0d3da779759d1711);
}

static double draw(bool by_key, uint64_t i)
{
    return by_key ? bt_rng_uniform(i, 7) : bt_rng_uniform(0x1234, i);
}

/* Along neighbouring indices of one key, and along neighbouring keys at one index. Five deviations of each estimate. */
static void uniform_draws_have_the_right_moments(void **state)
{
    (void)state;
    enum { N = 200000, BINS = 64 };
    for (int by_key = 0; by_key < 2; by_key++) {
        double sum = 0, squares = 0, products = 0, chi = 0, before = 0.5;
        size_t bins[BINS] = {0};
        for (uint64_t i = 0; i < N; i++) {
            const double u = draw(by_key, i);
            assert_true(u >= 0 && u < 1);
            sum += u;
            squares += (u - 0.5) * (u - 0.5);
            products += (u - 0.5) * (before - 0.5);
            before = u;
            bins[(size_t)(u * BINS)]++;
        }
        const double expected = (double)N / BINS;
        for (size_t b = 0; b < BINS; b++)
            chi += ((double)bins[b] - expected) * ((double)bins[b] - expected) / expected;
        assert_true(fabs(sum / N - 0.5) < 5 * sqrt(1.0 / 12 / N));
        assert_true(fabs(squares / N - 1.0 / 12) < 5 * sqrt(1.0 / 180 / N)); /* Var (u - 1/2)^2 = 1/80 - 1/144 */
        assert_true(fabs(products / N) < 5 * (1.0 / 12) / sqrt(N));
        assert_true(chi < (BINS - 1) + 5 * sqrt(2.0 * (BINS - 1)));
    }
}

/* One bit of key or index changes half of the 64 bits of the draw. */
static void every_input_bit_matters(void **state)
{
    (void)state;
    enum { N = 500 };
    for (unsigned bit = 0; bit < 128; bit++) {
        double changed = 0;
        for (uint64_t i = 0; i < N; i++) {
            const uint64_t key = i * 0x9e3779b97f4a7c15, index = i;
            const uint64_t other_key = bit < 64 ? key ^ (uint64_t)1 << bit : key;
            const uint64_t other_index = bit < 64 ? index : index ^ (uint64_t)1 << (bit - 64);
            changed += __builtin_popcountll(bt_rng_u64(key, index) ^ bt_rng_u64(other_key, other_index));
        }
        assert_true(fabs(changed / N - 32) < 5 * 4 / sqrt(N)); /* 64 fair bits: deviation 4 */
    }
}

static void normal_draws_have_the_right_moments(void **state)
{
    (void)state;
    enum { N = 200000 };
    double moments[5] = {0}, products = 0, before = 0;
    size_t inside = 0;
    for (uint64_t i = 0; i < N; i++) {
        const double z = bt_rng_normal(99, i);
        assert_true(isfinite(z));
        for (int m = 1; m <= 4; m++)
            moments[m] += pow(z, m) / N;
        products += z * before / N;
        before = z;
        inside += fabs(z) < 1;
    }
    /* deviations of the estimates: Var z = 1, z^2 = 2, z^3 = 15, z^4 = 96 */
    assert_true(fabs(moments[1]) < 5 * sqrt(1.0 / N));
    assert_true(fabs(moments[2] - 1) < 5 * sqrt(2.0 / N));
    assert_true(fabs(moments[3]) < 5 * sqrt(15.0 / N));
    assert_true(fabs(moments[4] - 3) < 5 * sqrt(96.0 / N));
    assert_true(fabs(products) < 5 / sqrt(N));
    assert_true(fabs((double)inside / N - 0.682689492) < 5 * sqrt(0.6827 * 0.3173 / N));
}

static void bounded_draws_are_even(void **state)
{
    (void)state;
    enum { N = 70000, SIDES = 7 };
    size_t counts[SIDES] = {0};
    for (uint64_t i = 0; i < N; i++)
        counts[bt_rng_below(5, i, SIDES)]++;
    for (size_t s = 0; s < SIDES; s++)
        assert_true(fabs((double)counts[s] - (double)N / SIDES) < 5 * sqrt((double)N / SIDES));
    for (uint64_t i = 0; i < 1000; i++)
        assert_true(bt_rng_below(5, i, 1) == 0);
}

/* With n = 2^63 + 1 nearly half of the draws are rejected; without rejection the lower half would come twice as often.
 */
static void rejection_removes_the_bias(void **state)
{
    (void)state;
    enum { N = 20000 };
    const uint64_t n = ((uint64_t)1 << 63) + 1;
    size_t low = 0, retried = 0;
    for (uint64_t i = 0; i < N; i++) {
        const uint64_t draw_below = bt_rng_below(17, i, n);
        assert_true(draw_below < n);
        low += draw_below < n / 2;
        retried += draw_below != bt_rng_u64(17, i) % n;
    }
    assert_true(fabs((double)low - N / 2.0) < 5 * sqrt(N / 4.0));
    assert_true(fabs((double)retried - N / 2.0) < 5 * sqrt(N / 4.0));
}

static void permutations_are_permutations(void **state)
{
    (void)state;
    enum { MAX = 1000 };
    uint32_t order[MAX], again[MAX];
    bool seen[MAX];
    for (size_t n = 0; n <= MAX; n = n < 5 ? n + 1 : n * 3) {
        memset(seen, 0, sizeof seen);
        bt_rng_permutation(n, order, n);
        bt_rng_permutation(n, again, n);
        assert_memory_equal(order, again, n * sizeof order[0]);
        for (size_t i = 0; i < n; i++) {
            assert_true(order[i] < n);
            assert_false(seen[order[i]]);
            seen[order[i]] = true;
        }
    }
}

static void all_permutations_are_equally_likely(void **state)
{
    (void)state;
    enum { N = 24000, WAYS = 24 };
    size_t counts[256] = {0};
    for (uint64_t key = 0; key < N; key++) {
        uint32_t order[4];
        bt_rng_permutation(key, order, 4);
        counts[order[0] | order[1] << 2 | order[2] << 4 | order[3] << 6]++;
    }
    size_t ways = 0;
    for (size_t i = 0; i < BT_ARRAY_LEN(counts); i++) {
        if (counts[i] == 0)
            continue;
        ways++;
        assert_true(fabs((double)counts[i] - (double)N / WAYS) < 5 * sqrt((double)N / WAYS));
    }
    assert_int_equal(ways, WAYS);
}

static void keys_differ_by_seed_and_name(void **state)
{
    (void)state;
    static const char *const names[] = {"", "a", "b", "ab", "ba", "order/stage2/0/3", "order/stage2/0/4"};
    uint64_t keys[BT_ARRAY_LEN(names) * 50];
    size_t count = 0;
    for (uint64_t seed = 0; seed < 50; seed++)
        for (size_t i = 0; i < BT_ARRAY_LEN(names); i++)
            keys[count++] = bt_rng_key(seed, names[i]);
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < i; j++)
            assert_true(keys[i] != keys[j]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(draws_are_philox),
        cmocka_unit_test(uniform_draws_have_the_right_moments),
        cmocka_unit_test(every_input_bit_matters),
        cmocka_unit_test(normal_draws_have_the_right_moments),
        cmocka_unit_test(bounded_draws_are_even),
        cmocka_unit_test(rejection_removes_the_bias),
        cmocka_unit_test(permutations_are_permutations),
        cmocka_unit_test(all_permutations_are_equally_likely),
        cmocka_unit_test(keys_differ_by_seed_and_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
