#include "support.h"

#include <math.h>
#include <stdlib.h>

#include "nn/rope_table.h"
#include "reference_model.h"

static const double pi = 3.14159265358979323846;

/* Llama 3.1's own numbers. */
static const struct bt_rope llama31 = {.theta = 500000.0,
                                       .scaling = BT_ROPE_SCALING_LLAMA3,
                                       .factor = 8.0,
                                       .low_freq_factor = 1.0,
                                       .high_freq_factor = 4.0,
                                       .original_max_position = 8192.0};

static void close_to(double got, double want, double tolerance)
{
    if (!(fabs(got - want) <= tolerance * fabs(want)))
        fail_msg("got %.17g, want %.17g", got, want);
}

/* A rope whose pair 1 of 2 (theta^(-1/2)) has this wavelength. */
static struct bt_rope with_wavelength(double wavelength)
{
    struct bt_rope rope = llama31;
    rope.theta = pow(wavelength / (2.0 * pi), 2.0);
    return rope;
}

static double scaled_share(double wavelength)
{
    const struct bt_rope rope = with_wavelength(wavelength);
    return bt_rope_frequency(&rope, 1, 4) / (2.0 * pi / wavelength);
}

static void plain_and_linear_frequencies(void **state)
{
    (void)state;
    struct bt_rope rope = {.theta = 10000.0};
    close_to(bt_rope_frequency(&rope, 0, 64), 1.0, 1e-15);
    close_to(bt_rope_frequency(&rope, 16, 64), 0.01, 1e-14);
    close_to(bt_rope_frequency(&rope, 31, 64), pow(10000.0, -62.0 / 64.0), 1e-14);
    rope.scaling = BT_ROPE_SCALING_LINEAR;
    rope.factor = 4.0;
    close_to(bt_rope_frequency(&rope, 0, 64), 0.25, 1e-15);
    close_to(bt_rope_frequency(&rope, 16, 64), 0.0025, 1e-14);
}

/* On the threshold original / low the blend gives f / factor, on original / high it gives f: no jump on either side. */
static void llama3_meets_itself_on_both_thresholds(void **state)
{
    (void)state;
    const double low = 8192.0 / 1.0, high = 8192.0 / 4.0;
    close_to(scaled_share(low), 1.0 / 8.0, 1e-9);
    close_to(scaled_share(low * (1.0 + 1e-9)), 1.0 / 8.0, 1e-7);
    close_to(scaled_share(low * (1.0 - 1e-9)), 1.0 / 8.0, 1e-7);
    close_to(scaled_share(high), 1.0, 1e-9);
    close_to(scaled_share(high * (1.0 + 1e-9)), 1.0, 1e-7);
    close_to(scaled_share(high * (1.0 - 1e-9)), 1.0, 1e-7);
}

static void llama3_divides_blends_and_keeps(void **state)
{
    (void)state;
    close_to(scaled_share(10.0 * 8192.0), 1.0 / 8.0, 1e-12); /* long wavelengths are divided */
    close_to(scaled_share(8192.0 / 40.0), 1.0, 1e-12);       /* short ones kept */
    /* original / wavelength 2.5, half of the way from 1 to 4. */
    close_to(scaled_share(8192.0 / 2.5), 0.5 / 8.0 + 0.5, 1e-12);
    close_to(scaled_share(8192.0 / 1.75), 0.75 / 8.0 + 0.25, 1e-12);
    for (size_t j = 0; j < 64; j++)
        close_to(bt_rope_frequency(&llama31, j, 128), reference_frequency(&llama31, j, 128), 1e-12);
}

static void tables_are_rounded_once(void **state)
{
    (void)state;
    enum { POSITIONS = 3000, DIM = 8, HALF = DIM / 2 };
    float *cosine = malloc(POSITIONS * HALF * sizeof *cosine), *sine = malloc(POSITIONS * HALF * sizeof *sine);
    assert_true(cosine && sine);
    const struct bt_rope ropes[] = {{.theta = 10000.0}, llama31};
    for (size_t r = 0; r < BT_ARRAY_LEN(ropes); r++) {
        bt_rope_table(cosine, sine, POSITIONS, DIM, &ropes[r]);
        for (size_t p = 0; p < POSITIONS; p++)
            for (size_t j = 0; j < HALF; j++) {
                const double angle = (double)p * bt_rope_frequency(&ropes[r], j, DIM);
                assert_true(cosine[p * HALF + j] == (float)cos(angle));
                assert_true(sine[p * HALF + j] == (float)sin(angle));
            }
    }
    free(cosine);
    free(sine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_and_linear_frequencies),
        cmocka_unit_test(llama3_meets_itself_on_both_thresholds),
        cmocka_unit_test(llama3_divides_blends_and_keeps),
        cmocka_unit_test(tables_are_rounded_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
