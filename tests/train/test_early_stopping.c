#include "support.h"

#include <math.h>

#include "train/early_stopping.h"

/* Validations one after the other, one every 10 updates; the number of the one that ends the stage, 0: none does. */
static size_t stops_at(int64_t patience, double min_delta, const double *losses, size_t count)
{
    const struct bt_cfg_early_stopping config = {.enabled = true, .patience = patience, .min_delta = min_delta};
    struct bt_early_stopping_state state = {.best = NAN};
    for (size_t i = 0; i < count; i++) {
        assert_false(bt_early_stopping_stops(&config, &state));
        bt_early_stopping_look(&config, &state, 10 * ((int64_t)i + 1), losses[i]);
        if (bt_early_stopping_stops(&config, &state))
            return i + 1;
    }
    return 0;
}
#define STOPS_AT(patience, min_delta, ...)                                                                             \
    stops_at(patience, min_delta, (const double[]){__VA_ARGS__}, sizeof((const double[]){__VA_ARGS__}) / sizeof(double))

static void patience_counts_what_is_not_better(void **state)
{
    (void)state;
    assert_int_equal(STOPS_AT(1, 0.0, 3.0, 2.0, 2.0), 3);
    assert_int_equal(STOPS_AT(2, 0.0, 3.0, 2.0, 2.1, 1.9, 2.0, 1.95), 6);
    assert_int_equal(STOPS_AT(2, 0.0, 3.0, 2.9, 2.8, 2.7, 2.6), 0);
    assert_int_equal(STOPS_AT(3, 0.0, 3.0, 3.1, 3.2), 0);
    assert_int_equal(STOPS_AT(3, 0.0, 3.0, 3.1, 3.2, 3.0), 4);
}

/* Small steps down do not help, unless they add up to more than min_delta before patience is out. */
static void better_is_more_than_min_delta(void **state)
{
    (void)state;
    assert_int_equal(STOPS_AT(2, 0.25, 3.0, 2.75, 2.75), 3);
    assert_int_equal(STOPS_AT(2, 0.25, 3.0, 2.875, 2.625, 2.5, 2.375), 5);
    assert_int_equal(STOPS_AT(2, 0.25, 3.0, 2.875, 2.625, 2.5, 2.25), 0);
}

static void what_is_not_finite_is_not_better(void **state)
{
    (void)state;
    assert_int_equal(STOPS_AT(2, 0.0, NAN, NAN), 2);
    assert_int_equal(STOPS_AT(2, 0.0, NAN, 3.0, -INFINITY, NAN), 4);
    assert_int_equal(STOPS_AT(2, 0.0, 3.0, INFINITY, 2.0, INFINITY), 0);
}

static void the_best_is_kept(void **state)
{
    (void)state;
    const struct bt_cfg_early_stopping config = {.enabled = true, .patience = 9, .min_delta = 0.5};
    struct bt_early_stopping_state s = {.best = NAN};
    const double losses[] = {3.0, 2.75, 2.25, 2.0, 2.5};
    for (int i = 0; i < 5; i++)
        bt_early_stopping_look(&config, &s, i + 1, losses[i]);
    assert_true(s.best == 2.25 && s.best_step == 3 && s.stalled == 2);
}

static void it_is_off_unless_enabled(void **state)
{
    (void)state;
    const struct bt_cfg_early_stopping config = {.patience = 1};
    const struct bt_early_stopping_state s = {.best = 1.0, .stalled = 7};
    assert_false(bt_early_stopping_stops(&config, &s));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patience_counts_what_is_not_better), cmocka_unit_test(better_is_more_than_min_delta),
        cmocka_unit_test(what_is_not_finite_is_not_better),   cmocka_unit_test(the_best_is_kept),
        cmocka_unit_test(it_is_off_unless_enabled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
