/* Every benchmark at its smallest size: it runs, its JSON can be read, and the numbers that do not depend on the
 * machine are right. How fast anything is, nobody asks here. */
#include "support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "io/json.h"
#include "run_program.h"

enum { UPDATE, PRODUCTS, KERNELS, DECODE, ROUNDS, TEACHER, PROGRAMS };
static const char *program[PROGRAMS];

static const json_t *member(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    if (!value)
        fail_msg("no member \"%s\"", key);
    return value;
}

static double number(const json_t *object, const char *key)
{
    const json_t *value = member(object, key);
    assert_true(json_is_number(value));
    return json_number_value(value);
}

/* The report that a program prints when it is asked for JSON alone. */
static json_t *report_of(const char *path, const char *const *arguments)
{
    const char *argv[32] = {path, "--json", "-", "--threads", "2"};
    struct test_output output;
    struct bt_diag diag = {""};
    json_t *report;
    for (size_t i = 0; arguments[i]; i++)
        argv[5 + i] = arguments[i];
    test_run(&(struct test_program){.argv = argv}, &output);
    if (output.exit_code)
        fail_msg("%s: exit code %d: %s", path, output.exit_code, output.err);
    TEST_OK(bt_json_parse(output.out, strlen(output.out), path, &report, &diag), diag);
    test_output_free(&output);
    assert_true(number(member(report, "peaks"), "float32_gflops") > 0.0);
    assert_true(number(member(report, "peaks"), "copy_gbs") > 0.0);
    return report;
}

static const json_t *row_of(const json_t *report, size_t row)
{
    const json_t *value = json_array_get(member(report, "rows"), row);
    assert_non_null(value);
    return value;
}

static double sum_of_shares(const json_t *row)
{
    const json_t *phases = member(row, "phases");
    double sum = 0.0;
    for (size_t i = 0; i < json_array_size(phases); i++)
        sum += number(json_array_get(phases, i), "share");
    return sum;
}

static void test_update(void **state)
{
    static const char *const arguments[] = {"--shape",  "stories260k", "--rows",    "1", "--seq", "16",
                                            "--layers", "2",           "--updates", "1", NULL};
    json_t *report = report_of(program[UPDATE], arguments);
    (void)state;
    assert_int_equal(json_array_size(member(report, "rows")), 4);
    for (size_t i = 0; i < 4; i++) {
        const json_t *row = row_of(report, i);
        assert_true(number(row, "tokens_per_second") > 0.0);
        assert_true(number(row, "memory_gb") > 0.0);
        assert_true(number(row, "of_roofline") > 0.0 && number(row, "mfu") > number(row, "of_roofline"));
        assert_true(fabs(sum_of_shares(row) - 1.0) < 1e-6);
        assert_int_equal(number(row, "forward_products"), 2 * 7);
    }
    /* On codes at lambda 1 alone, and then all of them; not where plain C is all that the machine has. */
    assert_int_equal(number(row_of(report, 0), "forward_products_on_codes"), 0);
    assert_int_equal(number(row_of(report, 1), "forward_products_on_codes"), 0);
    if (strcmp(json_string_value(member(member(report, "machine"), "kernels")), "portable") != 0)
        for (size_t i = 2; i < 4; i++) {
            assert_int_equal(number(row_of(report, i), "forward_products_on_codes"), 2 * 7);
            assert_true(number(row_of(report, i), "forward_flops_on_floats") == 0.0);
        }
    json_decref(report);
}

static void test_float_products_are_counted(void **state)
{
    static const char *const arguments[] = {"--shape", "stories260k", "--rows",    "1",         "--seq",
                                            "16",      "--layers",    "1",         "--updates", "1",
                                            "--mode",  "ternary",     "--kernels", "portable",  NULL};
    json_t *report = report_of(program[UPDATE], arguments);
    (void)state;
    assert_int_equal(json_array_size(member(report, "rows")), 1);
    /* q and o are 64 x 64, k and v 32 x 64, gate, up and down 172 x 64; of 16 tokens, two FLOPs each */
    const double flops = 2.0 * 16.0 * 64.0 * (2 * 64 + 2 * 32 + 3 * 172);
    assert_true(number(row_of(report, 0), "forward_flops_on_floats") == flops);
    assert_int_equal(number(row_of(report, 0), "forward_products_on_codes"), 0);
    json_decref(report);
}

static void test_products(void **state)
{
    static const char *const arguments[] = {"--shape", "stories260k", "--tokens", "16", "--seconds", "0", NULL};
    json_t *report = report_of(program[PRODUCTS], arguments);
    (void)state;
    assert_int_equal(json_array_size(member(report, "rows")), 5 * 3);
    for (size_t i = 0; i < 5 * 3; i++) {
        assert_true(number(row_of(report, i), "own_gflops") > 0.0);
        assert_true(number(row_of(report, i), "portable_of_peak") > 0.0);
        assert_int_equal(json_object_get(row_of(report, i), "codes_gflops") != NULL, i < 4 * 3);
    }
    json_decref(report);
}

static void test_kernels(void **state)
{
    static const char *const arguments[] = {"--shape", "stories260k", "--tokens", "32", "--megabytes",
                                            "1",       "--seconds",   "0",        NULL};
    json_t *report = report_of(program[KERNELS], arguments);
    (void)state;
    assert_int_equal(json_array_size(member(report, "rows")), 11 + 2);
    for (size_t i = 0; i < 11 + 2; i++)
        assert_true(number(row_of(report, i), "rate") > 0.0);
    json_decref(report);
}

static void test_decode(void **state)
{
    static const char *const arguments[] = {"--shape", "stories260k", "--prompt", "4", "--tokens", "2", NULL};
    json_t *report = report_of(program[DECODE], arguments);
    (void)state;
    assert_true(number(row_of(report, 0), "tokens_per_second") > 0.0);
    assert_true(number(row_of(report, 0), "prompt_tokens_per_second") > 0.0);
    json_decref(report);
}

/* Ratios are to the first row, whose own is 1; the cache and its folder are gone afterwards, so only figures remain. */
static void test_teacher(void **state)
{
    static const char *const arguments[] = {"--shape",  "stories260k", "--rows",    "2", "--seq", "16",
                                            "--layers", "2",           "--updates", "3", NULL};
    json_t *report = report_of(program[TEACHER], arguments);
    (void)state;
    assert_int_equal(json_array_size(member(report, "rows")), 5);
    assert_true(number(row_of(report, 0), "ratio") == 1.0);
    for (size_t i = 0; i < 5; i++) {
        const json_t *row = row_of(report, i);
        assert_true(number(row, "tokens_per_second") > 0.0);
        assert_true(number(row, "ratio") >= number(row, "ratio_least") && number(row, "ratio_least") > 0.0);
        assert_true(number(row, "ratio") <= number(row, "ratio_most"));
    }
    json_decref(report);
}

/* A table, and the same figures in a file. */
static void test_table_and_file(void **state)
{
    char *folder = test_make_dir();
    const char *path = test_format("%s/figures.json", folder);
    struct test_output output;
    struct bt_diag diag = {""};
    json_t *report;
    (void)state;
    test_run_expect(0, &output, program[DECODE], "--shape", "stories260k", "--prompt", "2", "--tokens", "1", "--json",
                    path, NULL);
    assert_non_null(strstr(output.out, "| head |"));
    assert_non_null(strstr(output.out, "| auto |"));
    test_output_free(&output);
    TEST_OK(bt_json_read(path, &report, &diag), diag);
    assert_string_equal(json_string_value(member(report, "benchmark")), "decode");
    json_decref(report);
    test_remove_dir(folder);
}

/* Two runs that report two speeds, each time a pair: the median of the ratios, not the ratio of the medians. */
static void test_rounds(void **state)
{
    char *folder = test_make_dir();
    const char *path = test_format("%s/rounds.json", folder), *count = test_format("%s/count", folder);
    const char *slow = test_format("slow=echo x >>%s; n=$(grep -c x %s); echo words; echo '{\"mode\": \"a\", "
                                   "\"tokens_per_second\": '$((n * n * 10))', \"peak_rss_gb\": 2}'",
                                   count, count);
    const char *fast = test_format("fast=echo '{\"rows\": [{\"name\": \"b\", \"tokens_per_second\": 360}]}'");
    struct test_output output;
    struct bt_diag diag = {""};
    json_t *report;
    (void)state;
    test_run_expect(0, &output, program[ROUNDS], "--rounds", "3", "--json", path, slow, fast, NULL);
    assert_non_null(strstr(output.out, "| to the first |"));
    test_output_free(&output);
    TEST_OK(bt_json_read(path, &report, &diag), diag);
    const json_t *first = row_of(report, 0), *second = row_of(report, 1);
    assert_string_equal(json_string_value(member(first, "name")), "a");
    assert_true(number(first, "metric") == 40.0 && number(first, "ratio") == 1.0);
    assert_true(number(second, "metric") == 360.0 && number(second, "ratio") == 9.0);
    assert_true(number(second, "ratio_least") == 4.0 && number(second, "ratio_most") == 36.0);
    json_decref(report);
    test_remove_dir(folder);
}

static void test_bad_arguments(void **state)
{
    struct test_output output;
    (void)state;
    for (int i = 0; i < PROGRAMS; i++) {
        test_run_expect(2, &output, program[i], "--no-such-option", NULL);
        assert_non_null(strstr(output.err, "--no-such-option"));
        test_output_free(&output);
    }
    test_run_expect(3, &output, program[ROUNDS], "--quiet", "a=exit 9", NULL);
    assert_non_null(strstr(output.err, "exit status 9"));
    test_output_free(&output);
    test_run_expect(3, &output, program[ROUNDS], "--quiet", "a=echo words", NULL);
    test_output_free(&output);
}

/* The shape for another program, as Hugging Face writes it. */
static void test_config(void **state)
{
    char *folder = test_make_dir();
    const char *path = test_format("%s/config.json", folder);
    struct test_output output;
    struct bt_diag diag = {""};
    json_t *config;
    (void)state;
    test_run_expect(0, &output, program[UPDATE], "--layers", "3", "--write-config", path, NULL);
    test_output_free(&output);
    TEST_OK(bt_json_read(path, &config, &diag), diag);
    assert_int_equal(number(config, "num_hidden_layers"), 3);
    assert_int_equal(number(config, "hidden_size"), 576);
    assert_true(json_is_true(member(config, "tie_word_embeddings")));
    json_decref(config);
    test_remove_dir(folder);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_update),         cmocka_unit_test(test_float_products_are_counted),
        cmocka_unit_test(test_products),       cmocka_unit_test(test_kernels),
        cmocka_unit_test(test_decode),         cmocka_unit_test(test_teacher),
        cmocka_unit_test(test_table_and_file), cmocka_unit_test(test_rounds),
        cmocka_unit_test(test_bad_arguments),  cmocka_unit_test(test_config)};
    if (argc != 1 + PROGRAMS)
        return 2;
    for (int i = 0; i < PROGRAMS; i++)
        program[i] = argv[1 + i];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
