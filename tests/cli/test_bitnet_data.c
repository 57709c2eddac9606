/* bitnet-data as a user meets it: what it writes, what it says, how it exits. */
#include "run_program.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/json.h"
#include "io/shard.h"
#include "text/bytes.h"
#include "text/corpus.h"
#include "text/trigram.h"

#define STORIES BT_SOURCE_DIR "/data/stories.grammar"

static const char *program;

static void expect_error(int exit_code, const char *sentence, const char *first, const char *second)
{
    struct test_output output = {0};
    test_run_expect(exit_code, &output, program, first, second, NULL);
    if (!strstr(output.err, sentence))
        fail_msg("said: %sexpected: %s", output.err, sentence);
    assert_string_equal(output.out, "");
    assert_ptr_equal(strchr(output.err, '\n'), output.err + strlen(output.err) - 1); /* one line */
    test_output_free(&output);
}

static void test_help_and_version(void **state)
{
    struct test_output output = {0};
    (void)state;
    test_run_expect(0, &output, program, "--help", NULL);
    assert_non_null(strstr(output.out, "usage: bitnet-data COMMAND"));
    assert_string_equal(output.err, "");
    test_output_free(&output);
    test_run_expect(0, &output, program, "generate", "--help", NULL);
    static const char *const options[] = {"--grammar FILE",     "--seed N",     "--documents N",
                                          "--validation N",     "--out PREFIX", "--tokenizer FOLDER",
                                          "--probability FILE", "--quiet"};
    for (size_t i = 0; i < BT_ARRAY_LEN(options); i++)
        assert_non_null(strstr(output.out, options[i]));
    test_output_free(&output);
    test_run_expect(0, &output, program, "--version", NULL);
    assert_int_equal(strncmp(output.out, "bitnet-data ", 12), 0);
    test_output_free(&output);
}

static void test_usage_errors(void **state)
{
    (void)state;
    expect_error(2, "bitnet-data: a command is missing", NULL, NULL);
    expect_error(2, "unknown command \"generat\"; did you mean \"generate\"?", "generat", NULL);
    expect_error(2, "unknown command \"frobnicate\"; --help lists them all", "frobnicate", NULL);
    expect_error(2, "unknown option \"--hlep\"; did you mean \"--help\"?", "--hlep", NULL);
    expect_error(2, "--grammar FILE is missing", "generate", NULL);
    expect_error(2, "unknown option \"--gramar\"; did you mean \"--grammar\"?", "generate", "--gramar=x");
    expect_error(2, "--seed: found \"-1\", expected a whole number of at least 0", "generate", "--seed=-1");
    expect_error(2, "--documents: found \"0\", expected a whole number of at least 1", "generate", "--documents=0");
    expect_error(2, "--quiet takes no value", "generate", "--quiet=yes");
    expect_error(2, "--out needs a value: PREFIX", "generate", "--out");
    expect_error(2, "found \"extra\", expected only options", "generate", "extra");
    expect_error(2, "unknown option \"-h\"; options are long", "generate", "-h");
}

static void test_input_errors(void **state)
{
    const char *path = test_format("%s/bad.grammar", (const char *)*state);
    test_write_file(path, "a = b\n", 6);
    expect_error(3, "bad.grammar:1: \"b\" is neither a rule nor a parameter", "generate",
                 test_format("--grammar=%s", path));
    expect_error(3, "/absent.grammar", "generate", test_format("--grammar=%s/absent.grammar", (const char *)*state));
}

/* Documents on stdout are those of the library, and the same every time. */
static void test_prints_documents(void **state)
{
    struct test_output first = {0}, second = {0};
    struct bt_grammar *grammar;
    struct bt_corpus corpus;
    struct bt_diag diag = {""};
    char *text;
    size_t size;
    (void)state;
    test_run_expect(0, &first, program, "generate", "--grammar", STORIES, "--seed", "9", "--documents=7", NULL);
    test_run_expect(0, &second, program, "generate", "--documents", "7", "--seed=9", "--grammar=" STORIES, NULL);
    assert_string_equal(first.out, second.out);
    TEST_OK(bt_grammar_read(STORIES, &grammar, &diag), diag);
    TEST_OK(bt_corpus_generate(grammar, 9, 0, 7, &corpus, &diag), diag);
    TEST_OK(bt_corpus_readable(&corpus, &text, &size, &diag), diag);
    assert_int_equal(strlen(first.out), size);
    assert_memory_equal(first.out, text, size);
    bt_free(text);
    bt_corpus_finish(&corpus);
    bt_grammar_destroy(grammar);
    test_output_free(&first);
    test_output_free(&second);
}

static double number_at(const json_t *report, const char *half, const char *key)
{
    const json_t *value = json_object_get(half ? json_object_get(report, half) : report, key);
    if (!json_is_number(value))
        fail_msg("the report has no number %s %s", half ? half : "", key);
    return json_number_value(value);
}

/* The numbers of one half of the report, made again from the shard that was written. */
static int32_t *check_half(const json_t *report, const char *folder, const char *half, size_t documents,
                           size_t *ret_count)
{
    struct bt_shard shard = {0};
    struct bt_diag diag = {""};
    TEST_OK(bt_shard_open(test_format("%s/sub/s-%s.bin", folder, half), BT_SHARD_LLMC, &shard, &diag), diag);
    assert_int_equal(shard.width, 2);
    assert_int_equal(shard.count, number_at(report, half, "tokens"));
    assert_int_equal(shard.count, number_at(report, half, "labels") + 1);
    assert_int_equal(shard.count, number_at(report, half, "bytes") + 2 * documents);
    int32_t *tokens = malloc(shard.count * sizeof *tokens);
    assert_non_null(tokens);
    bt_shard_read(&shard, 0, shard.count, tokens);
    *ret_count = shard.count;
    bt_shard_close(&shard);
    return tokens;
}

/* Sum of log P as --probability prints it for the readable file, one line a document. */
static double printed_log_probability(const char *folder, const char *half, size_t documents)
{
    struct test_output output = {0};
    double sum = 0.0;
    size_t lines = 0, number, bytes;
    const char *path = test_format("--probability=%s/sub/s-%s.txt", folder, half);
    test_run_expect(0, &output, program, "generate", "--grammar", STORIES, path, NULL);
    for (char *line = strtok(output.out, "\n"); line; line = strtok(NULL, "\n"), lines++) {
        double one;
        assert_int_equal(sscanf(line, "%zu %zu %lf", &number, &bytes, &one), 3);
        assert_int_equal(number, lines);
        sum += one;
    }
    assert_int_equal(lines, documents);
    test_output_free(&output);
    return sum;
}

static bool near(double got, double want)
{
    return got - want <= 1e-9 && want - got <= 1e-9;
}

static void test_writes_files_and_report(void **state)
{
    const char *folder = *state;
    struct test_output output = {0};
    struct bt_trigram *trigram;
    struct bt_diag diag = {""};
    json_t *report = NULL;
    size_t train_count, count;
    test_run_expect(0, &output, program, "generate", "--grammar", STORIES, "--documents", "300", "--validation", "40",
                    "--out", test_format("%s/sub/s", folder), NULL);
    assert_non_null(strstr(output.out, "nats a byte"));
    assert_non_null(strstr(output.err, "sub/s-train.bin"));
    TEST_OK(bt_json_read(test_format("%s/sub/s.json", folder), &report, &diag), diag);
    int32_t *train = check_half(report, folder, "train", 300, &train_count);
    int32_t *validation = check_half(report, folder, "validation", 40, &count);
    assert_true(near(number_at(report, "train", "source_nats_per_label"),
                     -printed_log_probability(folder, "train", 300) / (double)(train_count - 1)));
    assert_true(near(number_at(report, "validation", "source_nats_per_label"),
                     -printed_log_probability(folder, "validation", 40) / (double)(count - 1)));
    TEST_OK(bt_trigram_create(train, train_count, BT_BYTES_VOCAB, BT_BYTES_BOS, &trigram, &diag), diag);
    assert_true(
        near(number_at(report, "validation", "trigram_nats_per_label"), bt_trigram_loss(trigram, validation, count)));
    assert_int_equal(number_at(report, "validation", "documents_also_in_train"), 0);
    const double bytes = number_at(report, NULL, "bytes_per_document");
    const double entropy = number_at(report, NULL, "entropy_nats_per_document");
    assert_true(near(number_at(report, NULL, "entropy_nats_per_byte"), entropy / bytes));
    assert_true(near(number_at(report, NULL, "entropy_nats_per_label"), entropy / (bytes + 2)));
    bt_trigram_destroy(trigram);
    json_decref(report);
    free(train);
    free(validation);
    test_output_free(&output);
}

/* The validation documents do not depend on how many training documents are made. */
static void test_validation_stays(void **state)
{
    const char *folder = *state;
    struct test_output output = {0};
    for (int i = 0; i < 2; i++) {
        test_run_expect(0, &output, program, "generate", "--quiet", "--grammar", STORIES, "--validation=5",
                        "--documents", i ? "20" : "10", "--out", test_format("%s/%d", folder, i), NULL);
        assert_string_equal(output.err, "");
        test_output_free(&output);
    }
    char *first = (char *)test_read_file(test_format("%s/0-validation.txt", folder), NULL);
    char *second = (char *)test_read_file(test_format("%s/1-validation.txt", folder), NULL);
    assert_string_equal(first, second);
    free(first);
    free(second);
}

static void test_foreign_text_is_impossible(void **state)
{
    const char *path = test_format("%s/text", (const char *)*state);
    struct test_output output = {0};
    test_write_file(path, "Call me Tom.", 12);
    test_run_expect(0, &output, program, "generate", "--grammar", STORIES, "--probability", path, NULL);
    assert_string_equal(output.out, "0\t12\t-inf\n");
    test_output_free(&output);
}

static void test_writes_the_tokenizer(void **state)
{
    const char *folder = test_format("%s/model", (const char *)*state);
    struct test_output output = {0};
    test_run_expect(0, &output, program, "generate", "--tokenizer", folder, NULL);
    test_output_free(&output);
    free(test_read_file(test_format("%s/tokenizer.json", folder), NULL));
}

/* A device on which every write fails with "no space left". */
static void test_full_stdout(void **state)
{
    struct test_output output = {0};
    (void)state;
    const char *line = test_format("exec '%s' generate --grammar '%s' >/dev/full", program, STORIES);
    test_run_expect(5, &output, "/bin/sh", "-c", line, NULL);
    assert_non_null(strstr(output.err, "standard output"));
    test_output_free(&output);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_help_and_version),
        cmocka_unit_test(test_usage_errors),
        cmocka_unit_test_setup_teardown(test_input_errors, test_dir_setup, test_dir_teardown),
        cmocka_unit_test(test_prints_documents),
        cmocka_unit_test_setup_teardown(test_writes_files_and_report, test_dir_setup, test_dir_teardown),
        cmocka_unit_test_setup_teardown(test_validation_stays, test_dir_setup, test_dir_teardown),
        cmocka_unit_test_setup_teardown(test_foreign_text_is_impossible, test_dir_setup, test_dir_teardown),
        cmocka_unit_test_setup_teardown(test_writes_the_tokenizer, test_dir_setup, test_dir_teardown),
        cmocka_unit_test(test_full_stdout),
    };
    if (argc != 2)
        return 2;
    program = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
