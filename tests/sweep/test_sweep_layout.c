/* From a sweep's file and its base config to runs: their names, hashes, twins, and what they share. */
#include "support.h"

#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "sweep/sweep.h"

static const char base[] =
    "name: base\n"
    "stages: [stage0, stage1, stage2]\n"
    "model: {config: tiny.json}\n"
    "data: {train: [{path: train.bin}], validation: [{path: validation.bin}]}\n"
    "stage0: {max_steps: 100}\n"
    "stage2: {max_steps: 100, lambda_warmup: {warmup_steps: 10}, scheduler: {warmup_steps: 5}}\n";

static char *dir;

static enum bt_err lay_out(const char *text, const char *const *sets, struct bt_sweep **ret_sweep, struct bt_diag *diag)
{
    struct bt_sweep_file *file = NULL;
    size_t count = 0;
    while (sets && sets[count])
        count++;
    const enum bt_err err = bt_sweep_file_parse(text, strlen(text), "s.yaml", &file, diag);
    return err ? err : bt_sweep_lay_out(file, sets, count, ret_sweep, diag);
}

/* The sweep of what follows name and config. */
static struct bt_sweep *good(const char *rest)
{
    struct bt_diag diag = {""};
    struct bt_sweep *sweep = NULL;
    TEST_OK(lay_out(test_format("name: s\nconfig: base.yaml\n%s", rest), NULL, &sweep, &diag), diag);
    return sweep;
}

static void expect_error(const char *rest, const char *sentence)
{
    struct bt_diag diag = {""};
    struct bt_sweep *sweep;
    assert_int_equal(lay_out(test_format("name: s\nconfig: base.yaml\n%s", rest), NULL, &sweep, &diag), BT_EUSAGE);
    if (!strstr(diag.text, sentence))
        fail_msg("said: %s\nexpected: %s", diag.text, sentence);
}

/* The name without its hash, which must be 8 digits. */
static const char *stem(const struct bt_sweep *sweep, size_t run)
{
    const char *name = sweep->runs[run].name, *dash = strrchr(name, '-');
    assert_non_null(dash);
    assert_int_equal(strspn(dash + 1, "0123456789abcdef"), 8);
    assert_int_equal(strlen(dash), 9);
    return test_format("%.*s", (int)(dash - name), name);
}

static void test_names(void **state)
{
    (void)state;
    struct bt_sweep *sweep = good("grid:\n  stage2.optimizer.lr: [1e-3, 2.0e-3]\n"
                                  "  stage2.scheduler.warmup_steps: [5]\n  stage2.lambda_warmup.warmup_steps: [3]\n"
                                  "  stage1.exclude_layers: [[\"model.layers.0.*\", x]]\nseeds: [7]\n");
    assert_int_equal(sweep->member_count, 2);
    assert_string_equal(sweep->labels[0], "lr");
    assert_string_equal(sweep->labels[1], "scheduler.warmup_steps");
    assert_string_equal(sweep->labels[2], "lambda_warmup.warmup_steps");
    assert_string_equal(stem(sweep, 0), "lr=0.001,scheduler.warmup_steps=5,lambda_warmup.warmup_steps=3,"
                                        "exclude_layers=model.layers.0._,x,seed=7");
    assert_string_equal(sweep->runs[1].values[0], "0.002");
    assert_string_equal(sweep->folder, "runs/s");
    assert_string_equal(sweep->runs[0].path, test_format("runs/s/%s", sweep->runs[0].name));
    assert_string_equal(sweep->runs[0].config->name, sweep->runs[0].name);
    assert_string_equal(sweep->runs[0].config->output_dir, "runs/s");
    assert_true(sweep->runs[1].config->stage2.optimizer.lr == 2e-3);
    assert_int_equal(sweep->runs[1].config->seed, 7);
    char *path = bt_sweep_member_path(sweep, &sweep->runs[0], ".log");
    assert_string_equal(path, test_format("runs/s/members/%s.log", sweep->runs[0].name));
    bt_free(path);
    bt_sweep_destroy(sweep);
}

static void test_long_values_make_no_long_names(void **state)
{
    char list[2048] = "list: [{data.train: [{path: \"";
    (void)state;
    memset(list + strlen(list), 'x', 1500);
    strcat(list, "\"}]}]\n");
    struct bt_sweep *sweep = good(list);
    assert_in_range(strlen(sweep->runs[0].name), 100, 200);
    bt_sweep_destroy(sweep);
}

static void test_no_key_varies(void **state)
{
    (void)state;
    struct bt_sweep *sweep = good("set: {stage2.max_steps: 50}\n");
    assert_int_equal(sweep->run_count, 1);
    assert_string_equal(stem(sweep, 0), "base");
    assert_int_equal(sweep->runs[0].config->stage2.max_steps, 50);
    bt_sweep_destroy(sweep);
}

/* What the hash is of: the config that runs, however it was written, but not where, nor with how many threads. */
static void test_hashes(void **state)
{
    struct bt_diag diag = {""};
    struct bt_sweep *moved = NULL;
    (void)state;
    struct bt_sweep *sweep = good("grid: {stage2.optimizer.lr: [1e-3, 2e-3]}\n");
    struct bt_sweep *same = good("set: {stage2.optimizer: {lr: 0.001}}\n");
    struct bt_sweep *other = good("set: {logging.log_interval: 5}\ngrid: {stage2.optimizer.lr: [1e-3]}\n");
    TEST_OK(lay_out("name: t\noutput_dir: elsewhere\nthreads: 3\nconfig: base.yaml\n",
                    (const char *const[]){"stage2.optimizer.lr=.001", NULL}, &moved, &diag),
            diag);
    assert_true(sweep->runs[0].hash != sweep->runs[1].hash);
    assert_true(sweep->runs[0].hash == same->runs[0].hash);
    assert_true(sweep->runs[0].hash == moved->runs[0].hash);
    assert_true(sweep->runs[0].hash != other->runs[0].hash);
    bt_sweep_destroy(sweep);
    bt_sweep_destroy(same);
    bt_sweep_destroy(other);
    bt_sweep_destroy(moved);
}

static void test_the_same_run_twice_is_one(void **state)
{
    (void)state;
    struct bt_sweep *sweep = good("list:\n  - {stage2.optimizer.lr: 1e-3}\n  - {stage2.optimizer.lr: 0.001}\n"
                                  "  - {stage2.optimizer.lr: 2e-3}\n");
    assert_int_equal(sweep->member_count, 2);
    assert_int_equal(sweep->repeated, 1);
    bt_sweep_destroy(sweep);
}

/* ---- twins ---- */

static void test_twins(void **state)
{
    (void)state;
    struct bt_sweep *sweep = good("twins: true\ngrid:\n  stage2.optimizer.lr: [1e-3, 2e-3]\n"
                                  "  stage2.lambda_warmup.warmup_steps: [10, 20]\n");
    assert_int_equal(sweep->member_count, 4 + 2);
    for (size_t i = 0; i < 4; i++) {
        const struct bt_sweep_run *run = &sweep->runs[i], *twin = &sweep->runs[run->twin];
        assert_false(run->is_twin);
        assert_true(twin->is_twin);
        assert_true(twin->config->stage2.weights == BT_WEIGHTS_NONE);
        assert_true(twin->config->stage2.activations == BT_ACTIVATIONS_NONE);
        assert_true(twin->config->stage2.optimizer.lr == run->config->stage2.optimizer.lr);
        assert_true(twin->parent == run->parent); /* the same start */
        assert_true(twin->twin == BT_SWEEP_NONE);
        assert_null(twin->values[1]);
    }
    assert_true(sweep->runs[0].twin == sweep->runs[1].twin);
    assert_string_equal(stem(sweep, sweep->runs[2].twin), "lr=0.002,twin");
    bt_sweep_destroy(sweep);
}

static void test_float_members_have_no_twin(void **state)
{
    (void)state;
    struct bt_sweep *sweep = good("twins: true\nset: {stage2.weights: none, stage2.activations: none}\n");
    assert_int_equal(sweep->member_count, 1);
    assert_true(sweep->runs[0].twin == BT_SWEEP_NONE);
    bt_sweep_destroy(sweep);
}

/* ---- what is shared ---- */

static const struct bt_sweep_run *parent_of(const struct bt_sweep *sweep, const struct bt_sweep_run *run)
{
    return run->parent == BT_SWEEP_NONE ? NULL : &sweep->runs[run->parent];
}

static void test_shared_stages(void **state)
{
    (void)state;
    struct bt_sweep *sweep = good("grid:\n  stage1.subln_init: [ones, calibrated]\n"
                                  "  stage2.optimizer.lr: [1e-3, 2e-3]\nseeds: [1, 2]\n");
    assert_int_equal(sweep->member_count, 8);
    assert_int_equal(sweep->run_count, 8 + 4 + 2); /* conversions of each kind and seed, float models of each seed */
    for (size_t i = 0; i < 8; i++) {
        const struct bt_sweep_run *run = &sweep->runs[i];
        const struct bt_sweep_run *converted = parent_of(sweep, run);
        assert_non_null(converted);
        const struct bt_sweep_run *pretrained = parent_of(sweep, converted);
        assert_non_null(pretrained);
        assert_true(converted->is_shared && pretrained->is_shared);
        assert_int_equal(converted->config->stage_count, 2);
        assert_int_equal(pretrained->config->stage_count, 1);
        assert_int_equal(converted->config->seed, run->config->seed);
        assert_int_equal(pretrained->config->seed, run->config->seed);
        assert_true(converted->config->stage1.subln_init == run->config->stage1.subln_init);
        assert_false(converted->config->stage2.present);
        assert_null(parent_of(sweep, pretrained));
    }
    assert_true(sweep->runs[0].parent == sweep->runs[2].parent); /* they differ in the learning rate alone */
    assert_true(sweep->runs[0].parent != sweep->runs[4].parent);
    assert_int_equal(strncmp(parent_of(sweep, sweep->runs)->name, "shared-stage0-stage1-", 21), 0);
    bt_sweep_destroy(sweep);
}

/* Nothing is gained by a run of its own when no other member needs it, or all of them need the longer one. */
static void test_nothing_to_share(void **state)
{
    (void)state;
    struct bt_sweep *apart = good("seeds: [1, 2, 3]\n");
    assert_int_equal(apart->run_count, 3);
    bt_sweep_destroy(apart);
    struct bt_sweep *alike = good("grid: {stage2.optimizer.lr: [1e-3, 2e-3]}\n");
    assert_int_equal(alike->run_count, 2 + 1);
    assert_int_equal(alike->runs[2].config->stage_count, 2);
    assert_true(alike->runs[2].parent == BT_SWEEP_NONE);
    bt_sweep_destroy(alike);
}

/* Stage 1 of a model folder is the same for all seeds. */
static void test_conversion_needs_no_seed(void **state)
{
    (void)state;
    struct bt_sweep *sweep = good("set: {model: {path: float}, stages: [stage1, stage2]}\nseeds: [1, 2]\n");
    assert_int_equal(sweep->run_count, 2 + 1);
    assert_true(sweep->runs[0].parent == 2 && sweep->runs[1].parent == 2);
    bt_sweep_destroy(sweep);
    sweep = good("set: {stages: [stage1, stage2]}\nseeds: [1, 2]\n"); /* random weights: it does */
    assert_int_equal(sweep->run_count, 2);
    bt_sweep_destroy(sweep);
}

/* ---- what configs/sweeps has ---- */

static void test_sweeps_to_start_from(void **state)
{
    glob_t found = {0};
    (void)state;
    assert_int_equal(chdir(BT_SOURCE_DIR), 0); /* where their base configs are */
    assert_int_equal(glob("configs/sweeps/*.yaml", 0, NULL, &found), 0);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        struct bt_diag diag = {""};
        struct bt_sweep_file *file;
        struct bt_sweep *sweep;
        TEST_OK(bt_sweep_file_read(found.gl_pathv[i], &file, &diag), diag);
        TEST_OK(bt_sweep_lay_out(file, NULL, 0, &sweep, &diag), diag);
        assert_true(sweep->member_count > 1);
        assert_int_equal(sweep->repeated, 0);
        bt_sweep_destroy(sweep);
    }
    globfree(&found);
    assert_int_equal(chdir(dir), 0);
}

/* ---- what is refused ---- */

static void test_errors(void **state)
{
    (void)state;
    expect_error("grid: {stage2.optimzer.lr: [1e-3]}\n",
                 "s.yaml: --set stage2.optimzer.lr=1e-3: unknown key \"stage2.optimzer\"; did you mean \"optimizer\"?");
    expect_error("grid: {stage2.optimizer.lr: [1e-3, fast]}\n", "found the string \"fast\"");
    expect_error("grid: {stage2.scheduler.warmup_steps: [5, 500]}\n", "the warm-up of 500 updates");
    expect_error("seeds: [1, x]\n", "seed: found the string \"x\"");
}

static enum bt_err lay_out_and_forget(void *context)
{
    struct bt_diag diag;
    struct bt_sweep *sweep = NULL;
    const enum bt_err err = lay_out(context, (const char *const[]){"stage2.max_steps=90", NULL}, &sweep, &diag);
    bt_sweep_destroy(sweep);
    return err;
}

static void test_memory(void **state)
{
    static char text[] = "name: s\nconfig: base.yaml\ntwins: true\ngrid: {stage2.optimizer.lr: [1e-3, 2e-3]}\n";
    (void)state;
    test_every_allocation_fails(lay_out_and_forget, text);
}

static int setup(void **state)
{
    (void)state;
    dir = test_make_dir();
    test_write_file(test_format("%s/base.yaml", dir), base, strlen(base));
    return chdir(dir);
}

static int teardown(void **state)
{
    (void)state;
    test_remove_dir(dir);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_long_values_make_no_long_names),
        cmocka_unit_test(test_no_key_varies),
        cmocka_unit_test(test_hashes),
        cmocka_unit_test(test_the_same_run_twice_is_one),
        cmocka_unit_test(test_twins),
        cmocka_unit_test(test_float_members_have_no_twin),
        cmocka_unit_test(test_shared_stages),
        cmocka_unit_test(test_nothing_to_share),
        cmocka_unit_test(test_conversion_needs_no_seed),
        cmocka_unit_test(test_sweeps_to_start_from),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
