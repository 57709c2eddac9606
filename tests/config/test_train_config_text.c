/* The YAML config as a text: what is printed, ${NAME} in it, what a resume compares, files, and whatever else they
 * hold.
 */
#include "support.h"

#include <glob.h>
#include <stdlib.h>
#include <string.h>

#include "train_config_texts.h"

/* parse(print(c)) prints the same text. */
static void check_round_trip(const char *text, const char *const *sets, size_t set_count)
{
    struct bt_train_config *first = parse(text, sets, set_count);
    char *once = bt_train_config_print(first);
    struct bt_train_config *second = parse(once, NULL, 0);
    char *twice = bt_train_config_print(second);
    char *key, *old_value, *new_value;
    struct bt_diag diag = {""};
    assert_string_equal(once, twice);
    TEST_OK(bt_train_config_difference(first, twice, "old", &key, &old_value, &new_value, &diag), diag);
    assert_null(key);
    bt_free(once);
    bt_free(twice);
    bt_train_config_destroy(first);
    bt_train_config_destroy(second);
}

static void what_is_printed_reads_back(void **state)
{
    static const char *const sets[] = {
        "name=\"yes\"",
        "name=\"1e5\"",
        "name=\"null\"",
        "name=\"- x: {[&*\"",
        "name=\"a\\nb\\t\\x07\\u2028\\u00e9\"",
        "name='it''s \"it\"'",
        "name=\"\\U0001F600 \\uFEFF \\x85 \\\\\"",
        "name=.5x",
        "name=\"...\"",
        "name=-a",
        "name='#'",
        "name=\" lead\"",
        "name=\"010\"",
        "name=\"$${X}\"",
        "stage2.optimizer.lr=0.1234567890123456789",
        "stage2.optimizer.lr=5e-324",
        "stage2.optimizer.lr=1e29",
        "stage2.optimizer.lr=3",
        "stage2.optimizer.eps=1.5e-30",
        "seed=18446744073709551615",
        "stage1.exclude_layers=[a, 'b c', \"d\\\"\"]",
        "stage0={total_tokens: 5}",
        "stage2.data={shuffle: false}",
        "data.validation=[{path: v, weight: 0.1}, {path: w}]",
        "stage2.scheduler.type=constant",
    };
    (void)state;
    setenv("TEST_RUNS", "/tmp/runs", 1);
    setenv("TEST_DATA", "/tmp/data", 1);
    check_round_trip(minimal, NULL, 0);
    check_round_trip(full, NULL, 0);
    for (size_t i = 0; i < BT_ARRAY_LEN(sets); i++)
        check_round_trip(minimal, &sets[i], 1);
}

static void variables_are_expanded_but_printed_as_typed(void **state)
{
    const char *set = "output_dir=${TEST_A}/x-${TEST_B}$${TEST_A}$";
    (void)state;
    setenv("TEST_A", "/home/someone", 1);
    setenv("TEST_B", "", 1);
    struct bt_train_config *c = parse(minimal, &set, 1);
    assert_string_equal(c->output_dir, "/home/someone/x-${TEST_A}$");
    char *text = bt_train_config_print(c);
    assert_non_null(strstr(text, "output_dir: \"${TEST_A}/x-${TEST_B}$${TEST_A}$\"\n"));
    assert_null(strstr(text, "/home/someone"));
    bt_free(text);
    bt_train_config_destroy(c);
}

static void check_difference(const char *set, const char *want_key, const char *want_old, const char *want_new)
{
    struct bt_diag diag = {""};
    struct bt_train_config *old = parse(minimal, NULL, 0), *new = parse(minimal, &set, 1);
    char *key = NULL, *old_value = NULL, *new_value = NULL, *text = bt_train_config_print(old);
    TEST_OK(bt_train_config_difference(new, text, "config.yaml", &key, &old_value, &new_value, &diag), diag);
    if (want_key) {
        assert_non_null(key);
        assert_string_equal(key, want_key);
        assert_string_equal(old_value, want_old);
        assert_string_equal(new_value, want_new);
    } else {
        assert_null(key);
        assert_null(old_value);
        assert_null(new_value);
    }
    bt_free(key);
    bt_free(old_value);
    bt_free(new_value);
    bt_free(text);
    bt_train_config_destroy(old);
    bt_train_config_destroy(new);
}

static void a_resume_may_change_some_keys_only(void **state)
{
    (void)state;
    check_difference("compute.threads=9", NULL, NULL, NULL);
    check_difference("logging.log_interval=1", NULL, NULL, NULL);
    check_difference("checkpoint={save_interval: 1, keep_best: true}", NULL, NULL, NULL);
    check_difference("seed=42", NULL, NULL, NULL);
    check_difference("seed=43", "seed", "42", "43");
    check_difference("compute.kernels=avx2", "compute.kernels", "auto", "avx2");
    check_difference("stage2.optimizer.lr=0.5", "stage2.optimizer.lr", "0.0001", "0.5");
    check_difference("stage2.optimizer.betas=[0.9, 0.99]", "stage2.optimizer.betas", "[0.9, 0.95]", "[0.9, 0.99]");
    check_difference(
        "data.train.0.weight=2", "data.train",
        "[{path: data/train.bin, weight: 1.0, format: llmc, key: null, separator: null, chat_format: null}]",
        "[{path: data/train.bin, weight: 2.0, format: llmc, key: null, separator: null, chat_format: null}]");
    check_difference("data.separators.after=3", "data.separators.after", "null", "3");
    check_difference("stages=[stage2]", "stages", "[stage1, stage2]", "[stage2]");
    check_difference("stage1.exclude_layers=[x]", "stage1.exclude_layers", "[]", "[x]");
    check_difference(
        "stage2.data={packing: false}", "stage2.data", "null",
        "{train: [{path: data/train.bin, weight: 1.0, format: llmc, key: null, separator: null, chat_format: null}], "
        "validation: [], max_seq_length: 512, "
        "packing: false, separators: {before: null, after: null}, shuffle: true}");
}

static void a_difference_needs_no_environment(void **state)
{
    char *key = NULL, *old_value = NULL, *new_value = NULL;
    struct bt_diag diag = {""};
    (void)state;
    unsetenv("NOT_SET_ANYWHERE");
    struct bt_train_config *c = parse(minimal, NULL, 0);
    const char *old = test_format("%soutput_dir: ${NOT_SET_ANYWHERE}\n", minimal);
    TEST_OK(bt_train_config_difference(c, old, "old", &key, &old_value, &new_value, &diag), diag);
    assert_string_equal(key, "output_dir");
    assert_string_equal(old_value, "\"${NOT_SET_ANYWHERE}\"");
    bt_free(key);
    bt_free(old_value);
    bt_free(new_value);
    assert_int_equal(bt_train_config_difference(c, "[", "old", &key, &old_value, &new_value, &diag), BT_EUSAGE);
    assert_int_equal(bt_train_config_difference(c, "", "old", &key, &old_value, &new_value, NULL), BT_EUSAGE);
    bt_train_config_destroy(c);
}

static void files_are_read(void **state)
{
    struct bt_train_config *c = NULL;
    struct bt_diag diag = {""};
    (void)state;
    char *dir = test_make_dir();
    const char *path = test_format("%s/run.yaml", dir);
    test_write_file(path, minimal, strlen(minimal));
    TEST_OK(bt_train_config_read(path, NULL, 0, &c, &diag), diag);
    bt_train_config_destroy(c);
    assert_int_equal(bt_train_config_read(test_format("%s/none.yaml", dir), NULL, 0, &c, &diag), BT_EUSAGE);
    assert_non_null(strstr(diag.text, "none.yaml"));
    test_remove_dir(dir);
}

/* The examples that come with the project. */
static void examples_are_valid(void **state)
{
    glob_t found;
    struct bt_diag diag = {""};
    (void)state;
    assert_int_equal(glob(BT_SOURCE_DIR "/configs/*.yaml", 0, NULL, &found), 0);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        struct bt_train_config *c = NULL;
        TEST_OK(bt_train_config_read(found.gl_pathv[i], NULL, 0, &c, &diag), diag);
        bt_train_config_destroy(c);
    }
    globfree(&found);
}

static void try_bytes(const char *text, size_t size)
{
    struct bt_train_config *c = NULL;
    struct bt_diag diag = {""};
    char *copy = malloc(size ? size : 1); /* exactly as long: reading past it is seen */
    memcpy(copy, text, size);
    const enum bt_err err = bt_train_config_parse(copy, size, "x", NULL, 0, &c, &diag);
    if (err != BT_OK) {
        assert_int_equal(err, BT_EUSAGE);
        assert_true(*diag.text);
        assert_null(strchr(diag.text, '\n'));
        assert_null(c);
    } else {
        char *printed = bt_train_config_print(c);
        check_round_trip(printed, NULL, 0);
        bt_free(printed);
    }
    bt_train_config_destroy(c);
    free(copy);
}

static void every_beginning_is_harmless(void **state)
{
    (void)state;
    for (size_t n = 0; n < strlen(full); n++)
        try_bytes(full, n);
}

static void corruptions_are_harmless(void **state)
{
    static const char spice[] = "{}[]:,&*!|>'\"%@`#-?<~ \n\t0e.$\\";
    char text[sizeof full];
    uint32_t random = 12345;
    (void)state;
    setenv("TEST_RUNS", "/tmp/runs", 1);
    setenv("TEST_DATA", "/tmp/data", 1);
    for (int round = 0; round < 3000; round++) {
        memcpy(text, full, sizeof full);
        test_corrupt(text, sizeof full - 1, 1 + round % 4, round % 3 ? spice : NULL, &random);
        try_bytes(text, sizeof full - 1);
    }
    assert_int_equal(bt_alloc_live(), 0);
}

static enum bt_err parse_print_and_compare(void *context)
{
    static const char *const set = "stage2.optimizer.lr=3e-4";
    struct bt_train_config *c = NULL;
    char *key = NULL, *old_value = NULL, *new_value = NULL;
    (void)context;
    enum bt_err err = bt_train_config_parse(full, strlen(full), "x", &set, 1, &c, NULL);
    if (err)
        return err;
    char *text = bt_train_config_print(c);
    if (!text)
        err = BT_ENOMEM;
    else
        err = bt_train_config_difference(c, minimal, "old", &key, &old_value, &new_value, NULL);
    bt_free(key);
    bt_free(old_value);
    bt_free(new_value);
    bt_free(text);
    bt_train_config_destroy(c);
    return err;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    setenv("TEST_RUNS", "/tmp/runs", 1);
    setenv("TEST_DATA", "/tmp/data", 1);
    test_every_allocation_fails(parse_print_and_compare, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_printed_reads_back),
        cmocka_unit_test(variables_are_expanded_but_printed_as_typed),
        cmocka_unit_test(a_resume_may_change_some_keys_only),
        cmocka_unit_test(a_difference_needs_no_environment),
        cmocka_unit_test(files_are_read),
        cmocka_unit_test(examples_are_valid),
        cmocka_unit_test(every_beginning_is_harmless),
        cmocka_unit_test(corruptions_are_harmless),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
