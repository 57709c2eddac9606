/* text/split: every document goes to exactly one part, the same one each time, in order and as it stands. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "text/split.h"

static char *folder, *prefix, *jsonl, *plain;

static int make_world(void **state)
{
    char text[40000];
    size_t used = 0;
    (void)state;
    folder = test_make_dir();
    prefix = strdup(test_format("%s/out/a", folder));
    jsonl = strdup(test_format("%s/a.jsonl", folder));
    plain = strdup(test_format("%s/a.txt", folder));
    for (int i = 0; i < 1000; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "{\"id\": %d,  \"text\":\"x\"}\n", i);
    test_write_file(jsonl, text, used);
    used = 0;
    for (int i = 0; i < 1000; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%d\nline\n--\n", i);
    test_write_file(plain, text, used);
    return 0;
}

static int finish_world(void **state)
{
    (void)state;
    test_remove_dir(folder);
    free(prefix);
    free(jsonl);
    free(plain);
    return 0;
}

static enum bt_err split(const char *path, double share, uint64_t count, uint64_t seed, struct bt_split_report *report,
                         struct bt_diag *diag)
{
    const char *const inputs[] = {path};
    const struct bt_split_options options = {.inputs = inputs,
                                             .input_count = 1,
                                             .key = "text",
                                             .separator = "--",
                                             .prefix = prefix,
                                             .seed = seed,
                                             .share = share,
                                             .count = count};
    return bt_split_documents(&options, report, diag);
}

static char *read_part(const char *name)
{
    return (char *)test_read_file(test_format("%s-%s", prefix, name), NULL);
}

/* Puts the two parts together again by the numbers in their documents. */
static void expect_whole(const char *whole_path, const char *extension, const char *begin)
{
    char *whole = (char *)test_read_file(whole_path, NULL);
    char *parts[] = {read_part(test_format("train.%s", extension)), read_part(test_format("validation.%s", extension))};
    char *at[] = {parts[0], parts[1]};
    size_t used = 0;
    for (int i = 0; i < 1000; i++) {
        const char *want = test_format("%s%d%s", begin, i, extension[0] == 't' ? "\n" : ",");
        const int part = strncmp(at[0], want, strlen(want)) ? 1 : 0;
        assert_int_equal(strncmp(at[part], want, strlen(want)), 0);
        const char *next = extension[0] == 't' ? strstr(at[part], "--\n") + 3 : strchr(at[part], '\n') + 1;
        const size_t size = (size_t)(next - at[part]);
        assert_memory_equal(at[part], whole + used, size);
        used += size;
        at[part] += size;
    }
    assert_int_equal(strlen(whole), used);
    assert_true(!*at[0] && !*at[1]);
    free(whole);
    free(parts[0]);
    free(parts[1]);
}

static void test_share(void **state)
{
    struct bt_split_report report;
    struct bt_diag diag = {""};
    (void)state;
    TEST_OK(split(jsonl, 0.1, 0, 42, &report, &diag), diag);
    assert_int_equal(report.train + report.validation, 1000);
    assert_in_range(report.validation, 60, 140); /* 4 deviations of a binomial of 1000 draws */
    expect_whole(jsonl, "jsonl", "{\"id\": ");
    TEST_OK(split(plain, 0.5, 0, 42, &report, &diag), diag);
    expect_whole(plain, "txt", "");
}

static void test_count_is_exact(void **state)
{
    static const uint64_t counts[] = {1, 2, 63, 64, 65, 500, 999};
    struct bt_split_report report;
    struct bt_diag diag = {""};
    (void)state;
    for (size_t i = 0; i < BT_ARRAY_LEN(counts); i++) {
        TEST_OK(split(jsonl, 0.0, counts[i], 7, &report, &diag), diag);
        assert_int_equal(report.validation, counts[i]);
        assert_int_equal(report.train, 1000 - counts[i]);
        expect_whole(jsonl, "jsonl", "{\"id\": ");
    }
    assert_int_equal(split(jsonl, 0.0, 1000, 7, &report, &diag), BT_EINPUT);
    assert_non_null(strstr(diag.text, "the inputs hold 1000 documents: holding out 1000 of them leaves none"));
}

static void test_the_seed_decides(void **state)
{
    struct bt_split_report report;
    struct bt_diag diag = {""};
    char *kept[3];
    (void)state;
    for (int i = 0; i < 3; i++) {
        TEST_OK(split(jsonl, 0.0, 50, i == 2 ? 8 : 7, &report, &diag), diag);
        kept[i] = read_part("validation.jsonl");
    }
    assert_string_equal(kept[0], kept[1]);
    assert_string_not_equal(kept[0], kept[2]);
    for (int i = 0; i < 3; i++)
        free(kept[i]);
}

static void test_errors(void **state)
{
    struct bt_split_report report;
    struct bt_diag diag = {""};
    const char *both[] = {jsonl, plain};
    struct bt_split_options options = {
        .inputs = both, .input_count = 2, .key = "text", .separator = "--", .prefix = prefix, .share = 0.5};
    (void)state;
    assert_int_equal(bt_split_documents(&options, &report, &diag), BT_EINPUT);
    assert_non_null(strstr(diag.text, "one is .txt and the other .jsonl"));
    options.inputs = both + 1;
    options.input_count = 1;
    options.separator = NULL;
    assert_int_equal(bt_split_documents(&options, &report, &diag), BT_EUSAGE);
    assert_non_null(strstr(diag.text, "--separator LINE is missing"));
    assert_int_equal(split(jsonl, 1e-9, 0, 1, &report, &diag), BT_EINPUT);
    assert_non_null(strstr(diag.text, "-validation would hold no document"));
    assert_false(bt_file_exists(test_format("%s-train.jsonl", prefix)));
    assert_false(bt_file_exists(test_format("%s-train.jsonl.tmp", prefix)));
    options.key = "id"; /* not a string */
    options.inputs = both;
    assert_int_equal(bt_split_documents(&options, &report, &diag), BT_EINPUT);
    assert_non_null(strstr(diag.text, "a.jsonl: line 1: the value of \"id\" is not a string"));
}

static void test_skips_and_counts(void **state)
{
    const char *path = test_format("%s/bad.jsonl", folder);
    const char *const inputs[] = {path};
    struct bt_split_report report;
    struct bt_diag diag = {""};
    const struct bt_split_options options = {
        .inputs = inputs, .input_count = 1, .key = "text", .prefix = prefix, .count = 1, .skip = true};
    (void)state;
    test_write_file(path, "{\"text\":\"a\"}\nbroken\n{\"text\":\"b\"}\n", 33);
    TEST_OK(bt_split_documents(&options, &report, &diag), diag);
    assert_int_equal(report.skipped, 1);
    assert_int_equal(report.train, 1);
    assert_int_equal(report.validation, 1);
    assert_non_null(strstr(report.first_skipped, "bad.jsonl: line 2"));
}

static enum bt_err split_small(void *path)
{
    struct bt_split_report report;
    return split(path, 0.0, 2, 1, &report, NULL);
}

static void test_every_allocation(void **state)
{
    char *path = strdup(test_format("%s/small.jsonl", folder));
    (void)state;
    test_write_file(path, "{\"text\":\"a\"}\n{\"text\":\"b\"}\n{\"text\":\"c\"}\n", 39);
    test_every_allocation_fails(split_small, path);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_share, make_world, finish_world),
        cmocka_unit_test_setup_teardown(test_count_is_exact, make_world, finish_world),
        cmocka_unit_test_setup_teardown(test_the_seed_decides, make_world, finish_world),
        cmocka_unit_test_setup_teardown(test_errors, make_world, finish_world),
        cmocka_unit_test_setup_teardown(test_skips_and_counts, make_world, finish_world),
        cmocka_unit_test_setup_teardown(test_every_allocation, make_world, finish_world),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
