/* bitnet-train's command line and config as a user meets them: what it prints, where, and how it refuses. */
#include "train_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/file.h"

static struct train_world world;

static int nothing_yet(void **state)
{
    (void)state;
    world.loud = false;
    world_remove(&world, "runs");
    return 0;
}

/* In the folder, with these arguments alone. */
static void run_bare(const char *const *args)
{
    const char *argv[16] = {world.program};
    for (size_t i = 0; args[i]; i++)
        argv[1 + i] = args[i];
    test_output_free(&world.output);
    test_run(&(struct test_program){.argv = argv, .directory = world.dir}, &world.output);
}
#define RUN_BARE(...) run_bare((const char *const[]){__VA_ARGS__, NULL})

static void test_help(void **state)
{
    static const char *const options[] = {"usage: bitnet-train --config run.yaml",
                                          "--config FILE",
                                          "--set KEY=VALUE",
                                          "--resume auto|never|required",
                                          "--threads N",
                                          "--dry-run",
                                          "--print-config",
                                          "--progress auto|bar|lines|none",
                                          "--help",
                                          "--version",
                                          "--quiet"};
    (void)state;
    RUN_BARE("--help");
    world_expect(&world, 0);
    assert_string_equal(world.output.err, "");
    for (size_t i = 0; i < BT_ARRAY_LEN(options); i++)
        if (!strstr(world.output.out, options[i]))
            fail_msg("--help does not speak of %s", options[i]);
    RUN_BARE("--version");
    world_expect(&world, 0);
    assert_int_equal(strncmp(world.output.out, "bitnet-train ", 13), 0);
    assert_ptr_equal(strchr(world.output.out, '\n'), world.output.out + strlen(world.output.out) - 1);
}

static void test_command_line(void **state)
{
    static const struct {
        const char *args[5], *sentence;
    } lines[] = {
        {{"--quiet"}, "--config FILE is missing"},
        {{"--confg=run.yaml"}, "unknown option \"--confg\"; did you mean \"--config\"?"},
        {{"--config"}, "--config needs a value: FILE"},
        {{"--config=run.yaml", "more"}, "there is no use for the argument \"more\""},
        {{"--config=absent.yaml"}, "absent.yaml: cannot open: "},
        {{"--config=."}, "."},
        {{"--config=run.yaml", "--resume=maybe"}, "--resume: found \"maybe\", expected one of auto|never|required"},
        {{"--config=run.yaml", "--threads=0"}, "--threads: found \"0\""},
        {{"--config=run.yaml", "--threads=5000"}, "--threads: found 5000, expected a whole number from 1 to 4096"},
        {{"--config=run.yaml", "--threads=4294967297"}, "--threads: found 4294967297"},
        {{"--config=run.yaml", "--progress=none", "--set", "seed"}, "--set seed: expected key.path=value"},
    };
    (void)state;
    char *before = world_listing(&world, ".", true);
    for (size_t i = 0; i < BT_ARRAY_LEN(lines); i++) {
        run_bare(lines[i].args);
        world_expect_error(&world, 2, lines[i].sentence);
    }
    char *after = world_listing(&world, ".", true);
    assert_string_equal(before, after);
    free(before);
    free(after);
}

/* The config with one text in place of another. */
static char *edited(const char *text, const char *from, const char *to)
{
    const char *at = strstr(text, from);
    assert_non_null(at);
    const size_t size = strlen(text) + strlen(to) + 1;
    char *result = malloc(size);
    assert_non_null(result);
    snprintf(result, size, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    return result;
}

/* What is wrong in the file is said with its line and column, and nothing is made. */
static void test_config_errors(void **state)
{
    static const struct {
        const char *from, *to, *sentence;
    } edits[] = {
        {"name: a\n", "name: a\n  bad: [\n", "edited.yaml:2:6: this is not valid YAML"},
        {"name: a\n", "name: a\nnam: b\n", "edited.yaml:2:1: unknown key \"nam\"; did you mean \"name\"?"},
        {"name: a\n", "name: a\nname: b\n", "edited.yaml:2:1: "},
        {"name: a\n", "", "edited.yaml: missing required key \"name\""},
        {"name: a\n", "name: a/b\n", "edited.yaml:1:1: name: found \"a/b\", expected the plain name of a folder"},
        {"max_seq_length: 16", "packing: perhaps", "edited.yaml:7:12: data.packing: "},
        {"max_seq_length: 16", "max_seq_length: sixteen", "edited.yaml:7:19: "},
        {"max_seq_length: 16", "max_seq_length: 0", "edited.yaml:7:19: "},
        {"max_seq_length: 16", "max_seq_lenght: 16",
         "edited.yaml:7:3: unknown key \"data.max_seq_lenght\"; did you mean \"max_seq_length\"?"},
        {"config: tiny/config.json", "config: tiny/config.json, path: tiny", "found both \"path\" and \"config\""},
        {"{config: tiny/config.json}", "{}", "model: missing \"path\" (a model folder) or \"config\""},
        {"stage2: {max_steps: 8", "stage2: {max_steps: 8, total_tokens: 5", "expected exactly one of the two"},
        {"stage2: {max_steps: 8", "stage2: {batch_size: 8", "edited.yaml:10:25: duplicate key \"batch_size\""},
        {"lambda_warmup: {warmup_steps: 3}", "lambda_warmup: {warmup_steps: 8}", "stage2.lambda_warmup.warmup_steps"},
        {"[stage0, stage1, stage2]", "[stage0, stage4]", "stages[1]"},
        {"[stage0, stage1, stage2]", "[stage2, stage1]", "stage"},
        {"[stage0, stage1, stage2]", "[]", "stages"},
        {"[{path: train.bin}]", "[]", "missing \"data.train\""},
        {"[{path: train.bin}]", "[{path: train.bin, weight: 0}]", "data.train[0].weight"},
        {"[{path: train.bin}]", "[{path: train.bin, format: bin}]", "data.train[0].format"},
        {"name: a\n", "name: ${NO_SUCH_VARIABLE}\n", "NO_SUCH_VARIABLE"},
    };
    (void)state;
    char *config = world_text(&world, "run.yaml");
    for (size_t i = 0; i < BT_ARRAY_LEN(edits); i++) {
        char *text = edited(config, edits[i].from, edits[i].to);
        world_write(&world, "edited.yaml", text);
        free(text);
        RUN_BARE("--config", "edited.yaml", "--quiet");
        world_expect_error(&world, 2, edits[i].sentence);
        assert_false(bt_file_exists(world_path(&world, "runs")));
    }
    free(config);
}

static void test_print_config(void **state)
{
    (void)state;
    WORLD_RUN_WITH(&world, "--print-config", "--set", "stage2.optimizer.lr=0.25", "--set=data.separators.before=1",
                   "--threads=3");
    world_expect(&world, 0);
    assert_string_equal(world.output.err, "");
    char *first = strdup(world.output.out);
    assert_non_null(strstr(first, "lr: 0.25"));
    assert_non_null(strstr(first, "threads: 3"));
    assert_non_null(strstr(first, "max_skipped_updates: 20")); /* a default */
    world_write(&world, "printed.yaml", first);
    RUN_BARE("--config=printed.yaml", "--print-config");
    world_expect(&world, 0);
    assert_string_equal(world.output.out, first);
    free(first);
    assert_false(bt_file_exists(world_path(&world, "runs")));
}

/* The config that a run keeps runs the same; ${NAME} is kept as it was typed. */
static void test_kept_config(void **state)
{
    static const char *const env[] = {"SHARD=train.bin", NULL};
    (void)state;
    world_run_program(&world, world.program, env,
                      (const char *const[]){"--set=data.train=[{path: \"${SHARD}\"}]", NULL});
    world_expect(&world, 0);
    char *model = strdup(world_hash(&world, WORLD_LAST_MODEL));
    char *kept = world_text(&world, "runs/a/config.yaml");
    assert_non_null(strstr(kept, "${SHARD}"));
    world_write(&world, "kept.yaml", kept);
    free(kept);
    world_remove(&world, "runs");
    test_output_free(&world.output);
    test_run(&(struct test_program){.argv = (const char *[]){world.program, "--config", "kept.yaml", NULL},
                                    .env = env,
                                    .directory = world.dir},
             &world.output);
    world_expect(&world, 0);
    assert_string_equal(world_hash(&world, WORLD_LAST_MODEL), model);
    free(model);
}

/* "updates   8" of one stage's part of the report. */
static double reported(const char *report, const char *stage, const char *label)
{
    const char *at = strstr(report, stage);
    assert_non_null(at);
    at = strstr(at, label);
    assert_non_null(at);
    return strtod(at + strlen(label), NULL);
}

static void test_dry_run(void **state)
{
    (void)state;
    world.loud = true;
    char *before = world_listing(&world, ".", true);
    WORLD_RUN_WITH(&world, "--dry-run");
    world_expect(&world, 0);
    assert_string_equal(world.output.err, "");
    char *after = world_listing(&world, ".", true);
    assert_string_equal(before, after);
    free(before);
    free(after);
    assert_int_equal((int)reported(world.output.out, "stage0\n", "parameters"), 17568);
    assert_int_equal((int)reported(world.output.out, "stage0\n", "updates"), 6);
    assert_int_equal((int)reported(world.output.out, "stage2\n", "parameters"), 17568 + 2 * (32 + 48));
    assert_int_equal((int)reported(world.output.out, "stage2\n", "updates"), 8);
    assert_int_equal((int)reported(world.output.out, "stage2\n", "tokens of an epoch"), 4000);
    assert_true(reported(world.output.out, "run\n", "peak memory") > 0);
    assert_non_null(strstr(world.output.out, "stage1\n"));
}

/* The disk that --dry-run speaks of is enough. */
static void test_disk_of_a_dry_run(void **state)
{
    struct test_output du = {0};
    (void)state;
    WORLD_RUN_WITH(&world, "--dry-run");
    const char *line = strstr(strstr(world.output.out, "run\n"), "disk");
    double planned = strtod(line + 4, NULL);
    planned *= strstr(line, "MB") ? 1e6 : 1e3;
    world_run(&world);
    world_expect(&world, 0);
    test_run_expect(0, &du, "/usr/bin/du", "-s", "--apparent-size", "--block-size=1", world_path(&world, "runs"), NULL);
    const double used = strtod(du.out, NULL);
    print_message("planned %.0f bytes, used %.0f at the end\n", planned, used);
    assert_true(used <= planned && used > planned / 4);
    test_output_free(&du);
}

static size_t lines_of(const char *text)
{
    size_t count = 0;
    for (; *text; text++)
        count += *text == '\n';
    return count;
}

/* Training writes nothing to stdout: its results are files. stderr is for the person, as much as was asked for. */
static void test_streams(void **state)
{
    (void)state;
    world.loud = true;
    WORLD_RUN_WITH(&world, "--progress=lines");
    world_expect(&world, 0);
    assert_string_equal(world.output.out, "");
    assert_non_null(strstr(world.output.err, "stage0 6/6  loss "));
    assert_non_null(strstr(world.output.err, "stage1: validation loss "));
    assert_non_null(strstr(world.output.err, "stage2 8/8  validation loss "));
    const size_t all = lines_of(world.output.err);
    world_remove(&world, "runs");
    WORLD_RUN_WITH(&world, "--progress=none");
    world_expect(&world, 0);
    assert_null(strstr(world.output.err, "tokens/s"));
    assert_int_equal(lines_of(world.output.err), all - 6 - 8);
    world_remove(&world, "runs");
    WORLD_RUN_WITH(&world, "--progress=bar");
    world_expect(&world, 0);
    assert_non_null(strstr(world.output.err, "\r"));
    world_remove(&world, "runs");
    WORLD_RUN_WITH(&world, "--progress=bar", "--quiet");
    world_expect(&world, 0);
    assert_string_equal(world.output.err, "");
    assert_string_equal(world.output.out, "");
}

static void test_full_stdout(void **state)
{
    (void)state;
    test_output_free(&world.output);
    test_run(&(struct test_program){.argv = (const char *[]){"/bin/sh", "-c",
                                                             "exec \"$0\" --config run.yaml --print-config >/dev/full",
                                                             world.program, NULL},
                                    .directory = world.dir},
             &world.output);
    world_expect_error(&world, 5, "standard output");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_help, nothing_yet),
        cmocka_unit_test_setup(test_command_line, nothing_yet),
        cmocka_unit_test_setup(test_config_errors, nothing_yet),
        cmocka_unit_test_setup(test_print_config, nothing_yet),
        cmocka_unit_test_setup(test_kept_config, nothing_yet),
        cmocka_unit_test_setup(test_dry_run, nothing_yet),
        cmocka_unit_test_setup(test_disk_of_a_dry_run, nothing_yet),
        cmocka_unit_test_setup(test_streams, nothing_yet),
        cmocka_unit_test_setup(test_full_stdout, nothing_yet),
    };
    world_make(&world, argc, argv);
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    world_finish(&world);
    return failed;
}
