#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "train/schedule.h"

#define LR 0.25 /* exact in binary, so that most expectations below are exact too */

static double rate(enum bt_cfg_scheduler type, int64_t s, int64_t n)
{
    const struct bt_cfg_scheduler_keys keys = {
        .type = type, .warmup_steps = 4, .decay_ratio = 0.5, .decay_type = BT_CURVE_LINEAR, .min_lr_ratio = 0.5};
    return bt_learning_rate(&keys, LR, s, n);
}

static void every_type_warms_up_the_same_way(void **state)
{
    (void)state;
    for (int type = BT_SCHEDULE_CONSTANT; type <= BT_SCHEDULE_WSD; type++) {
        for (int64_t s = 1; s <= 4; s++)
            assert_true(rate((enum bt_cfg_scheduler)type, s, 20) == LR * (double)s / 4.0);
    }
}

static void constant_stays(void **state)
{
    (void)state;
    for (int64_t s = 4; s <= 20; s++)
        assert_true(rate(BT_SCHEDULE_CONSTANT, s, 20) == LR);
}

static void linear_falls_to_the_floor(void **state)
{
    (void)state;
    assert_true(rate(BT_SCHEDULE_LINEAR, 5, 20) == 0.125 + 0.125 * 15.0 / 16.0);
    assert_true(rate(BT_SCHEDULE_LINEAR, 12, 20) == 0.1875);
    assert_true(rate(BT_SCHEDULE_LINEAR, 20, 20) == 0.125);
}

static void cosine_falls_to_the_floor(void **state)
{
    (void)state;
    assert_true(rate(BT_SCHEDULE_COSINE, 12, 20) == 0.1875);
    assert_true(rate(BT_SCHEDULE_COSINE, 20, 20) == 0.125);
    for (int64_t s = 5; s < 20; s++) {
        const double want = 0.125 + 0.125 * pow(cos(M_PI * (double)(s - 4) / 32.0), 2.0); /* the half-angle form */
        assert_true(fabs(rate(BT_SCHEDULE_COSINE, s, 20) - want) < 1e-15);
    }
}

static void wsd_is_stable_and_then_decays(void **state)
{
    (void)state;
    for (int64_t s = 4; s <= 10; s++)
        assert_true(rate(BT_SCHEDULE_WSD, s, 20) == LR);
    assert_true(rate(BT_SCHEDULE_WSD, 15, 20) == 0.1875);
    assert_true(rate(BT_SCHEDULE_WSD, 20, 20) == 0.125);
    struct bt_cfg_scheduler_keys cosine = {
        .type = BT_SCHEDULE_WSD, .decay_ratio = 0.5, .decay_type = BT_CURVE_COSINE, .min_lr_ratio = 0.0};
    assert_true(bt_learning_rate(&cosine, LR, 10, 20) == LR);
    assert_true(fabs(bt_learning_rate(&cosine, LR, 15, 20) - LR / 2.0) < 1e-15);
    assert_true(fabs(bt_learning_rate(&cosine, LR, 20, 20)) < 1e-15);
    for (int64_t s = 11; s < 20; s++) {
        const double want = LR * pow(cos(M_PI * (double)(s - 10) / 20.0), 2.0);
        assert_true(fabs(bt_learning_rate(&cosine, LR, s, 20) - want) < 1e-15);
    }
}

/* D is N times the ratio, rounded: half to even. */
static void wsd_rounds_the_length_of_the_decay(void **state)
{
    (void)state;
    static const struct {
        int64_t n;
        double ratio;
        int64_t d;
    } cases[] = {{10, 0.24, 2}, {10, 0.26, 3}, {10, 0.25, 2}, {14, 0.25, 4}, {10, 1.0, 10}};
    for (size_t i = 0; i < BT_ARRAY_LEN(cases); i++) {
        const struct bt_cfg_scheduler_keys keys = {.type = BT_SCHEDULE_WSD, .decay_ratio = cases[i].ratio};
        const int64_t n = cases[i].n, d = cases[i].d;
        for (int64_t s = 1; s <= n; s++) {
            const double want = s <= n - d ? LR : LR * (double)(n - s) / (double)d;
            assert_true(fabs(bt_learning_rate(&keys, LR, s, n) - want) < 1e-15);
        }
    }
}

static void without_a_warmup_the_first_update_is_already_scheduled(void **state)
{
    (void)state;
    const struct bt_cfg_scheduler_keys linear = {.type = BT_SCHEDULE_LINEAR};
    assert_true(bt_learning_rate(&linear, LR, 1, 4) == LR * 3.0 / 4.0);
    assert_true(bt_learning_rate(&linear, LR, 4, 4) == 0.0);
}

/* initial while s <= w, then to final at the last update. */
static void weights_move_after_their_warmup(void **state)
{
    (void)state;
    struct bt_cfg_term_weight w = {.kind = BT_WEIGHT_SCHEDULE, .initial = 2.0, .final = 0.5, .warmup_steps = 3};
    for (int64_t s = 1; s <= 4; s++)
        assert_true(bt_term_weight_at(&w, NAN, s, 10) == 2.0);
    assert_true(fabs(bt_term_weight_at(&w, NAN, 7, 10) - 1.25) <= 1e-15);
    assert_true(bt_term_weight_at(&w, NAN, 10, 10) == 0.5);
    w.type = BT_CURVE_COSINE;
    assert_true(bt_term_weight_at(&w, NAN, 4, 10) == 2.0);
    assert_true(fabs(bt_term_weight_at(&w, NAN, 6, 10) - (0.5 + 1.5 * (1.0 + cos(M_PI / 3.0)) / 2.0)) <= 1e-15);
    assert_true(bt_term_weight_at(&w, NAN, 10, 10) == 0.5);
}

static void other_weights_stay(void **state)
{
    (void)state;
    const struct bt_cfg_term_weight constant = {.kind = BT_WEIGHT_CONSTANT, .constant = 3.0};
    const struct bt_cfg_term_weight balanced = {.kind = BT_WEIGHT_BALANCE, .balance = 0.5, .at = 2};
    assert_true(bt_term_weight_at(&constant, NAN, 5, 10) == 3.0);
    assert_true(bt_term_weight_at(&balanced, NAN, 5, 10) == 0.0);
    assert_true(bt_term_weight_at(&balanced, 7.0, 5, 10) == 7.0);
}

/* Every line of a fixture's trace, to the last digit. */
static void check_trace(const char *relative, const struct bt_cfg_scheduler_keys *keys, double lr, int64_t n)
{
    char line[512];
    int64_t s = 0;
    FILE *file = fopen(test_shared(relative), "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file)) {
        const char *at = strstr(line, "\"lr\": ");
        assert_non_null(at);
        s++;
        const double want = strtod(at + strlen("\"lr\": "), NULL), got = bt_learning_rate(keys, lr, s, n);
        if (got != want)
            fail_msg("%s: update %d: got %.17g, want %.17g", relative, (int)s, got, want);
    }
    fclose(file);
    assert_int_equal(s, n);
}

static void the_cosine_fixture_agrees_to_the_last_digit(void **state)
{
    (void)state;
    const struct bt_cfg_scheduler_keys keys = {.type = BT_SCHEDULE_COSINE, .warmup_steps = 5, .min_lr_ratio = 0.1};
    check_trace("golden/train-fp-cosine/trace.jsonl", &keys, 0.003, 40);
}

static void the_wsd_cosine_fixture_agrees_to_the_last_digit(void **state)
{
    (void)state;
    const struct bt_cfg_scheduler_keys keys = {.type = BT_SCHEDULE_WSD,
                                               .warmup_steps = 5,
                                               .decay_ratio = 0.3,
                                               .decay_type = BT_CURVE_COSINE,
                                               .min_lr_ratio = 0.1};
    check_trace("golden/train-qat-wsd/trace.jsonl", &keys, 0.003, 60);
}

static void the_wsd_linear_fixture_agrees_to_the_last_digit(void **state)
{
    (void)state;
    const struct bt_cfg_scheduler_keys keys = {
        .type = BT_SCHEDULE_WSD, .warmup_steps = 10, .decay_ratio = 0.2, .decay_type = BT_CURVE_LINEAR};
    check_trace("golden/stage2-stories260K/trace.jsonl", &keys, 0.002, 120);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_warms_up_the_same_way),
        cmocka_unit_test(constant_stays),
        cmocka_unit_test(linear_falls_to_the_floor),
        cmocka_unit_test(cosine_falls_to_the_floor),
        cmocka_unit_test(wsd_is_stable_and_then_decays),
        cmocka_unit_test(wsd_rounds_the_length_of_the_decay),
        cmocka_unit_test(without_a_warmup_the_first_update_is_already_scheduled),
        cmocka_unit_test(weights_move_after_their_warmup),
        cmocka_unit_test(other_weights_stay),
        cmocka_unit_test(the_cosine_fixture_agrees_to_the_last_digit),
        cmocka_unit_test(the_wsd_cosine_fixture_agrees_to_the_last_digit),
        cmocka_unit_test(the_wsd_linear_fixture_agrees_to_the_last_digit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
