/* What a run folder accepts when it is started again: the same config but for keys that change nothing of the result,
 * the same data, one process at a time. What is refused changes no file. */
#include "train_world.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/file.h"
#include "io/shard.h"

static struct train_world world;

static int setup(void **state)
{
    (void)state;
    const long operations = world_count_operations(&world);
    world_keep_good(&world);
    world_keep_interrupted(&world, operations);
    return 0;
}

static int interrupted(void **state)
{
    (void)state;
    world_copy(&world, "interrupted", "runs");
    return 0;
}

static int nothing_yet(void **state)
{
    (void)state;
    world_remove(&world, "runs");
    return 0;
}

/* One sentence, and every file as it was. */
static void refuses(int exit_code, const char *sentence, const char *argument)
{
    char expected[256]; /* the argument may be in test_format's ring */
    snprintf(expected, sizeof expected, "%s", sentence);
    char *before = world_listing(&world, "runs", true);
    WORLD_RUN_WITH(&world, argument);
    world_expect_error(&world, exit_code, expected);
    char *after = world_listing(&world, "runs", true);
    assert_string_equal(before, after);
    free(before);
    free(after);
}

static void test_changed_keys(void **state)
{
    static const struct {
        const char *argument, *sentence;
    } changes[] = {
        {"--set=seed=43", "started with seed: 42, and the config now says 43"},
        {"--set=stages=[stage0, stage1]", "started with stages: "},
        {"--set=model={path: runs/a/stage0/model}", "started with model."},
        {"--set=data.train=[{path: train.bin, weight: 0.5}]", "started with data.train"},
        {"--set=data.max_seq_length=8", "started with data.max_seq_length: 16, and the config now says 8"},
        {"--set=data.packing=false", "started with data.packing: true, and the config now says false"},
        {"--set=data.shuffle=false", "started with data.shuffle: "},
        {"--set=data.separators.before=2", "started with data.separators.before: "},
        {"--set=stage0.max_steps=7", "started with stage0.max_steps: 6, and the config now says 7"},
        {"--set=stage1.subln_init=ones", "started with stage1.subln_init: calibrated, and the config now says ones"},
        {"--set=stage2.max_steps=9", "started with stage2.max_steps: 8, and the config now says 9"},
        {"--set=stage2.activations=none", "started with stage2.activations: int8, and the config now says none"},
        {"--set=stage2.lambda_warmup.warmup_steps=2", "started with stage2.lambda_warmup.warmup_steps: "},
        {"--set=stage2.optimizer.lr=2e-3", "started with stage2.optimizer.lr: "},
        {"--set=stage2.scheduler.type=constant", "started with stage2.scheduler.type: "},
        {"--set=stage2.data={shuffle: false}", "started with stage2.data"},
        {"--set=compute.kernels=portable", "started with compute.kernels: auto, and the config now says portable"},
    };
    (void)state;
    for (size_t i = 0; i < BT_ARRAY_LEN(changes); i++)
        refuses(2, changes[i].sentence, changes[i].argument);
    world_expect_good(&world, true, "after %zu refused changes", BT_ARRAY_LEN(changes));
}

/* These end with the same model: nothing of the result hangs on them. */
static void test_keys_that_may_change(void **state)
{
    static const char *const arguments[] = {
        "--set=compute.threads=2",
        "--threads=3",
        "--set=logging.log_interval=3",
        "--set=logging.eval_interval=0",
        "--set=logging.eval_tokens=0",
        "--set=checkpoint.save_interval=5",
        "--set=checkpoint.keep_last_n=5",
        "--set=checkpoint.keep_best=false",
        "--progress=lines",
        "--set=checkpoint={save_interval: 0, keep_last_n: 1}",
    };
    (void)state;
    world_run(&world);
    world_expect(&world, 0);
    char *model = strdup(world_hash(&world, WORLD_LAST_MODEL));
    for (size_t i = 0; i < BT_ARRAY_LEN(arguments); i++) {
        interrupted(NULL);
        world_remove(&world, "runs/a/stage2/checkpoints/step-00000008"); /* two updates are left to do */
        WORLD_RUN_WITH(&world, arguments[i]);
        world_expect(&world, 0);
        if (strcmp(world_hash(&world, WORLD_LAST_MODEL), model) != 0)
            fail_msg("%s makes another model", arguments[i]);
    }
    free(model);
}

/* Another id at one place, or some tokens less. */
static void change_data(const char *name, bool shorter)
{
    struct bt_diag diag = {""};
    struct bt_shard shard = {0};
    int32_t tokens[4096];
    TEST_OK(bt_shard_open(world_path(&world, name), BT_SHARD_LLMC, &shard, &diag), diag);
    const size_t count = shard.count;
    assert_true(count <= BT_ARRAY_LEN(tokens));
    bt_shard_read(&shard, 0, count, tokens);
    bt_shard_close(&shard);
    tokens[count / 2] = 2 + tokens[count / 2] % 60;
    TEST_OK(bt_shard_write(world_path(&world, name), tokens, count - (shorter ? 10 : 0), 2, &diag), diag);
}

static void test_changed_data(void **state)
{
    static const char *const names[] = {"train.bin", "validation.bin"};
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        const char *name = names[i / 2];
        world_copy(&world, name, "kept.bin");
        change_data(name, i % 2);
        refuses(2, test_format("%s is not the data", name), "--resume=auto");
        world_copy(&world, "kept.bin", name);
    }
    world_copy(&world, "train.bin", "kept.bin");
    assert_int_equal(remove(world_path(&world, "train.bin")), 0);
    refuses(3, "train.bin", "--resume=auto");
    world_copy(&world, "kept.bin", "train.bin");
    world_expect_good(&world, true, "with the data back in place");
}

/* What the run started from is in its checkpoints: it may be gone. */
static void test_start_model_is_gone(void **state)
{
    (void)state;
    world_copy(&world, "tiny", "kept");
    world_remove(&world, "tiny");
    world_run(&world);
    world_expect(&world, 0);
    world_copy(&world, "kept", "tiny");
    world_expect_good(&world, true, "without its start model");
}

static void test_resume_option(void **state)
{
    (void)state;
    refuses(2, "runs/a holds no checkpoint and --resume is required", "--resume=required");
    assert_false(bt_file_exists(world_path(&world, "runs")));
    interrupted(NULL);
    refuses(2, "runs/a holds a run already and --resume is never; take a new name", "--resume=never");
    WORLD_RUN_WITH(&world, "--resume=required");
    world_expect(&world, 0);
    refuses(2, "runs/a holds a run already", "--resume=never"); /* finished */
    WORLD_RUN_WITH(&world, "--resume=required");
    world_expect(&world, 0);
    world_expect_good(&world, true, "resumed, refused and done");
    WORLD_RUN_WITH(&world, "--resume=never");
    world_expect(&world, 0);
    world_expect_good(&world, true, "new");
}

/* A run that is done is done: starting it again trains nothing and changes nothing. */
static void test_a_finished_run(void **state)
{
    (void)state;
    world_run(&world);
    world_expect(&world, 0);
    char *before = world_listing(&world, "runs", true);
    world.loud = true;
    world_run(&world);
    world_expect(&world, 0);
    assert_string_equal(world.output.err,
                        "stage0: finished already\nstage1: finished already\nstage2: finished already\n");
    assert_string_equal(world.output.out, "");
    world.loud = false;
    char *after = world_listing(&world, "runs", true);
    assert_string_equal(before, after);
    free(before);
    free(after);
    refuses(2, "stage0.max_steps", "--set=stage0.max_steps=7");
}

static void test_no_run_folder(void **state)
{
    (void)state;
    world_write(&world, "file", "not a folder");
    WORLD_RUN_WITH(&world, "--set=output_dir=.", "--set=name=file");
    world_expect_error(&world, 3, "./file: a file stands where the run folder should be");
    WORLD_RUN_WITH(&world, "--set=output_dir=file", "--set=name=b");
    world_expect(&world, 5);
    char *text = world_text(&world, "file");
    assert_string_equal(text, "not a folder");
    free(text);
}

/* While a long run goes on: its lock is waited for, another one is started, and then it is told to stop. */
struct intruder {
    bool done;
    struct train_world *world; /* for the second process */
};

static int intrude(void *context, double elapsed_s)
{
    struct intruder *intruder = context;
    char host[65] = "", expected[256];
    long pid;
    (void)elapsed_s;
    FILE *lock = fopen(world_path(intruder->world, "runs/a/lock"), "r");
    const bool held = lock && fscanf(lock, "%ld", &pid) == 1;
    if (lock)
        fclose(lock);
    if (intruder->done || !held)
        return 0;
    gethostname(host, sizeof host - 1);
    snprintf(expected, sizeof expected, "runs/a/lock: is in use by process %ld on host %s", pid, host);
    world_run(intruder->world);
    world_expect_error(intruder->world, 3, expected);
    WORLD_RUN_WITH(intruder->world, "--set=name=b", "--set=stages=[stage0]"); /* beside it is free */
    world_expect(intruder->world, 0);
    intruder->done = true;
    return SIGTERM;
}

static void test_in_use(void **state)
{
    (void)state;
    struct intruder intruder = {.world = &world};
    struct test_output first = {0};
    const char *const argv[] = {world.program,     "--config", "run.yaml", "--set=stage0.max_steps=1000000",
                                "--progress=none", NULL};
    test_run(
        &(struct test_program){
            .argv = argv, .directory = world.dir, .timeout_s = 120, .signal_now = intrude, .context = &intruder},
        &first);
    assert_true(intruder.done);
    if (first.exit_code != 75)
        fail_msg("exit code %d: %s", first.exit_code, first.err);
    test_output_free(&first);
    char *lock = world_text(&world, "runs/a/lock");
    assert_string_equal(lock, ""); /* nobody's */
    free(lock);
}

/* A process that was killed held the lock; the next one gets it. */
static void test_lock_of_a_dead_process(void **state)
{
    (void)state;
    char *lock = world_text(&world, "runs/a/lock");
    assert_true(strlen(lock) > 2);
    free(lock);
    world_expect_good(&world, true, "with the lock of a dead process");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_changed_keys, interrupted),
        cmocka_unit_test_setup(test_keys_that_may_change, interrupted),
        cmocka_unit_test_setup(test_changed_data, interrupted),
        cmocka_unit_test_setup(test_start_model_is_gone, interrupted),
        cmocka_unit_test_setup(test_resume_option, nothing_yet),
        cmocka_unit_test_setup(test_a_finished_run, nothing_yet),
        cmocka_unit_test_setup(test_no_run_folder, nothing_yet),
        cmocka_unit_test_setup(test_in_use, nothing_yet),
        cmocka_unit_test_setup(test_lock_of_a_dead_process, interrupted),
    };
    world_make(&world, argc, argv);
    const int failed = cmocka_run_group_tests(tests, setup, NULL);
    world_finish(&world);
    return failed;
}
