/* bitnet-eval and bitnet-generate as a user meets them. */
#include "run_program.h"

#include <stdlib.h>
#include <string.h>

#include "io/json.h"

static const char *eval_program, *generate_program; /* absolute paths */

/* Runs program with arguments, NULL at the end; out and err: what they must contain. The output is the caller's. */
static struct test_output run(const char *program, int exit_code, const char *out, const char *err,
                              const char *const *arguments)
{
    const char *argv[24] = {program};
    struct test_output output = {0};
    for (size_t i = 1; *arguments; i++)
        argv[i] = *arguments++;
    const char *const env[] = {"OMP_WAIT_POLICY=passive", NULL};
    const struct test_program p = {.argv = argv, .env = env, .directory = test_dir};
    test_run(&p, &output);
    if (output.exit_code != exit_code || !strstr(output.out, out) || !strstr(output.err, err))
        fail_msg("exit %d\nout: %s\nerr: %s\nexpected %d, \"%s\" and \"%s\"", output.exit_code, output.out, output.err,
                 exit_code, out, err);
    return output;
}

#define RUN(program, exit_code, out, err, ...)                                                                         \
    run(program, exit_code, out, err, (const char *const[]){__VA_ARGS__, NULL})
#define EXPECT(...)                                                                                                    \
    do {                                                                                                               \
        struct test_output expected_ = RUN(__VA_ARGS__);                                                               \
        test_output_free(&expected_);                                                                                  \
    } while (0)

static void write_text(const char *name, const char *text)
{
    test_write_file(test_format("%s/%s", test_dir, name), text, strlen(text));
}

static const char *model(void)
{
    return test_shared("data/models/stories260K");
}

static const char *validation(void)
{
    return test_shared("data/shards/tinystories-stories260K-valid.bin");
}

static void test_loss_is_that_of_training(void **state)
{
    (void)state;
    EXPECT(eval_program, 0, "1.4173", " s\n", "--model", model(), "--data", validation(), "--max-seq-length", "256");
}

/* The same rows as text and as shards that bitnet-data would make of it; JSON that can be read. */
static void test_json(void **state)
{
    const char *other = test_shared("data/models/stories260K-bf16");
    struct bt_diag diag = {0};
    json_t *value = NULL;
    (void)state;
    write_text("a.jsonl", "{\"text\":\"Once upon a time there was a girl.\"}\n");
    write_text("c.jsonl", "{\"context\":\"Once upon a time, there was a little\","
                          "\"endings\":[\"of the is\",\"girl named Lily\"],\"label\":1}\n");
    struct test_output output =
        RUN(eval_program, 0, "{", "", "--quiet", "--json", "--model", model(), "--model", other, "--data", "a.jsonl",
            "--choices", "c.jsonl", "--max-seq-length", "64", "--stride", "32", "--weights=none");
    assert_string_equal(output.err, "");
    TEST_OK(bt_json_parse(output.out, strlen(output.out), "output", &value, &diag), diag);
    const json_t *results = json_object_get(value, "results");
    assert_int_equal(json_array_size(results), 2);
    for (size_t i = 0; i < 2; i++) {
        const json_t *result = json_array_get(results, i), *text = json_object_get(result, "text");
        const json_t *choices = json_object_get(result, "choices");
        assert_string_equal(json_string_value(json_object_get(result, "model")), i ? other : model());
        assert_string_equal(json_string_value(json_object_get(result, "weights")), "none");
        assert_true(json_number_value(json_object_get(text, "loss")) > 0.5);
        assert_true(json_number_value(json_object_get(text, "bits_per_byte")) > 0.1);
        assert_int_equal(json_integer_value(json_object_get(choices, "items")), 1);
        assert_true(json_number_value(json_object_get(choices, "accuracy")) == 1.0);
    }
    json_decref(value);
    test_output_free(&output);
}

static void test_forms_differ(void **state)
{
    (void)state;
    EXPECT(eval_program, 0, "int8 activations, lambda 1", "", "--model", model(), "--data", validation(),
           "--max-seq-length", "64", "--tokens", "640", "--activations", "int8");
    EXPECT(eval_program, 0, "ternary weights, lambda 0.5", "", "--model", model(), "--data", validation(),
           "--max-seq-length", "64", "--tokens", "640", "--weights", "ternary", "--lambda", "0.5");
}

static void test_eval_refuses(void **state)
{
    (void)state;
    write_text("bad.jsonl", "{\"context\":\"a\"}\n");
    EXPECT(eval_program, 2, "", "--model DIR is missing", "--data", "x.bin");
    EXPECT(eval_program, 2, "", "nothing to evaluate on", "--model", model());
    EXPECT(eval_program, 2, "", "512 positions", "--model", model(), "--data", validation(), "--max-seq-length", "513");
    EXPECT(eval_program, 2, "", "--stride", "--model", model(), "--data", validation(), "--max-seq-length", "8",
           "--stride", "9");
    EXPECT(eval_program, 2, "", "exclude each other", "--model", model(), "--data", validation(), "--packing",
           "--stride", "9");
    EXPECT(eval_program, 2, "", "--lambda: found 2", "--model", model(), "--data", validation(), "--lambda", "2");
    EXPECT(eval_program, 2, "", "expected a number", "--model", model(), "--data", validation(), "--lambda", "one");
    EXPECT(eval_program, 2, "", "expected one kind", "--model", model(), "--data", validation(), "--data", "a.txt");
    EXPECT(eval_program, 3, "", "nowhere", "--model", "nowhere", "--data", validation());
    EXPECT(eval_program, 3, "", "line 1", "--model", model(), "--choices", "bad.jsonl");
}

/* Ids of another tokenizer have a loss like others; the manifest says whose they are. */
static void test_shards_of_another_tokenizer(void **state)
{
    size_t size;
    (void)state;
    unsigned char *shard = test_read_file(validation(), &size);
    test_write_file(test_format("%s/x-000000.bin", test_dir), shard, size);
    free(shard);
    write_text("x.json", "{\"kind\":\"token shards\",\"tokenizer\":{\"path\":\"elsewhere\",\"xxh3_64\":"
                         "\"0123456789abcdef\"},\"shards\":[{\"file\":\"x-000000.bin\"}]}");
    EXPECT(eval_program, 3, "", "x-000000.bin was made with another tokenizer: its manifest names elsewhere", "--model",
           model(), "--data", "x-*.bin");
    EXPECT(eval_program, 3, "", "x-000000.bin was made with another tokenizer", "--model", model(), "--data", "x-*.bin",
           "--stride", "64");
}

static void test_greedy_text_is_the_published_one(void **state)
{
    size_t size = 0;
    char *want = (char *)test_read_file(test_shared("data/models/stories260K/golden-greedy.txt"), &size);
    struct test_output output = RUN(generate_program, 0, "", "ended by length\n", "--model", model(), "--temperature",
                                    "0", "--max-tokens", "256", "");
    (void)state;
    assert_int_equal(strlen(output.out), size + 1);
    assert_memory_equal(output.out, want, size);
    test_output_free(&output);
    free(want);
}

static void test_seeds_and_prompts(void **state)
{
    (void)state;
    write_text("prompt.txt", "Once upon a time\n");
    struct test_output one = RUN(generate_program, 0, ",", "", "--model", model(), "--seed", "7", "--file",
                                 "prompt.txt", "--threads", "1", "--max-tokens", "40");
    struct test_output two = RUN(generate_program, 0, ",", "", "--model", model(), "--seed", "7", "--threads", "3",
                                 "--max-tokens", "40", "Once upon a time");
    struct test_output three = RUN(generate_program, 0, "Once upon a time,", "", "--model", model(), "--seed", "8",
                                   "--echo", "--quiet", "--max-tokens", "40", "Once upon a time");
    (void)state;
    assert_string_equal(one.out, two.out);
    assert_null(strstr(three.out, one.out));
    assert_string_equal(three.err, "");
    test_output_free(&one);
    test_output_free(&two);
    test_output_free(&three);
}

static void test_stops(void **state)
{
    (void)state;
    EXPECT(generate_program, 0, "little girl named \n", "ended by stop", "--model", model(), "--temperature", "0",
           "--stop", "Lily", "Once upon a time, there was a");
    EXPECT(generate_program, 0, "", "ended by context", "--model", model(), "--temperature", "0", "--context", "16",
           "Once upon a time, there was a");
    EXPECT(generate_program, 0, "", "ended by length", "--model", model(), "--weights", "ternary", "--activations",
           "int8", "--head", "int8", "--max-tokens", "5", "Once");
}

static void test_generate_refuses(void **state)
{
    (void)state;
    EXPECT(generate_program, 2, "", "--model DIR is missing", "prompt");
    EXPECT(generate_program, 2, "", "a prompt is missing", "--model", model());
    EXPECT(generate_program, 2, "", "one argument", "--model", model(), "a", "b");
    EXPECT(generate_program, 2, "", "--top-p", "--model", model(), "--top-p", "0", "a");
    EXPECT(generate_program, 2, "", "--stop", "--model", model(), "--stop", "", "a");
    EXPECT(generate_program, 2, "", "no chat template", "--model", model(), "--chat", "a");
    EXPECT(generate_program, 2, "", "belongs to --chat", "--model", model(), "--system", "x", "a");
    EXPECT(generate_program, 2, "", "512 positions", "--model", model(), "--context", "513", "a");
    EXPECT(generate_program, 2, "", "do not fit", "--model", model(), "--context", "2", "a long prompt");
    EXPECT(generate_program, 2, "", "nothing to begin with", "--model", model(), "--before", "none", "");
    EXPECT(generate_program, 3, "", "nowhere", "--model", "nowhere", "a");
}

/* A conversation in a named format; the empty stdin of the test ends it at once without a prompt. */
static void test_chat(void **state)
{
    (void)state;
    EXPECT(generate_program, 0, "", "ended by", "--model", model(), "--chat", "--chat-format", "llama2", "--system",
           "S", "--max-tokens", "5", "Hello");
    EXPECT(generate_program, 0, "", "", "--model", model(), "--chat", "--chat-format", "llama2");
}

static void test_help(void **state)
{
    (void)state;
    EXPECT(eval_program, 0, "--choices", "", "--help");
    EXPECT(generate_program, 0, "--temperature", "", "--help");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loss_is_that_of_training),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_forms_differ),
        cmocka_unit_test(test_eval_refuses),
        cmocka_unit_test(test_shards_of_another_tokenizer),
        cmocka_unit_test(test_greedy_text_is_the_published_one),
        cmocka_unit_test(test_seeds_and_prompts),
        cmocka_unit_test(test_stops),
        cmocka_unit_test(test_generate_refuses),
        cmocka_unit_test(test_chat),
        cmocka_unit_test(test_help),
    };
    if (argc < 3)
        return 2;
    eval_program = realpath(argv[1], NULL); /* they are started from another folder */
    generate_program = realpath(argv[2], NULL);
    return cmocka_run_group_tests(tests, test_dir_setup, test_dir_teardown);
}
