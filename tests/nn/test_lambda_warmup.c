#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nn/lambda_warmup.h"

static void linear_runs_from_min_to_max(void **state)
{
    (void)state;
    const struct bt_lambda_warmup w = {.warmup_steps = 4, .min = 0.0, .max = 1.0};
    static const double want[] = {0.0, 0.25, 0.5, 0.75, 1.0, 1.0};
    for (size_t i = 0; i < BT_ARRAY_LEN(want); i++)
        assert_true(bt_lambda_at(&w, (int64_t)i + 1) == want[i]);
    assert_true(bt_lambda_at(&w, INT64_MAX) == 1.0);
}

static void cosine_starts_and_ends_flat(void **state)
{
    (void)state;
    const struct bt_lambda_warmup w = {.warmup_steps = 10, .cosine = true, .min = 0.0, .max = 1.0};
    assert_true(bt_lambda_at(&w, 1) == 0.0);
    assert_true(fabs(bt_lambda_at(&w, 6) - 0.5) < 1e-15);
    assert_true(bt_lambda_at(&w, 11) == 1.0);
    assert_true(bt_lambda_at(&w, 2) < 0.1 && bt_lambda_at(&w, 10) > 0.9);
    for (int64_t s = 1; s <= 11; s++)
        assert_true(bt_lambda_at(&w, s) == (1.0 - cos(M_PI * ((double)(s - 1) / 10.0))) / 2.0);
}

static void min_and_max_bound_it(void **state)
{
    (void)state;
    const struct bt_lambda_warmup w = {.warmup_steps = 2, .min = 0.25, .max = 0.75};
    assert_true(bt_lambda_at(&w, 1) == 0.25);
    assert_true(bt_lambda_at(&w, 2) == 0.5);
    assert_true(bt_lambda_at(&w, 3) == 0.75);
}

/* Which validations are at full lambda is found by comparing with max. */
static void max_is_reached_exactly(void **state)
{
    (void)state;
    for (int min = 0; min < 100; min++)
        for (int max = min; max <= 100; max++) {
            const struct bt_lambda_warmup w = {
                .warmup_steps = 3, .cosine = max % 2, .min = min / 100.0, .max = max / 100.0};
            assert_true(bt_lambda_at(&w, 4) == w.max);
            assert_true(bt_lambda_at(&w, 1000) == w.max);
        }
}

static void without_warmup_steps_it_is_max_at_once(void **state)
{
    (void)state;
    const struct bt_lambda_warmup linear = {.min = 0.0, .max = 1.0};
    const struct bt_lambda_warmup cosine = {.cosine = true, .min = 0.0, .max = 0.5};
    assert_true(bt_lambda_at(&linear, 1) == 1.0);
    assert_true(bt_lambda_at(&cosine, 1) == 0.5);
}

static void the_global_one_is_copied_and_can_be_taken_away(void **state)
{
    (void)state;
    struct bt_lambda_warmup w = {.warmup_steps = 4, .min = 0.0, .max = 1.0, .step = 2};
    assert_true(bt_get_current_lambda() == 1.0);
    bt_set_global_lambda_warmup(&w);
    w.max = 9.0;
    assert_true(bt_get_current_lambda() == 0.25);
    bt_lambda_warmup_set_step(3);
    assert_true(bt_get_current_lambda() == 0.5);
    bt_set_global_lambda_warmup(NULL);
    assert_true(bt_get_current_lambda() == 1.0);
}

/* Every line of a fixture's trace, to the last digit. */
static void check_trace(const char *relative, const struct bt_lambda_warmup *warmup, int64_t updates)
{
    char line[512];
    int64_t s = 0;
    FILE *file = fopen(test_shared(relative), "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file)) {
        const char *at = strstr(line, "\"lambda\": ");
        assert_non_null(at);
        s++;
        assert_true(bt_lambda_at(warmup, s) == strtod(at + strlen("\"lambda\": "), NULL));
    }
    fclose(file);
    assert_int_equal(s, updates);
}

static void the_cosine_fixture_agrees_to_the_last_digit(void **state)
{
    (void)state;
    const struct bt_lambda_warmup w = {.warmup_steps = 15, .cosine = true, .min = 0.0, .max = 1.0};
    check_trace("golden/train-qat-wsd/trace.jsonl", &w, 60);
}

static void the_linear_fixture_agrees_to_the_last_digit(void **state)
{
    (void)state;
    const struct bt_lambda_warmup w = {.warmup_steps = 40, .min = 0.0, .max = 1.0};
    check_trace("golden/stage2-stories260K/trace.jsonl", &w, 120);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linear_runs_from_min_to_max),
        cmocka_unit_test(cosine_starts_and_ends_flat),
        cmocka_unit_test(min_and_max_bound_it),
        cmocka_unit_test(max_is_reached_exactly),
        cmocka_unit_test(without_warmup_steps_it_is_max_at_once),
        cmocka_unit_test(the_global_one_is_copied_and_can_be_taken_away),
        cmocka_unit_test(the_cosine_fixture_agrees_to_the_last_digit),
        cmocka_unit_test(the_linear_fixture_agrees_to_the_last_digit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
