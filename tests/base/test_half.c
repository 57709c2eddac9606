#include "support.h"

#include <math.h>
#include <string.h>

#include "base/half.h"

static uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static float float_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* A sixteen-bit format by its definition, in double. */
struct format {
    unsigned exponent_bits, mantissa_bits;
    float (*widen)(uint16_t);
    uint16_t (*narrow)(float);
};
static const struct format formats[] = {
    {5, 10, bt_f32_from_f16, bt_f16_from_f32},
    {8, 7, bt_f32_from_bf16, bt_bf16_from_f32},
};

/* Magnitude patterns from here on are infinity and NaN. */
static uint16_t infinity_of(const struct format *f)
{
    return (uint16_t)(((1u << f->exponent_bits) - 1) << f->mantissa_bits);
}

/* As if the exponent went on for ever: the pattern of infinity means the power of two after the largest number. */
static double magnitude_of(const struct format *f, unsigned pattern)
{
    const unsigned exponent = pattern >> f->mantissa_bits, mantissa = pattern & ((1u << f->mantissa_bits) - 1);
    const int bias = (1 << (f->exponent_bits - 1)) - 1;
    const double fraction = ldexp(mantissa, -(int)f->mantissa_bits);
    return exponent ? ldexp(1 + fraction, (int)exponent - bias) : ldexp(fraction, 1 - bias);
}

static void all_patterns_widen_and_come_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < BT_ARRAY_LEN(formats); i++) {
        const struct format *f = &formats[i];
        const uint16_t infinity = infinity_of(f), quiet = (uint16_t)(1u << (f->mantissa_bits - 1));
        for (unsigned pattern = 0; pattern <= 0xffff; pattern++) {
            const unsigned magnitude = pattern & 0x7fff;
            const float value = f->widen((uint16_t)pattern);
            assert_int_equal(signbit(value) != 0, pattern >> 15);
            if (magnitude < infinity)
                assert_true(fabs((double)value) == magnitude_of(f, magnitude));
            else if (magnitude == infinity)
                assert_true(isinf(value));
            else
                assert_true(isnan(value));
            const unsigned back = magnitude > infinity ? pattern | quiet : pattern;
            assert_int_equal(f->narrow(value), back);
        }
    }
}

/* Between two neighbours lies one point where the result changes; all floats around it, and the tie, are tried. */
static void narrowing_rounds_to_nearest_even(void **state)
{
    (void)state;
    for (size_t i = 0; i < BT_ARRAY_LEN(formats); i++) {
        const struct format *f = &formats[i];
        for (unsigned low = 0; low < infinity_of(f); low++) {
            const float middle = (float)((magnitude_of(f, low) + magnitude_of(f, low + 1)) / 2);
            assert_true((double)middle == (magnitude_of(f, low) + magnitude_of(f, low + 1)) / 2);
            const unsigned even = low % 2 ? low + 1 : low;
            assert_int_equal(f->narrow(middle), even);
            assert_int_equal(f->narrow(-middle), even | 0x8000);
            assert_int_equal(f->narrow(nextafterf(middle, 0)), low);
            assert_int_equal(f->narrow(nextafterf(middle, INFINITY)), low + 1);
            assert_int_equal(f->narrow(-nextafterf(middle, INFINITY)), (low + 1) | 0x8000);
        }
    }
}

static void the_extremes_are_right(void **state)
{
    (void)state;
    assert_int_equal(bt_f16_from_f32(65504.0f), 0x7bff);
    assert_int_equal(bt_f16_from_f32(65519.99f), 0x7bff);
    assert_int_equal(bt_f16_from_f32(65520.0f), 0x7c00);
    assert_int_equal(bt_f16_from_f32(3.4e38f), 0x7c00);
    assert_int_equal(bt_f16_from_f32(-INFINITY), 0xfc00);
    assert_int_equal(bt_f16_from_f32(0x1p-25f), 0x0000);
    assert_int_equal(bt_f16_from_f32(0x1.8p-25f), 0x0001);
    assert_int_equal(bt_f16_from_f32(float_of(1)), 0x0000); /* the smallest subnormal float */
    assert_int_equal(bt_f16_from_f32(-float_of(1)), 0x8000);
    assert_int_equal(bt_bf16_from_f32(3.4028234e38f), 0x7f80);
    assert_int_equal(bt_bf16_from_f32(1.0f), 0x3f80);
    assert_int_equal(bt_bf16_from_f32(float_of(1)), 0x0000);
}

static void nans_stay_nans_and_become_quiet(void **state)
{
    (void)state;
    /* payloads whose upper bits are zero, the case where truncation makes an infinity */
    static const uint32_t nans[] = {0x7f800001, 0xff800001, 0x7fc00000, 0x7fffffff, 0x7f801fff, 0x7fa34567};
    for (size_t i = 0; i < BT_ARRAY_LEN(nans); i++) {
        const uint16_t f16 = bt_f16_from_f32(float_of(nans[i])), bf16 = bt_bf16_from_f32(float_of(nans[i]));
        assert_int_equal(f16, (nans[i] >> 16 & 0x8000) | 0x7e00 | (nans[i] >> 13 & 0x3ff));
        assert_int_equal(bf16, nans[i] >> 16 | 0x40);
    }
    assert_int_equal(bits_of(bt_f32_from_f16(0x7c01)), 0x7fc02000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_patterns_widen_and_come_back),
        cmocka_unit_test(narrowing_rounds_to_nearest_even),
        cmocka_unit_test(the_extremes_are_right),
        cmocka_unit_test(nans_stay_nans_and_become_quiet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
