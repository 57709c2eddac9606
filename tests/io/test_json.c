#include "io_support.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "io/json.h"

static enum bt_err parse(const char *text, json_t **ret_value, struct bt_diag *diag)
{
    return bt_json_parse(text, strlen(text), "here.json", ret_value, diag);
}

static void values_are_parsed(void **state)
{
    (void)state;
    struct bt_diag diag;
    json_t *value = NULL;
    TEST_OK(parse("{\"a\": [1, 2.5, \"x\", true, null]}", &value, &diag), diag);
    const json_t *list = json_object_get(value, "a");
    assert_int_equal(json_integer_value(json_array_get(list, 0)), 1);
    assert_true(json_real_value(json_array_get(list, 1)) == 2.5);
    json_decref(value);
    TEST_OK(parse(" 7 ", &value, &diag), diag);
    assert_int_equal(json_integer_value(value), 7);
    json_decref(value);
}

static void what_is_wrong_is_said_with_its_place(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"", "here.json: line 1, column 0: "},
        {"{\"a\": 1,\n  \"b\" 2}", "line 2, column 7: "},
        {"{\"a\": 1}\n x", "line 2, column 2: "},
        {"{\"a\": 1, \"a\": 2}", "duplicate object key"},
        {"{\"o\": {\"a\": 1, \"a\": 2}}", "duplicate object key"},
        {"\"\xff\"", "unable to decode byte 0xff"},
        {"\"\\ud800\"", "line 1, column "},
        {"[1e999]", "real number overflow"},
        {"[99999999999999999999]", "too big integer"},
        {"[01]", "line 1, column "},
        {"[NaN]", "line 1, column "},
        {"\"a\nb\"", "unexpected newline"},
    };
    for (size_t i = 0; i < BT_ARRAY_LEN(cases); i++) {
        struct bt_diag diag;
        json_t *value = NULL;
        ASSERT_FAILS(BT_EINPUT, cases[i][1], parse(cases[i][0], &value, &diag));
        assert_non_null(strstr(diag.text, "not valid JSON: "));
        assert_null(strchr(diag.text, '\n'));
        assert_null(value);
    }
}

static void a_nul_is_valid_but_not_taken(void **state)
{
    struct bt_diag diag;
    json_t *value = NULL;
    (void)state;
    ASSERT_FAILS(BT_EINPUT, "line 1, column 8: found a \\u0000, expected text without NUL characters",
                 parse("\"\\u0000\"", &value, &diag));
    assert_null(value);
}

/* 10^30 stands in most files named tokenizer_config.json. */
static void integers_of_any_length_where_only_texts_matter(void **state)
{
    static const char text[] = "{\"n\": 1000000000000000019884624838656, \"s\": \"x\"}";
    (void)state;
    struct bt_diag diag;
    json_t *value = NULL;
    TEST_OK(bt_json_parse_at(text, strlen(text), "here.jsonl", 7, &value, &diag), diag);
    assert_string_equal(json_string_value(json_object_get(value, "s")), "x");
    assert_true(json_real_value(json_object_get(value, "n")) == 1e30);
    json_decref(value);
    value = NULL;
    ASSERT_FAILS(BT_EINPUT, "here.jsonl: line 8, ", bt_json_parse_at("[\n1,]", 5, "here.jsonl", 7, &value, &diag));
    assert_null(value);
}

static void the_size_counts_and_not_the_nul(void **state)
{
    (void)state;
    struct bt_diag diag;
    json_t *value = NULL;
    TEST_OK(bt_json_parse("[1] and more", 3, "here", &value, &diag), diag);
    json_decref(value);
    ASSERT_FAILS(BT_EINPUT, "not valid JSON", bt_json_parse("[1]\0", 4, "here", &value, &diag));
}

static void deep_nesting_is_refused(void **state)
{
    (void)state;
    enum { DEPTH = 1000000 };
    struct bt_diag diag;
    json_t *value = NULL;
    char *text = malloc(DEPTH);
    memset(text, '[', DEPTH);
    ASSERT_FAILS(BT_EINPUT, "maximum parsing depth", bt_json_parse(text, DEPTH, "deep", &value, &diag));
    free(text);
}

static void assert_text(json_t *value, const char *want)
{
    char *text = bt_json_text(value, 0);
    assert_string_equal(text, want);
    bt_free(text);
    json_decref(value);
}

static void floats_print_as_short_as_they_can(void **state)
{
    (void)state;
    static const struct {
        float value;
        const char *text;
    } cases[] = {
        {2e-5f, "2e-05"},
        {0.018f, "0.018"},
        {0.1f, "0.1"},
        {1.0f, "1.0"},
        {0.0f, "0.0"},
        {-0.0f, "-0.0"},
        {812.4f, "812.4"},
        {800.0f, "800.0"},
        {1234567.0f, "1234567.0"},
        {16777216.0f, "16777216.0"},
        {1e-4f, "0.0001"},
        {3.21f, "3.21"},
        {-2.5f, "-2.5"},
        {FLT_MAX, "3.4028235e+38"},
        {FLT_MIN, "1.1754944e-38"},
        {1e-45f, "1e-45"},
        {1.0f / 3, "0.33333334"},
        {1e15f, "1000000000000000.0"},
        {1e16f, "1e+16"},
        {INFINITY, "null"},
        {NAN, "null"},
    };
    for (size_t i = 0; i < BT_ARRAY_LEN(cases); i++)
        assert_text(bt_json_float(cases[i].value), cases[i].text);
}

static void doubles_print_as_short_as_they_can(void **state)
{
    (void)state;
    static const struct {
        double value;
        const char *text;
    } cases[] = {
        {0.1, "0.1"},
        {0.1 + 0.2, "0.30000000000000004"},
        {2e-5, "2e-05"},
        {1e22, "1e+22"},
        {5e-324, "5e-324"},
        {DBL_MAX, "1.7976931348623157e+308"},
        {9007199254740993.0, "9007199254740992.0"},
        {-1e-7, "-1e-07"},
        {100.0, "100.0"},
        {INFINITY, "null"},
        {NAN, "null"},
    };
    for (size_t i = 0; i < BT_ARRAY_LEN(cases); i++)
        assert_text(bt_json_real(cases[i].value), cases[i].text);
}

static float float_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static json_t *print_and_parse(json_t *value)
{
    struct bt_diag diag;
    json_t *back = NULL;
    char *text = bt_json_text(value, 0);
    TEST_OK(parse(text, &back, &diag), diag);
    assert_true(json_is_real(back));
    bt_free(text);
    json_decref(value);
    return back;
}

/* And as float32 the text has at most 9 digits, which is what "short" means for them. */
static void all_kinds_of_numbers_read_back(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 20000; i++) {
        const uint64_t bits = bt_rng_u64(3, i);
        const float single = float_of((uint32_t)bits);
        double wide;
        memcpy(&wide, &bits, sizeof wide);
        if (isfinite(single)) {
            json_t *back = print_and_parse(bt_json_float(single));
            assert_true((float)json_real_value(back) == single);
            json_decref(back);
        }
        if (isfinite(wide)) {
            json_t *back = print_and_parse(bt_json_real(wide));
            assert_true(json_real_value(back) == wide);
            json_decref(back);
        }
    }
}

static void strings_are_escaped(void **state)
{
    (void)state;
    assert_text(json_string("a\"b\\c/\n\t\r\b\f\x01\x1f\x7f\xc3\xa4\xf0\x9f\x98\x80"),
                "\"a\\\"b\\\\c/\\n\\t\\r\\b\\f\\u0001\\u001f\x7f\xc3\xa4\xf0\x9f\x98\x80\"");
    assert_text(json_string(""), "\"\"");
    assert_text(json_pack("{s:s}", "k\"", ""), "{\"k\\\"\":\"\"}");
}

static void structures_print_compact_or_indented(void **state)
{
    (void)state;
    json_t *value = json_pack("{s:i, s:[i,{}], s:[], s:{s:n, s:b, s:b}, s:I}", "z", 1, "a", -2, "e", "o", "n", "t", 1,
                              "f", 0, "big", (json_int_t)INT64_MIN);
    char *indented = bt_json_text(value, JSON_INDENT(2));
    assert_string_equal(indented, "{\n  \"z\": 1,\n  \"a\": [\n    -2,\n    {}\n  ],\n  \"e\": [],\n  \"o\": {\n"
                                  "    \"n\": null,\n    \"t\": true,\n    \"f\": false\n  },\n"
                                  "  \"big\": -9223372036854775808\n}");
    bt_free(indented);
    assert_text(value, "{\"z\":1,\"a\":[-2,{}],\"e\":[],\"o\":{\"n\":null,\"t\":true,\"f\":false},"
                       "\"big\":-9223372036854775808}");
}

static void files_are_written_and_read(void **state)
{
    struct bt_diag diag;
    json_t *value = json_pack("{s:f}", "lr", 2e-5), *back = NULL;
    const char *path = in_dir(state, "a.json");
    TEST_OK(bt_json_replace(path, value, &diag), diag);
    assert_file_holds(path, "{\n  \"lr\": 2e-05\n}\n", 18);
    TEST_OK(bt_json_read(path, &back, &diag), diag);
    assert_true(json_equal(back, value));
    json_decref(back);
    TEST_OK(bt_json_write(in_dir(state, "b.json"), value, &diag), diag);
    assert_file_holds(in_dir(state, "b.json"), "{\n  \"lr\": 2e-05\n}\n", 18);
    json_decref(value);
    test_write_file(path, "{\"a\"", 4);
    ASSERT_FAILS(BT_EINPUT, "a.json: line 1, column 4: ", bt_json_read(path, &back, &diag));
    ASSERT_FAILS(BT_EINPUT, "c.json: cannot open", bt_json_read(in_dir(state, "c.json"), &back, &diag));
}

static enum bt_err write_to_disk(void *context, struct bt_diag *diag)
{
    void **state = context;
    json_t *value = json_pack("[i]", 1);
    enum bt_err err = bt_json_replace(in_dir(state, "a.json"), value, diag);
    if (!err)
        err = bt_json_write(in_dir(state, "a.json"), value, diag);
    json_decref(value);
    return err;
}

static void a_failing_disk_is_reported(void **state)
{
    const struct disk_faults faults = {write_to_disk, NULL, state, *state};
    assert_true(test_every_disk_operation_fails(&faults, ENOSPC) > 0);
}

/* Long strings, numbers and keys, so that every growing buffer grows. */
static enum bt_err write_and_read(void *context)
{
    void **state = context;
    struct bt_diag diag;
    json_t *value = NULL, *back = NULL;
    char text[512] = "{\"";
    memset(text + 2, 'k', 200);
    strcat(text, "\":[1,2.5,3e-300,12345678901234,[],{\"a\":\"\\u00e4\\ud83d\\ude00");
    memset(text + strlen(text), 'v', 150);
    strcat(text, "\",\"b\":{},\"c\":1,\"d\":2,\"e\":3,\"f\":4,\"g\":5,\"h\":6,\"i\":7,\"j\":8,\"k\":9}]}");
    enum bt_err err = parse(text, &value, &diag);
    if (!err)
        err = bt_json_replace(in_dir(state, "a.json"), value, &diag);
    if (!err)
        err = bt_json_write(in_dir(state, "b.json"), value, &diag);
    if (!err)
        err = bt_json_read(in_dir(state, "a.json"), &back, &diag);
    if (!err)
        assert_true(json_equal(back, value));
    json_decref(back);
    json_decref(value);
    return err;
}

/* In jansson a failed allocation may look like bad syntax; it must still be told as what it is. */
static void every_allocation_may_fail(void **state)
{
    test_every_allocation_fails(write_and_read, state);
}

static void values_are_counted_as_ours(void **state)
{
    (void)state;
    const long live = bt_alloc_live();
    json_t *value = json_pack("[s]", "x");
    assert_true(bt_alloc_live() > live);
    json_decref(value);
    assert_int_equal(bt_alloc_live(), live);
    bt_alloc_fail_at(0);
    assert_null(bt_json_real(1));
    bt_alloc_fail_at(-1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_parsed),
        cmocka_unit_test(what_is_wrong_is_said_with_its_place),
        cmocka_unit_test(a_nul_is_valid_but_not_taken),
        cmocka_unit_test(integers_of_any_length_where_only_texts_matter),
        cmocka_unit_test(the_size_counts_and_not_the_nul),
        cmocka_unit_test(deep_nesting_is_refused),
        cmocka_unit_test(floats_print_as_short_as_they_can),
        cmocka_unit_test(doubles_print_as_short_as_they_can),
        cmocka_unit_test(all_kinds_of_numbers_read_back),
        cmocka_unit_test(strings_are_escaped),
        cmocka_unit_test(structures_print_compact_or_indented),
        IN_DIR(files_are_written_and_read),
        IN_DIR(a_failing_disk_is_reported),
        IN_DIR(every_allocation_may_fail),
        cmocka_unit_test(values_are_counted_as_ours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
