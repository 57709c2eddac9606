#include "support.h"

#include <math.h>
#include <string.h>

#include "base/half.h"
#include "base/rng.h"
#include "kernels/quantize.h"
#include "train/packed.h"

static void the_layout_is_that_of_transformers(void **state)
{
    (void)state;
    static const uint8_t want[4] = {0x24, 0x49, 0x92, 0x24};
    int8_t codes[8 * 2];
    uint8_t packed[4];
    float again[8 * 2];
    size_t at;
    for (int r = 0; r < 8; r++)
        for (int c = 0; c < 2; c++)
            codes[2 * r + c] = (int8_t)((2 * r + c) % 3 - 1);
    bt_pack_codes(packed, codes, 8, 2);
    assert_memory_equal(packed, want, sizeof want);
    assert_true(bt_unpack_codes(again, packed, 8, 2, &at));
    for (size_t i = 0; i < BT_ARRAY_LEN(codes); i++)
        assert_true(again[i] == (float)codes[i]);
}

/* Every byte: refused exactly when one of its four pairs is 3. */
static void the_fourth_value_is_found(void **state)
{
    (void)state;
    for (unsigned byte = 0; byte < 256; byte++) {
        const uint8_t packed[3] = {0x55, 0x55, (uint8_t)byte};
        bool bad = false;
        float codes[12];
        size_t at = 99;
        for (int part = 0; part < 4; part++)
            bad = bad || (byte >> (2 * part) & 3) == 3;
        assert_int_equal(bt_unpack_codes(codes, packed, 4, 3, &at), !bad);
        assert_int_equal(at, bad ? 2 : 99);
    }
}

/* Random tensors of many shapes and densities. */
static void draw_codes(float *codes, size_t n, uint64_t key, double density)
{
    for (size_t i = 0; i < n; i++) {
        const double u = bt_rng_uniform(key, i);
        codes[i] = u >= density ? 0.0f : u < density / 2 ? -1.0f : 1.0f;
    }
}

static void masters_quantise_to_the_codes_and_the_scale_they_were_made_of(void **state)
{
    (void)state;
    enum { MOST = 20000 };
    float *w = bt_zalloc(MOST, sizeof *w), *codes = bt_zalloc(MOST, sizeof *codes);
    int8_t *t = bt_zalloc(MOST, 1);
    assert_true(w && codes && t);
    for (uint64_t k = 0; k < 2000; k++) {
        const uint64_t key = bt_rng_key(k, "masters");
        const size_t n = 2 + (size_t)(bt_rng_uniform(key, 100000) * (k % 10 ? 300 : MOST - 2));
        const double magnitude = exp(-11.4 + 12.0 * bt_rng_uniform(key, 100001)); /* 1.1e-5 to 1.8 */
        /* bfloat16 scales as our own files have them, and any float32 one */
        const float scale = k % 2 ? (float)magnitude : bt_f32_from_bf16(bt_bf16_from_f32((float)magnitude));
        draw_codes(codes, n, key, bt_rng_uniform(key, 100002));
        size_t nonzero = 0;
        for (size_t i = 0; i < n; i++)
            nonzero += codes[i] != 0.0f;
        memcpy(w, codes, n * sizeof *w);
        assert_true(bt_ternary_masters(w, n, scale));
        const float found = bt_weight_scale(w, n);
        if (nonzero == 0)
            assert_true(found == 1e-5f);
        else if (nonzero == 1)
            assert_true(fabsf(found - scale) <= nextafterf(scale, INFINITY) - scale);
        else
            assert_true(found == scale);
        bt_weight_codes(t, w, n, found);
        for (size_t i = 0; i < n; i++)
            assert_true((float)t[i] == codes[i]);
    }
    bt_free(w);
    bt_free(codes);
    bt_free(t);
}

static void scales_that_no_masters_have_are_refused(void **state)
{
    (void)state;
    static const float bad[] = {0.0f, -1.0f, 0.9e-5f, NAN, INFINITY, 3e38f};
    for (size_t i = 0; i < BT_ARRAY_LEN(bad); i++) {
        float w[3] = {1.0f, 0.0f, -1.0f};
        assert_false(bt_ternary_masters(w, 3, bad[i]));
        float zeros[3] = {0};
        assert_true(bt_ternary_masters(zeros, 3, bad[i])); /* whatever it multiplies is zero */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_layout_is_that_of_transformers),
        cmocka_unit_test(the_fourth_value_is_found),
        cmocka_unit_test(masters_quantise_to_the_codes_and_the_scale_they_were_made_of),
        cmocka_unit_test(scales_that_no_masters_have_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
