/* bitnet-train on text: what `bitnet-data tokenize` would make of it is trained on, made once, whatever happens. */
#include "train_world.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "io/file.h"

static struct train_world world;
static char *bitnet_data;

static void run_data(const char *const *args)
{
    const char *argv[24] = {bitnet_data};
    struct test_output output = {0};
    for (size_t i = 1; *args; i++, args++)
        argv[i] = *args;
    test_run(&(struct test_program){.argv = argv, .directory = world.dir}, &output);
    if (output.exit_code != 0)
        fail_msg("bitnet-data: exit code %d: %s", output.exit_code, output.err);
    test_output_free(&output);
}
#define DATA(...) run_data((const char *const[]){__VA_ARGS__, NULL})

/* Stories of a few words, each of them another one. */
static void write_stories(const char *name, const char *begin, const char *end, int first, int count)
{
    char text[32768] = "";
    size_t used = 0;
    for (int i = first; i < first + count; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%sThe %s number %d went to sea%s\n", begin,
                                 i % 3 ? "owl" : "cat", i * i, end);
    assert_true(used < sizeof text - 1);
    world_write(&world, name, text);
}

/* A model of bytes, its tokenizer, and the same kind of text in both forms. */
static void write_bytes_world(void)
{
    char *config = world_text(&world, "tiny/config.json"), *at = strstr(config, "\"vocab_size\": 64");
    assert_non_null(at);
    assert_int_equal(mkdir(world_path(&world, "bytes"), 0777), 0);
    DATA("generate", "--tokenizer", "bytes");
    world_write(
        &world, "bytes/config.json",
        test_format("%.*s\"vocab_size\": 258%s", (int)(at - config), config, at + strlen("\"vocab_size\": 64")));
    char *bos = world_text(&world, "bytes/config.json"), *ids = strstr(bos, "\"bos_token_id\": 1, \"eos_token_id\": 1");
    assert_non_null(ids);
    world_write(&world, "bytes/config.json",
                test_format("%.*s\"bos_token_id\": 256, \"eos_token_id\": 257%s", (int)(ids - bos), bos,
                            ids + strlen("\"bos_token_id\": 1, \"eos_token_id\": 1")));
    free(bos);
    free(config);
}

static int fresh(void **state)
{
    (void)state;
    world_remove(&world, "runs");
    write_stories("train.jsonl", "{\"text\": \"", "\"}", 0, 120);
    write_stories("validation.txt", "", "\n--", 200, 20);
    return 0;
}

#define BYTES "--set=model={config: bytes/config.json}"
#define TEXT                                                                                                           \
    "--set=data={train: [{path: train.jsonl, format: jsonl}], validation: [{path: validation.txt, format: text, "      \
    "separator: \"--\"}], max_seq_length: 48}"
#define SHARDS                                                                                                         \
    "--set=data={train: [{path: \"shard/t-*.bin\"}], validation: [{path: \"shard/v-*.bin\"}], max_seq_length: 48}"

static void expect_same_records(const char *run, const char *other)
{
    char *a = world_records(&world, run, "train eval end"), *b = world_records(&world, other, "train eval end");
    assert_true(strlen(a) > 1000);
    assert_string_equal(a, b);
    free(a);
    free(b);
}

/* All three stages: conversion is calibrated on the text too. */
static void test_text_trains_as_its_shards_do(void **state)
{
    (void)state;
    DATA("tokenize", "--tokenizer=bytes", "--out=shard/t", "train.jsonl");
    DATA("tokenize", "--tokenizer=bytes", "--out=shard/v", "--separator=--", "validation.txt");
    WORLD_RUN_WITH(&world, BYTES, TEXT);
    world_expect(&world, 0);
    WORLD_RUN_WITH(&world, BYTES, SHARDS, "--set=name=b");
    world_expect(&world, 0);
    expect_same_records("runs/a", "runs/b");
    assert_string_equal(strchr(world_hash(&world, WORLD_LAST_MODEL), ' '),
                        strchr(world_hash(&world, "runs/b/stage2/model/model.safetensors"), ' '));
}

/* Examples are learned from by their answers, and a run from the lines is one from shards and masks. */
static void test_examples_train_as_their_masked_shards_do(void **state)
{
    (void)state;
    write_stories("train.jsonl", "{\"prompt\": \"", "\", \"completion\": \" and came home\"}", 0, 120);
    write_stories("held.jsonl", "{\"question\": \"", "\", \"answer\": \"Why?\"}", 200, 20);
    DATA("tokenize", "--tokenizer=bytes", "--out=shard/t", "train.jsonl");
    DATA("tokenize", "--tokenizer=bytes", "--out=shard/v", "held.jsonl");
    WORLD_RUN_WITH(&world, BYTES,
                   "--set=data={train: [{path: train.jsonl, format: jsonl}], validation: [{path: held.jsonl, format: "
                   "jsonl, chat_format: none}], max_seq_length: 64}",
                   "--set=logging.eval_tokens=0");
    world_expect(&world, 0);
    WORLD_RUN_WITH(&world, BYTES,
                   "--set=data={train: [{path: \"shard/t-*.bin\"}], validation: [{path: \"shard/v-*.bin\"}], "
                   "max_seq_length: 64}",
                   "--set=logging.eval_tokens=0", "--set=name=b");
    world_expect(&world, 0);
    expect_same_records("runs/a", "runs/b");
    char *records = world_records(&world, "runs/a", "eval");
    assert_non_null(strstr(records, "\"labels\":100,")); /* 20 times "Why?" and EOS */
    free(records);
    WORLD_RUN_WITH(&world, BYTES, "--set=name=c",
                   "--set=data={train: [{path: train.jsonl, format: jsonl, chat_format: chatml}]}");
    world_expect_error(&world, 2, "the chat format chatml needs the special token");
    world_write(&world, "mixed.jsonl", "{\"text\": \"a\"}\n");
    WORLD_RUN_WITH(&world, BYTES, "--set=name=c", "--set=data={train: [{path: \"[tm]*.jsonl\", format: jsonl}]}");
    world_expect_error(&world, 3, "mixed.jsonl holds text and train.jsonl examples, which do not go together");
    world_remove(&world, "mixed.jsonl");
    world_remove(&world, "shard");
}

static bool told(const char *part)
{
    return strstr(world.output.err, part) != NULL;
}

/* The dry run makes the tokens, every run after it finds them. */
static void test_tokens_are_made_once(void **state)
{
    (void)state;
    world.loud = true;
    WORLD_RUN_WITH(&world, BYTES, TEXT, "--dry-run");
    world_expect(&world, 0);
    assert_true(told("tokenizing train.jsonl into runs/.cache/tokens-"));
    assert_true(told("tokenized: 120 documents, "));
    assert_true(told("tokenizing validation.txt into runs/.cache/tokens-"));
    assert_false(bt_file_exists(world_path(&world, "runs/a")));
    WORLD_RUN_WITH(&world, BYTES, TEXT);
    world_expect(&world, 0);
    assert_false(told("tokeniz"));
    WORLD_RUN_WITH(&world, BYTES, TEXT, "--set=name=b", "--set=stages=[stage0]");
    world_expect(&world, 0);
    assert_false(told("tokeniz"));
    world.loud = false;
}

/* A run belongs to its text: another one does not continue it. */
static void test_resume_wants_the_same_text(void **state)
{
    (void)state;
    WORLD_RUN_WITH(&world, BYTES, TEXT, "--set=stages=[stage0]");
    world_expect(&world, 0);
    world_remove(&world, "runs/a/stage0/model");
    char *text = world_text(&world, "train.jsonl");
    write_stories("train.jsonl", "{\"text\": \"", "\"}", 1, 120);
    WORLD_RUN_WITH(&world, BYTES, TEXT, "--set=stages=[stage0]");
    world_expect_error(&world, 2, "train.jsonl is not the data that runs/a/stage0/checkpoints/step-00000006 was");
    world_write(&world, "train.jsonl", text);
    world_remove(&world, "runs/.cache"); /* which may go at any time: it is made again */
    WORLD_RUN_WITH(&world, BYTES, TEXT, "--set=stages=[stage0]");
    world_expect(&world, 0);
    free(text);
}

static void test_mistakes(void **state)
{
    (void)state;
    WORLD_RUN_WITH(&world, BYTES, "--set=data.train=[{path: train.jsonl}]");
    world_expect_error(&world, 2,
                       "train.jsonl is named like text, but its source has format: llmc, which is token "
                       "shards; set format: jsonl");
    WORLD_RUN_WITH(&world, BYTES, "--set=data.train=[{path: \"valid*.txt\", format: nanogpt}]");
    world_expect_error(&world, 2,
                       "validation.txt is named like text, but its source has format: nanogpt, which is "
                       "token shards; set format: text");
    WORLD_RUN_WITH(&world, BYTES, TEXT, "--set=data.train.0.key=story");
    world_expect_error(&world, 3, "train.jsonl: line 1");
    WORLD_RUN_WITH(&world, BYTES, TEXT, "--set=data.train.0.path=absent.jsonl");
    world_expect_error(&world, 3, "absent.jsonl");
    WORLD_RUN_WITH(&world, BYTES, TEXT, "--set=data.separators.before=258");
    world_expect_error(&world, 2, "data.separators.before: found 258, but the tokenizer of bytes has the ids 0 to 257");
    WORLD_RUN_WITH(&world, TEXT); /* the tokenizer of that folder is none */
    world_expect_error(&world, 3, "tiny/tokenizer.json");
    world_remove(&world, "tiny/tokenizer.json");
    WORLD_RUN_WITH(&world, TEXT);
    world_expect_error(&world, 3, "tiny");
    WORLD_RUN_WITH(&world, BYTES, TEXT, "--set=data.validation=[{path: train.jsonl, format: jsonl}]");
    world_expect_error(&world, 2, "data.validation: train.jsonl is trained on too");
    assert_false(bt_file_exists(world_path(&world, "runs/a")));
}

/* What a stage's own data replaces may be text as well, cut by a separator of its own. */
static void test_a_stage_with_text_of_its_own(void **state)
{
    (void)state;
    DATA("tokenize", "--tokenizer=bytes", "--out=shard/t", "train.jsonl");
    DATA("tokenize", "--tokenizer=bytes", "--out=shard/own", "--separator=--", "--before=7", "--after=none",
         "validation.txt");
    static const char own[] =
        "--set=stage2.data={train: [{path: validation.txt, format: text, separator: \"--\"}], validation: [], "
        "max_seq_length: 32, separators: {before: 7, after: 7}}";
    WORLD_RUN_WITH(&world, BYTES, "--set=data={train: [{path: \"shard/t-*.bin\"}], max_seq_length: 48}", own,
                   "--set=stages=[stage0, stage2]");
    world_expect(&world, 0);
    WORLD_RUN_WITH(&world, BYTES, "--set=data={train: [{path: train.jsonl, format: jsonl}], max_seq_length: 48}",
                   "--set=stage2.data={train: [{path: \"shard/own-*.bin\"}], validation: [], max_seq_length: 32, "
                   "separators: {before: 7, after: 7}}",
                   "--set=stages=[stage0, stage2]", "--set=name=b");
    world_expect(&world, 0);
    expect_same_records("runs/a", "runs/b");
}

/* Killed at every operation of the tokenizing, which comes first. */
static void test_killed_while_tokenizing(void **state)
{
    const char *const args[] = {BYTES, TEXT, "--set=stages=[stage0]", NULL};
    const long stride = TEST_IS_SLOW ? 7 : 1;
    (void)state;
    world_run_program(&world, world.program, NULL, args);
    world_expect(&world, 0);
    char *good = world_records(&world, "runs/a", "train eval end");
    for (long k = 0; k < 60; k += stride) {
        const char *const env[] = {test_format("BT_TEST_KILL_AT_IO=%ld", k), NULL};
        world_remove(&world, "runs");
        world_run_program(&world, world.faulty, env, args);
        assert_int_equal(world.output.signal, SIGKILL);
        world_run_program(&world, world.program, NULL, args);
        world_expect(&world, 0);
        char *records = world_records(&world, "runs/a", "train eval end");
        assert_string_equal(records, good);
        free(records);
        assert_null(strstr(world.output.err, ".tmp"));
    }
    free(good);
}

/* Two runs begin at once and share one cache. */
static void test_two_at_once(void **state)
{
    struct test_output output = {0};
    (void)state;
    const char *both = test_format("\"$0\" --quiet --config run.yaml '%s' '%s' --set=stages=[stage0] --set=name=b & "
                                   "\"$0\" --quiet --config run.yaml '%s' '%s' --set=stages=[stage0] && wait $!",
                                   BYTES, TEXT, BYTES, TEXT);
    test_run(&(struct test_program){.argv = (const char *const[]){"/bin/sh", "-c", both, world.program, NULL},
                                    .directory = world.dir},
             &output);
    if (output.exit_code != 0)
        fail_msg("exit code %d: %s", output.exit_code, output.err);
    test_output_free(&output);
    expect_same_records("runs/a", "runs/b");
}

/* A pretrained model on real text: no prepared shard, and the losses of one. */
static void test_stories(void **state)
{
    const char *model = test_shared("data/models/stories260K");
    const char *text = test_shared("data/text/tinystories-v2-excerpt.jsonl");
    (void)state;
    DATA("tokenize", test_format("--tokenizer=%s", model), "--out=shard/s", text);
    for (int shards = 0; shards < 2; shards++) {
        const char *source = shards ? "path: shard/s-000000.bin" : test_format("path: \"%s\", format: jsonl", text);
        WORLD_RUN_WITH(&world, test_format("--set=name=%c", shards ? 'b' : 'a'), "--set=stages=[stage2]",
                       test_format("--set=model={path: \"%s\"}", model),
                       test_format("--set=data={train: [{%s}], max_seq_length: 128}", source),
                       "--set=stage2={max_steps: 5, batch_size: 2, gradient_accumulation_steps: 2, scheduler: "
                       "{warmup_steps: 1}, lambda_warmup: {warmup_steps: 2}}",
                       "--set=logging={log_interval: 1, eval_interval: 0}");
        world_expect(&world, 0);
    }
    expect_same_records("runs/a", "runs/b");
    char *records = world_records(&world, "runs/a", "train");
    print_message("%s", records);
    free(records);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_text_trains_as_its_shards_do, fresh),
        cmocka_unit_test_setup(test_examples_train_as_their_masked_shards_do, fresh),
        cmocka_unit_test_setup(test_tokens_are_made_once, fresh),
        cmocka_unit_test_setup(test_resume_wants_the_same_text, fresh),
        cmocka_unit_test_setup(test_mistakes, fresh),
        cmocka_unit_test_setup(test_a_stage_with_text_of_its_own, fresh),
        cmocka_unit_test_setup(test_killed_while_tokenizing, fresh),
        cmocka_unit_test_setup(test_two_at_once, fresh),
        cmocka_unit_test_setup(test_stories, fresh),
    };
    world_make(&world, argc, argv);
    assert_true(argc > 3);
    bitnet_data = realpath(argv[3], NULL);
    write_bytes_world();
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    free(bitnet_data);
    world_finish(&world);
    return failed;
}
