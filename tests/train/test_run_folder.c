#include "support.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/file.h"
#include "train/run_folder.h"

struct world {
    char *dir;
    char run[4096]; /* path of the run folder */
    struct bt_train_config *config;
};

/* A small config in the folder, with `extra` as further YAML lines. */
static struct bt_train_config *make_config(const char *dir, const char *extra)
{
    struct bt_diag diag;
    struct bt_train_config *config;
    const char *text = test_format("name: small\n"
                                   "output_dir: %s/runs\n"
                                   "stages: [stage1, stage2]\n"
                                   "model: {path: models/tiny}\n"
                                   "data:\n"
                                   "  train: [{path: train.bin, weight: 1.0, format: llmc}]\n"
                                   "%s",
                                   dir, extra);
    TEST_OK(bt_train_config_parse(text, strlen(text), "run.yaml", NULL, 0, &config, &diag), diag);
    return config;
}

#define STAGE2 "stage2: {max_steps: 1000, lambda_warmup: {warmup_steps: 10}}\n"

static int setup(void **state)
{
    struct world *world = calloc(1, sizeof *world);
    assert_non_null(world);
    world->dir = test_make_dir();
    world->config = make_config(world->dir, STAGE2);
    snprintf(world->run, sizeof world->run, "%s/runs/small", world->dir);
    *state = world;
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;
    bt_train_config_destroy(world->config);
    test_remove_dir(world->dir);
    free(world);
    assert_int_equal(bt_alloc_live(), 0);
    return 0;
}

static struct bt_run_folder *open_run(const struct bt_train_config *config)
{
    struct bt_diag diag;
    struct bt_run_folder *run;
    TEST_OK(bt_run_folder_open(config, &run, &diag), diag);
    return run;
}

static void start_and_close(struct world *world)
{
    struct bt_diag diag;
    struct bt_run_folder *run = open_run(world->config);
    TEST_OK(bt_run_folder_begin(run, world->config, &diag), diag);
    bt_run_folder_close(run);
}

static void test_paths(void **state)
{
    struct world *world = *state;
    struct bt_run_folder *run = open_run(world->config);
    assert_string_equal(bt_run_path(run), world->run);
    assert_string_equal(bt_run_metrics(run), test_format("%s/metrics.jsonl", world->run));
    char *path = bt_run_stage_path(run, BT_STAGE1_9, "checkpoints");
    assert_string_equal(path, test_format("%s/stage1_9/checkpoints", world->run));
    bt_free(path);
    assert_true(bt_dir_exists(world->run));
    assert_false(bt_file_exists(test_format("%s/stage1_9", world->run)));
    assert_false(bt_file_exists(test_format("%s/config.yaml", world->run)));
    bt_run_folder_close(run);
    bt_run_folder_close(NULL);
}

/* A child tries while the parent holds the folder, and again when the parent has let go. */
static void test_in_use_by_another_process(void **state)
{
    struct world *world = *state;
    int status;
    struct bt_run_folder *run = open_run(world->config);
    const pid_t parent = getpid(), child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct bt_diag diag = {0};
        struct bt_run_folder *second;
        char holder[32];
        snprintf(holder, sizeof holder, " %d ", (int)parent);
        const enum bt_err err = bt_run_folder_open(world->config, &second, &diag);
        _exit(err == BT_EINPUT && strstr(diag.text, holder) && strstr(diag.text, world->run) ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    bt_run_folder_close(run);
    bt_run_folder_close(open_run(world->config));
}

static void test_a_file_in_its_place(void **state)
{
    struct world *world = *state;
    struct bt_diag diag = {0};
    struct bt_run_folder *run;
    assert_int_equal(mkdir(test_format("%s/runs", world->dir), 0777), 0);
    test_write_file(world->run, "", 0);
    assert_int_equal(bt_run_folder_open(world->config, &run, &diag), BT_EINPUT);
    assert_non_null(strstr(diag.text, world->run));
}

static void test_a_folder_that_cannot_be_made(void **state)
{
    struct world *world = *state;
    struct bt_diag diag = {0};
    struct bt_run_folder *run;
    test_write_file(test_format("%s/runs", world->dir), "", 0);
    assert_int_equal(bt_run_folder_open(world->config, &run, &diag), BT_EIO);
    assert_non_null(strstr(diag.text, test_format("%s/runs: ", world->dir)));
}

static void test_config_of_the_newest_start(void **state)
{
    struct world *world = *state;
    start_and_close(world);
    char *printed = bt_train_config_print(world->config);
    char *kept = (char *)test_read_file(test_format("%s/config.yaml", world->run), NULL);
    assert_string_equal(kept, printed);
    free(kept);
    bt_free(printed);
    start_and_close(world); /* the same again */
}

static void expect_other_config_fits(struct world *world, const char *extra)
{
    struct bt_train_config *other = make_config(world->dir, extra);
    bt_run_folder_close(open_run(other));
    bt_train_config_destroy(other);
}

static void test_keys_that_may_change(void **state)
{
    struct world *world = *state;
    start_and_close(world);
    expect_other_config_fits(world, STAGE2 "compute: {threads: 3}\n");
    expect_other_config_fits(world, STAGE2 "logging: {log_interval: 1, eval_interval: 7, eval_tokens: 64}\n");
    expect_other_config_fits(world, STAGE2 "checkpoint: {save_interval: 5, keep_last_n: 1}\n");
}

static void expect_refused(struct world *world, const char *extra, const char *key, const char *old_value,
                           const char *new_value)
{
    struct bt_diag diag = {0};
    struct bt_run_folder *run;
    struct bt_train_config *other = make_config(world->dir, extra);
    assert_int_equal(bt_run_folder_open(other, &run, &diag), BT_EUSAGE);
    const char *wanted[] = {test_format("%s/config.yaml: ", world->run), key, old_value, new_value, "new name"};
    for (size_t i = 0; i < BT_ARRAY_LEN(wanted); i++)
        if (!strstr(diag.text, wanted[i]))
            fail_msg("\"%s\" is not in: %s", wanted[i], diag.text);
    bt_train_config_destroy(other);
}

static void test_keys_that_may_not_change(void **state)
{
    struct world *world = *state;
    start_and_close(world);
    expect_refused(world, "stage2: {max_steps: 2000, lambda_warmup: {warmup_steps: 10}}\n", "stage2.max_steps", "1000",
                   "2000");
    expect_refused(world, STAGE2 "seed: 7\n", "seed", "42", "7");
    expect_refused(world, STAGE2 "compute: {kernels: avx2}\n", "compute.kernels", "auto", "avx2");
    start_and_close(world); /* the folder is free and unchanged after a refusal */
}

static void make_in_run(struct world *world, const char *path)
{
    struct bt_diag diag;
    TEST_OK(bt_dir_make(test_format("%s/%s", world->run, path), &diag), diag);
}

static void expect_progress(struct world *world, bool progress, bool stage1_finished)
{
    struct bt_run_folder *run = open_run(world->config);
    assert_int_equal(bt_run_has_progress(run, world->config), progress);
    assert_int_equal(bt_run_stage_finished(run, BT_STAGE1), stage1_finished);
    assert_false(bt_run_stage_finished(run, BT_STAGE2));
    bt_run_folder_close(run);
}

static void test_progress_is_a_checkpoint_or_a_finished_stage(void **state)
{
    struct world *world = *state;
    expect_progress(world, false, false);
    make_in_run(world, "stage2/checkpoints/.tmp-step-00000100");
    make_in_run(world, "stage3/checkpoints/step-00000100"); /* not a stage of this config */
    expect_progress(world, false, false);
    make_in_run(world, "stage2/checkpoints/step-00000100");
    expect_progress(world, true, false);
    make_in_run(world, "stage1/model");
    expect_progress(world, true, true);
}

static void test_a_stage_finishes_while_the_run_is_open(void **state)
{
    struct world *world = *state;
    struct bt_run_folder *run = open_run(world->config);
    assert_false(bt_run_stage_finished(run, BT_STAGE1));
    make_in_run(world, "stage1/model");
    assert_true(bt_run_stage_finished(run, BT_STAGE1));
    assert_true(bt_run_has_progress(run, world->config));
    bt_run_folder_close(run);
}

static void expect_summary(struct world *world, const char *want)
{
    char *text = (char *)test_read_file(test_format("%s/summary.json", world->run), NULL);
    json_t *summary = json_loads(text, 0, NULL), *stages = json_object_get(summary, "stages");
    char *got = bt_json_text(stages, JSON_COMPACT);
    assert_string_equal(json_string_value(json_object_get(summary, "name")), "small");
    assert_non_null(json_string_value(json_object_get(summary, "version")));
    assert_string_equal(got, want);
    bt_free(got);
    json_decref(summary);
    free(text);
}

static void test_summary_keeps_the_other_stages(void **state)
{
    struct world *world = *state;
    struct bt_diag diag;
    struct bt_run_folder *run = open_run(world->config);
    TEST_OK(bt_run_summary(run, BT_STAGE1, json_pack("{s:i}", "steps", 0), &diag), diag);
    expect_summary(world, "{\"stage1\":{\"steps\":0}}");
    TEST_OK(bt_run_summary(run, BT_STAGE2, json_pack("{s:i}", "steps", 10), &diag), diag);
    expect_summary(world, "{\"stage1\":{\"steps\":0},\"stage2\":{\"steps\":10}}");
    TEST_OK(bt_run_summary(run, BT_STAGE1, json_pack("{s:i}", "tokens", 5), &diag), diag);
    expect_summary(world, "{\"stage1\":{\"tokens\":5},\"stage2\":{\"steps\":10}}");
    assert_int_equal(bt_run_summary(run, BT_STAGE1, NULL, &diag), BT_ENOMEM);
    bt_run_folder_close(run);
}

static void test_a_broken_summary_is_named_and_kept(void **state)
{
    static const char *const texts[] = {"{\"stages\": ", "[]", ""};
    struct world *world = *state;
    struct bt_run_folder *run = open_run(world->config);
    const char *path = test_format("%s/summary.json", world->run);
    for (size_t i = 0; i < BT_ARRAY_LEN(texts); i++) {
        struct bt_diag diag = {0};
        test_write_file(path, texts[i], strlen(texts[i]));
        assert_int_equal(bt_run_summary(run, BT_STAGE1, json_object(), &diag), BT_EINPUT);
        assert_non_null(strstr(diag.text, path));
        char *kept = (char *)test_read_file(path, NULL);
        assert_string_equal(kept, texts[i]);
        free(kept);
    }
    bt_run_folder_close(run);
}

static long operations_left;

static int full_disk(const char *op, const char *path)
{
    (void)op;
    (void)path;
    return operations_left-- == 0 ? ENOSPC : 0;
}

/* Whatever fails, the file holds the old content or the new. */
static void test_full_disk(void **state)
{
    struct world *world = *state;
    struct bt_run_folder *run = open_run(world->config);
    enum bt_err err = BT_EIO;
    for (long k = 0; err; k++) {
        struct bt_diag diag = {0};
        TEST_OK(bt_run_summary(run, BT_STAGE1, json_pack("{s:i}", "a", 1), &diag), diag);
        operations_left = k;
        bt_io_hook = full_disk;
        err = bt_run_summary(run, BT_STAGE1, json_pack("{s:i}", "b", 2), &diag);
        bt_io_hook = NULL;
        assert_true(err == BT_OK || err == BT_EIO);
        assert_true(err == BT_OK || strstr(diag.text, strerror(ENOSPC)));
        char *text = (char *)test_read_file(test_format("%s/summary.json", world->run), NULL);
        assert_true(strstr(text, "\"a\": 1") || strstr(text, "\"b\": 2"));
        assert_int_equal(text[strlen(text) - 1], '\n');
        free(text);
    }
    bt_run_folder_close(run);
}

static enum bt_err allocations(void *context)
{
    struct world *world = context;
    struct bt_diag diag;
    struct bt_run_folder *run;
    enum bt_err err = bt_run_folder_open(world->config, &run, &diag);
    if (err)
        return err;
    if (!(err = bt_run_folder_begin(run, world->config, &diag)))
        err = bt_run_summary(run, BT_STAGE2, json_object(), &diag);
    bt_run_folder_close(run);
    return err;
}

static void test_every_allocation_failing(void **state)
{
    struct world *world = *state;
    start_and_close(world);
    make_in_run(world, "stage2/checkpoints/step-00000100");
    test_every_allocation_fails(allocations, world);
}

#define WORLD_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(test_paths),
        WORLD_TEST(test_in_use_by_another_process),
        WORLD_TEST(test_a_file_in_its_place),
        WORLD_TEST(test_a_folder_that_cannot_be_made),
        WORLD_TEST(test_config_of_the_newest_start),
        WORLD_TEST(test_keys_that_may_change),
        WORLD_TEST(test_keys_that_may_not_change),
        WORLD_TEST(test_progress_is_a_checkpoint_or_a_finished_stage),
        WORLD_TEST(test_a_stage_finishes_while_the_run_is_open),
        WORLD_TEST(test_summary_keeps_the_other_stages),
        WORLD_TEST(test_a_broken_summary_is_named_and_kept),
        WORLD_TEST(test_full_disk),
        WORLD_TEST(test_every_allocation_failing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
