/* Counts of codes against counting them one by one. */
#include "support.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "kernels/code_counts.h"

static const size_t sizes[] = {1, 2, 3, 4, 5, 7, 8, 63, 64, 65, 1000, 16383, 16384, 16385, 50001};

/* The fewer `share` in 100, the more are the same as with the seed 0. */
static int8_t *codes(size_t n, uint64_t seed, uint64_t share)
{
    int8_t *t = malloc(n);
    assert_non_null(t);
    for (size_t i = 0; i < n; i++) {
        const bool other = bt_rng_below(77, i, 100) < share;
        t[i] = (int8_t)((int)bt_rng_below(other ? seed : 0, i, 3) - 1);
    }
    return t;
}

static struct bt_code_counts counted(const int8_t *t, const int8_t *before, size_t n)
{
    struct bt_code_counts c = {0};
    for (size_t i = 0; i < n; i++) {
        c.minus += t[i] == -1;
        c.zero += t[i] == 0;
        c.plus += t[i] == 1;
        c.flipped += t[i] != before[i];
        c.sign_changed += t[i] * before[i] == -1;
    }
    return c;
}

static void codes_are_counted_and_compared(void **state)
{
    (void)state;
    for (size_t k = 0; k < BT_ARRAY_LEN(sizes); k++)
        for (uint64_t share = 0; share <= 100; share += 50) {
            const size_t n = sizes[k];
            int8_t *before = codes(n, 0, 0), *now = codes(n, 1, share);
            uint8_t *packed = malloc(bt_packed_codes_bytes(n)); /* exactly: sanitizers see a byte too far */
            const struct bt_code_counts want = counted(now, before, n);
            assert_non_null(packed);
            assert_true(share < 100 || n < 8 || (want.flipped > want.sign_changed && want.sign_changed > 0));
            for (int threads = 1; threads <= 3; threads++) {
                struct bt_code_counts got;
                omp_set_num_threads(threads);
                bt_packed_codes_make(packed, before, n);
                assert_true(bt_packed_codes_valid(packed, n));
                bt_codes_compare(&got, now, packed, n);
                assert_memory_equal(&got, &want, sizeof got);
            }
            free(before);
            free(now);
            free(packed);
        }
}

static void the_layout_is_that_of_the_header(void **state)
{
    (void)state;
    const int8_t t[] = {-1, 0, 1, 1, 0, -1, 1};
    const uint8_t want[] = {0 | 1 << 2 | 2 << 4 | 2 << 6, 1 | 0 << 2 | 2 << 4};
    uint8_t packed[2];
    assert_int_equal(bt_packed_codes_bytes(7), 2);
    bt_packed_codes_make(packed, t, 7);
    assert_memory_equal(packed, want, 2);
}

static void bits_that_are_no_code_are_seen(void **state)
{
    (void)state;
    for (size_t n = 1; n <= 9; n++)
        for (size_t bit = 0; bit < 8 * bt_packed_codes_bytes(n); bit += 2) {
            uint8_t packed[3] = {0};
            packed[bit / 8] = (uint8_t)(3u << bit % 8);
            assert_false(bt_packed_codes_valid(packed, n));
            packed[bit / 8] = (uint8_t)(2u << bit % 8);
            assert_int_equal(bt_packed_codes_valid(packed, n), bit / 2 < n);
        }
}

static void weights_near_a_boundary(void **state)
{
    (void)state;
    for (size_t k = 0; k < BT_ARRAY_LEN(sizes); k++) {
        const size_t n = sizes[k];
        const float s = 0.03f, inverse = 1.0f / s;
        float *w = malloc(n * sizeof *w);
        uint64_t want = 0;
        assert_non_null(w);
        for (size_t i = 0; i < n; i++) {
            w[i] = (float)(0.04 * bt_rng_normal(5, i));
            want += fabsf(fabsf(w[i] * inverse) - 0.5f) < 0.05f;
        }
        assert_true(n < 1000 || (want > n / 50 && want < n / 5));
        for (int threads = 1; threads <= 3; threads++) {
            omp_set_num_threads(threads);
            assert_int_equal(bt_weights_near_boundary(w, n, s, 0.05f), want);
        }
        free(w);
    }
    const float w[] = {0.5f, -0.5f, 0.449f, 0.551f, -0.54f, 1.0f, 1.5f, 0.0f, NAN};
    assert_int_equal(bt_weights_near_boundary(w, BT_ARRAY_LEN(w), 1.0f, 0.05f), 3);
}

static void codes_at_the_ends(void **state)
{
    (void)state;
    for (size_t k = 0; k < BT_ARRAY_LEN(sizes); k++) {
        const size_t n = sizes[k];
        int8_t *c = malloc(n);
        uint64_t want = 0;
        assert_non_null(c);
        for (size_t i = 0; i < n; i++) {
            c[i] = (int8_t)((int)bt_rng_below(6, i, 256) - 128);
            want += abs(c[i]) >= 127;
        }
        omp_set_num_threads(3);
        assert_int_equal(bt_codes_at_ends(c, n), want);
        free(c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codes_are_counted_and_compared),
        cmocka_unit_test(the_layout_is_that_of_the_header),
        cmocka_unit_test(bits_that_are_no_code_are_seen),
        cmocka_unit_test(weights_near_a_boundary),
        cmocka_unit_test(codes_at_the_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
