/* The small parts below the config: scalars, ${NAME}, "did you mean", the checks that stages call themselves. */
#include "support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "config/check.h"
#include "config/expand_env.h"
#include "config/nearest.h"
#include "config/yaml_scalar.h"

static void plain_text_has_a_type(void **state)
{
    static const struct {
        const char *text;
        enum bt_scalar_type type;
    } cases[] = {
        {"", BT_SCALAR_NULL},        {"~", BT_SCALAR_NULL},       {"null", BT_SCALAR_NULL},
        {"true", BT_SCALAR_BOOL},    {"false", BT_SCALAR_BOOL},   {"True", BT_SCALAR_STRING},
        {"yes", BT_SCALAR_STRING},   {"0", BT_SCALAR_INTEGER},    {"-12", BT_SCALAR_INTEGER},
        {"+3", BT_SCALAR_INTEGER},   {"007", BT_SCALAR_STRING},   {"0x10", BT_SCALAR_STRING},
        {"1_000", BT_SCALAR_STRING}, {"1e-4", BT_SCALAR_REAL},    {"1.0e-4", BT_SCALAR_REAL},
        {"1E+4", BT_SCALAR_REAL},    {".5", BT_SCALAR_REAL},      {"5.", BT_SCALAR_REAL},
        {"-.5e3", BT_SCALAR_REAL},   {".", BT_SCALAR_STRING},     {"-", BT_SCALAR_STRING},
        {"e5", BT_SCALAR_STRING},    {"1e", BT_SCALAR_STRING},    {"1e+", BT_SCALAR_STRING},
        {".e1", BT_SCALAR_STRING},   {"1.2.3", BT_SCALAR_STRING}, {"1 2", BT_SCALAR_STRING},
        {".inf", BT_SCALAR_STRING},  {"nan", BT_SCALAR_STRING},   {"inf", BT_SCALAR_STRING},
        {"01.5", BT_SCALAR_STRING},  {"0.5", BT_SCALAR_REAL},     {"12:30", BT_SCALAR_STRING},
    };
    (void)state;
    for (size_t i = 0; i < BT_ARRAY_LEN(cases); i++) {
        struct bt_yaml_node node = {.kind = BT_YAML_SCALAR, .text = cases[i].text, .plain = true};
        if (bt_scalar_type(&node) != cases[i].type)
            fail_msg("\"%s\" has type %d", cases[i].text, (int)bt_scalar_type(&node));
        node.plain = false;
        assert_int_equal(bt_scalar_type(&node), BT_SCALAR_STRING);
    }
}

static void reals_print_short_and_with_a_point(void **state)
{
    static const struct {
        double value;
        const char *text;
    } cases[] = {
        {0.0, "0.0"},        {1.0, "1.0"},      {0.1, "0.1"},           {1e-8, "1.0e-08"},
        {1.5e-8, "1.5e-08"}, {1e22, "1.0e+22"}, {123456.0, "123456.0"}, {0.1 + 0.2, "0.30000000000000004"},
        {-2.5, "-2.5"},
    };
    (void)state;
    for (size_t i = 0; i < BT_ARRAY_LEN(cases); i++) {
        struct bt_text_buf out = {0};
        bt_yaml_write_real(&out, cases[i].value);
        char *text = bt_text_take(&out);
        assert_string_equal(text, cases[i].text);
        const struct bt_yaml_node node = {.kind = BT_YAML_SCALAR, .text = text, .plain = true};
        assert_int_equal(bt_scalar_type(&node), BT_SCALAR_REAL);
        bt_free(text);
    }
}

/* Strings of every kind of character, through the writer and libyaml. */
static void strings_survive_writing_and_reading(void **state)
{
    static const char *const strings[] = {
        "plain",
        "with space",
        " lead",
        "trail ",
        "a: b",
        "a #b",
        "#a",
        "- a",
        "-a",
        "?",
        "[a]",
        "{a}",
        "a,b",
        "&a",
        "*a",
        "!a",
        "|",
        ">",
        "'",
        "\"",
        "%a",
        "@a",
        "`a",
        "true",
        "Yes",
        "NULL",
        "~",
        "1",
        "1e5",
        ".5",
        ".nan",
        "-.inf",
        "\n",
        "a\nb\n",
        "\t",
        "\x01",
        "\x7f",
        "\\",
        "\xc2\x85",
        "\xc2\xa0",
        "\xc3\xa9",
        "\xe2\x80\xa8",
        "\xef\xbb\xbf",
        "\xf0\x9f\x98\x80",
        "\xed\x9f\xbf",
        "\xef\xbf\xbd",
        "<<",
        "=",
        "a\rb",
        "data/x_1-2.bin",
        "/abs/..",
        "..",
        "...",
        "---",
    };
    (void)state;
    for (size_t i = 0; i < BT_ARRAY_LEN(strings); i++) {
        struct bt_text_buf out = {0};
        struct bt_yaml yaml = {0};
        struct bt_yaml_node *root;
        struct bt_diag diag = {""};
        bt_text_add(&out, "k: ");
        bt_yaml_write_string(&out, strings[i]);
        bt_text_add(&out, "\nf: [");
        bt_yaml_write_string(&out, strings[i]);
        bt_text_add(&out, "]\n");
        char *text = bt_text_take(&out);
        TEST_OK(bt_yaml_parse(&yaml, text, strlen(text), "x", true, &root, &diag), diag);
        const struct bt_yaml_node *nodes[] = {root->first, root->last->first};
        for (size_t n = 0; n < 2; n++) {
            assert_string_equal(nodes[n]->text, strings[i]);
            assert_int_equal(bt_scalar_type(nodes[n]), BT_SCALAR_STRING);
        }
        bt_yaml_finish(&yaml);
        bt_free(text);
    }
}

static void trees_are_written_in_one_line(void **state)
{
    static const char text[] = "a: [1e-3, \"1\", ~, 'x: y', []]\n"
                               "b:\n  c: {d: true}\n  \"e f\": plain\n"
                               "g: {}\n";
    struct bt_yaml yaml = {0};
    struct bt_yaml_node *root;
    struct bt_diag diag = {""};
    struct bt_text_buf out = {0};
    (void)state;
    TEST_OK(bt_yaml_parse(&yaml, text, strlen(text), "x", true, &root, &diag), diag);
    bt_yaml_write_node(&out, root);
    char *written = bt_text_take(&out);
    assert_string_equal(written, "{a: [1e-3, \"1\", null, \"x: y\", []], b: {c: {d: true}, \"e f\": plain}, g: {}}");
    bt_free(written);
    bt_yaml_finish(&yaml);
}

static void merge_keys_fill_in_what_is_missing(void **state)
{
    static const char text[] =
        "a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\nc: {y: 3, <<: [*a, *b]}\nd: {<<: *a, \"<<\": q}\n";
    struct bt_yaml yaml = {0};
    struct bt_yaml_node *root;
    struct bt_diag diag = {""};
    (void)state;
    assert_int_equal(bt_yaml_parse(&yaml, text, strlen(text), "x", true, &root, &diag), BT_EUSAGE); /* << twice */
    TEST_OK(bt_yaml_parse(&yaml, text, (size_t)(strstr(text, "d:") - text), "x", true, &root, &diag), diag);
    const struct bt_yaml_node *c = bt_yaml_find(root, "c");
    assert_int_equal(c->count, 3);
    assert_string_equal(bt_yaml_find(c, "x")->text, "1");
    assert_string_equal(bt_yaml_find(c, "y")->text, "3");
    assert_string_equal(bt_yaml_find(c, "z")->text, "2");
    assert_null(bt_yaml_find(c, "<<"));
    assert_int_equal(bt_yaml_find(root, "a")->count, 2); /* the base itself is as it was */
    assert_string_equal(bt_yaml_place(bt_yaml_find(c, "z")).text, "x:2:17");
    bt_yaml_finish(&yaml);
}

static void variables_are_expanded(void **state)
{
    static const struct {
        const char *text, *want; /* NULL: refused */
    } cases[] = {
        {"", ""},
        {"a", "a"},
        {"${BT_TEST_X}", "x y"},
        {"a${BT_TEST_X}b${BT_TEST_EMPTY}c", "ax ybc"},
        {"$BT_TEST_X", "$BT_TEST_X"},
        {"$", "$"},
        {"$$", "$$"},
        {"$${BT_TEST_X}", "${BT_TEST_X}"},
        {"$$${BT_TEST_X}", "$${BT_TEST_X}"},
        {"${}", NULL},
        {"${", NULL},
        {"${BT_TEST_X", NULL},
        {"${BT_TEST_X y}", NULL},
        {"${9}", NULL},
        {"${BT_TEST_UNSET}", NULL},
    };
    (void)state;
    setenv("BT_TEST_X", "x y", 1);
    setenv("BT_TEST_EMPTY", "", 1);
    unsetenv("BT_TEST_UNSET");
    for (size_t i = 0; i < BT_ARRAY_LEN(cases); i++) {
        char *text = NULL;
        struct bt_diag diag = {""};
        const enum bt_err err = bt_expand_env(cases[i].text, &text, &diag);
        assert_int_equal(err, cases[i].want ? BT_OK : BT_EUSAGE);
        if (cases[i].want)
            assert_string_equal(text, cases[i].want);
        bt_free(text);
    }
}

static void nearest_names_are_found(void **state)
{
    (void)state;
    assert_int_equal(bt_edit_distance("", ""), 0);
    assert_int_equal(bt_edit_distance("abc", ""), 3);
    assert_int_equal(bt_edit_distance("", "abc"), 3);
    assert_int_equal(bt_edit_distance("kitten", "sitting"), 3);
    assert_int_equal(bt_edit_distance("lr", "rl"), 1);
    assert_int_equal(bt_edit_distance("warmup_steps", "wramup_step"), 2);
    assert_true(bt_is_near("optimzer", "optimizer"));
    assert_false(bt_is_near("zebra", "seed"));
    char *endless = malloc(10001);
    memset(endless, 'a', 10000);
    endless[10000] = 0;
    assert_false(bt_is_near(endless, "name"));
    free(endless);
}

static void schedules_are_checked(void **state)
{
    static const struct {
        enum bt_cfg_scheduler type;
        int64_t warmup, updates;
        double decay_ratio;
        bool fine;
    } cases[] = {
        {BT_SCHEDULE_CONSTANT, 0, 1, 0.0, true},    {BT_SCHEDULE_CONSTANT, 9, 10, 0.0, true},
        {BT_SCHEDULE_CONSTANT, 10, 10, 0.0, false}, {BT_SCHEDULE_LINEAR, 9, 10, 0.0, true},
        {BT_SCHEDULE_LINEAR, 10, 10, 0.0, false},   {BT_SCHEDULE_COSINE, 11, 10, 0.0, false},
        {BT_SCHEDULE_WSD, 8, 10, 0.2, true},        {BT_SCHEDULE_WSD, 9, 10, 0.2, false},
        {BT_SCHEDULE_WSD, 0, 10, 0.0, false},       {BT_SCHEDULE_WSD, 0, 10, 0.05, false}, /* rounds to even: 0 */
        {BT_SCHEDULE_WSD, 0, 10, 0.051, true},      {BT_SCHEDULE_WSD, 0, 10, 1.0, true},
        {BT_SCHEDULE_WSD, 1, 10, 1.0, false},
    };
    (void)state;
    for (size_t i = 0; i < BT_ARRAY_LEN(cases); i++) {
        const struct bt_cfg_scheduler_keys keys = {
            .type = cases[i].type, .warmup_steps = cases[i].warmup, .decay_ratio = cases[i].decay_ratio};
        struct bt_diag diag = {""};
        const enum bt_err err = bt_check_schedule(&keys, cases[i].updates, "stage2", &diag);
        assert_int_equal(err, cases[i].fine ? BT_OK : BT_EUSAGE);
        assert_int_equal(!strncmp(diag.text, "stage2.scheduler.", 17), !cases[i].fine);
    }
    const struct bt_cfg_scheduler_keys half = {.decay_ratio = 0.5};
    assert_int_equal(bt_schedule_decay_updates(&half, 5), 2); /* 2.5 */
    assert_int_equal(bt_schedule_decay_updates(&half, 7), 4); /* 3.5 */
}

static void lambda_warmups_are_checked(void **state)
{
    struct bt_cfg_lambda_warmup warmup = {.enabled = true, .warmup_steps = 9, .max = 1.0};
    (void)state;
    assert_int_equal(bt_check_lambda_warmup(&warmup, 10, "stage2", NULL), BT_OK);
    assert_int_equal(bt_check_lambda_warmup(&warmup, 9, "stage2", NULL), BT_EUSAGE);
    warmup.enabled = false;
    assert_int_equal(bt_check_lambda_warmup(&warmup, 9, "stage2", NULL), BT_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_text_has_a_type),
        cmocka_unit_test(reals_print_short_and_with_a_point),
        cmocka_unit_test(strings_survive_writing_and_reading),
        cmocka_unit_test(trees_are_written_in_one_line),
        cmocka_unit_test(merge_keys_fill_in_what_is_missing),
        cmocka_unit_test(variables_are_expanded),
        cmocka_unit_test(nearest_names_are_found),
        cmocka_unit_test(schedules_are_checked),
        cmocka_unit_test(lambda_warmups_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
