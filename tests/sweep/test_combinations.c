/* The file of a sweep, and the rows of values that its grid, list, draws and seeds make. */
#include "support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sweep/combinations.h"

#define HEAD "name: s\nconfig: base.yaml\n"

struct sweep {
    struct bt_sweep_file *file;
    struct bt_combinations c;
};

static enum bt_err combine(const char *text, struct sweep *sweep, struct bt_diag *diag)
{
    *sweep = (struct sweep){0};
    const enum bt_err err = bt_sweep_file_parse(text, strlen(text), "s.yaml", &sweep->file, diag);
    return err ? err : bt_combine(sweep->file, &sweep->c, diag);
}

static struct sweep good(const char *text)
{
    struct bt_diag diag = {""};
    struct sweep sweep;
    TEST_OK(combine(text, &sweep, &diag), diag);
    return sweep;
}

static const char *value(const struct sweep *sweep, size_t row, size_t key)
{
    assert_true(row < sweep->c.count && key < sweep->c.key_count);
    const char *text = sweep->c.values[row * sweep->c.key_count + key];
    return text ? text : "(base)";
}

static void expect_row(const struct sweep *sweep, size_t row, const char *const *values)
{
    for (size_t k = 0; k < sweep->c.key_count; k++)
        assert_string_equal(value(sweep, row, k), values[k]);
}
#define EXPECT_ROW(sweep, row, ...) expect_row(sweep, row, (const char *const[]){__VA_ARGS__})

static void expect_error(const char *text, const char *sentence)
{
    struct bt_diag diag = {""};
    struct sweep sweep;
    assert_int_equal(combine(text, &sweep, &diag), BT_EUSAGE);
    if (!strstr(diag.text, sentence))
        fail_msg("said: %s\nexpected: %s", diag.text, sentence);
    bt_sweep_file_destroy(sweep.file);
}

static void test_base_alone(void **state)
{
    (void)state;
    struct sweep sweep = good(HEAD);
    assert_int_equal(sweep.c.count, 1);
    assert_int_equal(sweep.c.key_count, 0);
    assert_string_equal(sweep.file->output_dir, "runs");
    assert_int_equal(sweep.file->jobs, 1);
    assert_false(sweep.file->twins);
    bt_sweep_file_destroy(sweep.file);
}

static void test_grid(void **state)
{
    (void)state;
    struct sweep sweep = good(HEAD "grid: {a.b: [1e-3, 2.0], c: [\"x y\", null, [1, {k: v}]]}\n");
    assert_int_equal(sweep.c.count, 6);
    assert_string_equal(sweep.c.keys[0], "a.b");
    EXPECT_ROW(&sweep, 0, "1e-3", "\"x y\"");
    EXPECT_ROW(&sweep, 1, "1e-3", "null");
    EXPECT_ROW(&sweep, 2, "1e-3", "[1, {k: v}]");
    EXPECT_ROW(&sweep, 5, "2.0", "[1, {k: v}]");
    bt_sweep_file_destroy(sweep.file);
}

static void test_list(void **state)
{
    (void)state;
    struct sweep sweep = good(HEAD "list:\n  - {a: 1}\n  - {b: 2, a: 3}\n  - {}\n  - {c: true}\n");
    assert_int_equal(sweep.c.count, 4);
    assert_int_equal(sweep.c.key_count, 3);
    EXPECT_ROW(&sweep, 0, "1", "(base)", "(base)");
    EXPECT_ROW(&sweep, 1, "3", "2", "(base)");
    EXPECT_ROW(&sweep, 2, "(base)", "(base)", "(base)");
    EXPECT_ROW(&sweep, 3, "(base)", "(base)", "true");
    bt_sweep_file_destroy(sweep.file);
}

static void test_all_parts_multiply(void **state)
{
    (void)state;
    struct sweep sweep = good(HEAD "grid: {a: [1, 2]}\nlist: [{b: 3}, {b: 4}]\nseeds: [7, 8, 9]\n"
                                   "random: {draws: 2, keys: {r: [p, q]}}\n");
    assert_int_equal(sweep.c.count, 2 * 2 * 2 * 3);
    assert_string_equal(sweep.c.keys[3], "seed");
    assert_string_equal(value(&sweep, 0, 3), "7");
    assert_string_equal(value(&sweep, 1, 3), "8");
    assert_string_equal(value(&sweep, 11, 0), "1");
    assert_string_equal(value(&sweep, 12, 0), "2");
    assert_string_equal(value(&sweep, 6, 1), "4");
    assert_string_equal(value(&sweep, 0, 2), value(&sweep, 12, 2)); /* the same draw for both */
    bt_sweep_file_destroy(sweep.file);
}

/* ---- draws ---- */

#define DRAWS(count)                                                                                                   \
    HEAD "random:\n  draws: " count "\n  seed: 5\n  keys:\n"                                                           \
         "    real: {min: 0.5, max: 2.5}\n    log: {min: 1e-5, max: 1e-1, scale: log}\n"                               \
         "    whole: {min: 1, max: 3}\n    steps: {min: 1, max: 1000, scale: log}\n    one: [x, y, z]\n"

static bool is_whole(const char *text)
{
    return strspn(text, "0123456789") == strlen(text);
}

static void test_draws_lie_in_their_ranges(void **state)
{
    enum { DRAWN = 3000 };
    size_t whole[4] = {0}, low_log = 0, low_real = 0, low_steps = 0, x = 0;
    (void)state;
    struct sweep sweep = good(DRAWS("3000"));
    for (size_t i = 0; i < DRAWN; i++) {
        const double real = atof(value(&sweep, i, 0)), log = atof(value(&sweep, i, 1));
        const int steps = atoi(value(&sweep, i, 3));
        assert_true(real >= 0.5 && real <= 2.5);
        assert_true(log >= 1e-5 && log <= 1e-1);
        assert_true(is_whole(value(&sweep, i, 2)) && is_whole(value(&sweep, i, 3)));
        assert_true(steps >= 1 && steps <= 1000);
        whole[atoi(value(&sweep, i, 2))]++;
        low_real += real < 1.0;
        low_log += log < 1e-3;
        low_steps += steps < 32;
        x += !strcmp(value(&sweep, i, 4), "x");
    }
    /* Shares 1/3, 1/4, 1/2, 1/2, 1/3 of 3000: a deviation is at most 28, and five of them are allowed. */
    for (int i = 1; i <= 3; i++)
        assert_in_range(whole[i], 1000 - 140, 1000 + 140);
    assert_in_range(low_real, 750 - 140, 750 + 140);
    assert_in_range(low_log, 1500 - 140, 1500 + 140);
    assert_in_range(low_steps, 1500 - 140, 1500 + 140);
    assert_in_range(x, 1000 - 140, 1000 + 140);
    bt_sweep_file_destroy(sweep.file);
}

static void test_more_draws_keep_the_earlier_ones(void **state)
{
    (void)state;
    struct sweep few = good(DRAWS("3")), many = good(DRAWS("20"));
    for (size_t i = 0; i < 3; i++)
        for (size_t k = 0; k < 5; k++)
            assert_string_equal(value(&few, i, k), value(&many, i, k));
    assert_string_not_equal(value(&many, 0, 0), value(&many, 1, 0));
    bt_sweep_file_destroy(few.file);
    bt_sweep_file_destroy(many.file);
}

static void test_a_range_of_one_value(void **state)
{
    (void)state;
    struct sweep sweep =
        good(HEAD "random: {draws: 2, keys: {a: {min: 0.123456, max: 0.123456}, b: {min: 4, max: 4}}}");
    assert_true(atof(value(&sweep, 0, 0)) == 0.123456);
    assert_string_equal(value(&sweep, 1, 1), "4");
    bt_sweep_file_destroy(sweep.file);
}

/* ---- what is refused ---- */

static void test_errors(void **state)
{
    (void)state;
    expect_error("", "s.yaml: this file is empty");
    expect_error("[1]", "expected a mapping");
    expect_error("name: s\n", "s.yaml: missing required key \"config\"");
    expect_error(HEAD "gird: {a: [1]}\n", "s.yaml:3:1: unknown key \"gird\"; did you mean \"grid\"?");
    expect_error("name: a/b\nconfig: c\n", "s.yaml:1:7: name: found \"a/b\"");
    expect_error(HEAD "jobs: 0\n", "s.yaml:3:7: jobs: found the number 0, expected an integer from 1 to 1000");
    expect_error(HEAD "sort: size\n", "expected one of eval_loss, best_eval_loss, loss, order");
    expect_error(HEAD "grid: [1]\n", "s.yaml:3:7: found a list of 1, expected a mapping of keys to lists of values");
    expect_error(HEAD "grid: {a: 1}\n", "s.yaml:3:11: a: found the number 1, expected a list of values");
    expect_error(HEAD "grid: {a: []}\n", "a: found an empty list, expected a list of values");
    expect_error(HEAD "grid: {a: [1]}\nlist: [{a: 2}]\n", "s.yaml: a varies in two places");
    expect_error(HEAD "grid: {seed: [1]}\nseeds: [2]\n", "s.yaml: seed varies in two places");
    expect_error(HEAD "list: [1]\n", "s.yaml:3:8: found the number 1, expected a mapping of keys to values");
    expect_error(HEAD "list: [[1]]\n", "expected a mapping of keys to values");
    expect_error(HEAD "set: {name: x}\n", "s.yaml:3:7: name is for the sweep to set");
    expect_error(HEAD "grid: {output_dir: [x]}\n", "output_dir is for the sweep to set");
    expect_error(HEAD "list: [{compute.threads: 1}]\n", "compute.threads is for the sweep to set");
    expect_error(HEAD "seeds: 3\n", "s.yaml:3:8: found the number 3, expected a list of seeds");
    expect_error(HEAD "random: {keys: {a: [1]}}\n", "random: missing required key \"draws\"");
    expect_error(HEAD "random: {draws: 2}\n", "random: missing required key \"keys\"");
    expect_error(HEAD "random: {draws: 2, keys: {a: 3}}\n", "a: found the number 3, expected {min, max, scale}");
    expect_error(HEAD "random: {draws: 2, keys: {a: {min: 3}}}\n", "missing required key \"max\"");
    expect_error(HEAD "random: {draws: 2, keys: {a: {min: 3, max: 2}}}\n", "a: found min 3 above max 2");
    expect_error(HEAD "random: {draws: 2, keys: {a: {min: 0, max: 2, scale: log}}}\n", "expected a number above 0");
    expect_error(HEAD "random: {draws: 5000, keys: {a: [1]}}\nseeds: [1, 2, 3]\n", "more than 10000 members");
}

static enum bt_err combine_and_forget(void *context)
{
    struct bt_diag diag;
    struct sweep sweep;
    const enum bt_err err = combine(context, &sweep, &diag);
    bt_sweep_file_destroy(sweep.file);
    return err;
}

static void test_memory(void **state)
{
    static char text[] = HEAD "grid: {a: [1, 2]}\nlist: [{b: 3}, {c: 4}]\nseeds: [7, 8]\n"
                              "random: {draws: 2, keys: {r: [p, q], s: {min: 1, max: 2}}}\n";
    (void)state;
    test_every_allocation_fails(combine_and_forget, text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_base_alone),
        cmocka_unit_test(test_grid),
        cmocka_unit_test(test_list),
        cmocka_unit_test(test_all_parts_multiply),
        cmocka_unit_test(test_draws_lie_in_their_ranges),
        cmocka_unit_test(test_more_draws_keep_the_earlier_ones),
        cmocka_unit_test(test_a_range_of_one_value),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
