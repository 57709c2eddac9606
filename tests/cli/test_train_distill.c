/* Stages that learn from a teacher, as a user runs them: a chain of all stages, killed and continued, with and without
 * a cache, and what is refused. */
#include "train_world.h"

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "io/file.h"

static struct train_world world;

#define STAGE "batch_size: 2, scheduler: {warmup_steps: 1}, optimizer: {lr: 1e-3}"

static const char chain[] = "name: a\n"
                            "stages: [stage0, stage1, stage1_9, stage2, stage3]\n"
                            "model: {config: tiny/config.json}\n"
                            "data:\n"
                            "  train: [{path: train.bin}]\n"
                            "  validation: [{path: validation.bin}]\n"
                            "  max_seq_length: 16\n"
                            "stage0: {max_steps: 6, " STAGE "}\n"
                            "stage1: {calibration_tokens: 128}\n"
                            "stage1_9: {max_steps: 5, lambda_warmup: {warmup_steps: 2}, " STAGE ",\n"
                            "  losses: {cross_entropy: {}, hidden: {type: mse}}}\n"
                            "stage2: {max_steps: 4, lambda_warmup: {enabled: false}, " STAGE "}\n"
                            "stage3: {max_steps: 6, lambda_warmup: {enabled: false}, " STAGE ",\n"
                            "  losses: {cross_entropy: {weight: 1}, logits: {weight: 2, temperature: 2},\n"
                            "    attention_relation: {weight: {balance: 0.5, at: 3}}}}\n"
                            "checkpoint: {save_interval: 2, keep_last_n: 2}\n"
                            "logging: {log_interval: 1, eval_interval: 2, eval_tokens: 64}\n"
                            "compute: {threads: 1}\n";

/* Of the same run, with a stage 3 of logits alone out of a cache. */
#define CACHED "--set=stage3.losses={logits: {temperature: 2.0}}", "--set=stage3.teacher={cache: kept}"

static int setup(void **state)
{
    (void)state;
    world_write(&world, "run.yaml", chain);
    return 0;
}

static int nothing_yet(void **state)
{
    (void)state;
    world_remove(&world, "runs");
    world_remove(&world, "kept");
    return setup(state);
}

/* ---- records ---- */

static double number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_number(value))
        fail_msg("\"%s\" is missing or no number", key);
    return json_number_value(value);
}

static void check_terms(const json_t *record, const char *const *names, size_t count)
{
    const json_t *terms = json_object_get(record, "terms");
    double loss = 0.0, share = 0.0;
    assert_int_equal(json_object_size(terms), count);
    for (size_t i = 0; i < count; i++) {
        const json_t *term = json_object_get(terms, names[i]);
        assert_true(number(term, "raw") > 0.0);
        loss += number(term, "weighted");
        share += number(term, "share");
    }
    assert_true(fabs(loss - number(record, "loss")) <= 1e-12 * loss);
    assert_true(fabs(share - 1.0) <= 1e-12);
}

/* Every train record of the stage; `weight` gets the last one's weight of attention_relation. */
static size_t check_stage(const char *stage, const char *const *names, size_t count, double *weight)
{
    struct bt_diag diag = {""};
    size_t found = 0;
    char *lines = world_text(&world, "runs/a/metrics.jsonl");
    for (const char *line = lines, *end; *line; line = end + 1) {
        json_t *record = NULL;
        end = strchr(line, '\n');
        TEST_OK(bt_json_parse(line, (size_t)(end - line), "metrics.jsonl", &record, &diag), diag);
        const bool train = !strcmp(json_string_value(json_object_get(record, "event")), "train");
        if (train && !strcmp(json_string_value(json_object_get(record, "stage")), stage)) {
            check_terms(record, names, count);
            const json_t *relation = json_object_get(json_object_get(record, "terms"), "attention_relation");
            if (relation && weight)
                *weight = number(relation, "weighted") / number(relation, "raw");
            found++;
        }
        json_decref(record);
    }
    free(lines);
    return found;
}

static void test_chain(void **state)
{
    static const char *const first[] = {"cross_entropy", "hidden"};
    static const char *const last[] = {"cross_entropy", "logits", "attention_relation"};
    double weight = 0.0;
    (void)state;
    WORLD_RUN_WITH(&world, "--dry-run");
    world_expect(&world, 0);
    assert_non_null(strstr(world.output.out, "stage1_9"));
    assert_non_null(strstr(world.output.out, "stage3"));
    world_run(&world);
    world_expect(&world, 0);
    assert_int_equal(check_stage("stage1_9", first, 2, NULL), 5);
    assert_int_equal(check_stage("stage3", last, 3, &weight), 6);
    assert_true(weight > 0.0); /* found at update 3 */
    json_t *state_json = world_json(&world, "runs/a/stage3/checkpoints/step-00000006/state.json");
    const json_t *kept = json_object_get(json_object_get(state_json, "state"), "balance_attention_relation");
    assert_true(fabs(json_number_value(kept) - weight) <= 1e-12 * weight);
    json_decref(state_json);
    json_t *summary = world_json(&world, "runs/a/summary.json");
    assert_true(number(json_object_get(json_object_get(summary, "stages"), "stage3"), "eval_loss") > 0.0);
    json_decref(summary);
    assert_true(bt_file_exists(world_path(&world, "runs/a/stage3/model/model.safetensors")));
}

/* ---- interruptions ---- */

static void test_killed(void **state)
{
    const long stride = TEST_IS_SLOW ? 97 : 29;
    (void)state;
    const long operations = world_count_operations(&world);
    world_keep_good(&world);
    for (long k = stride / 2; k < operations; k += stride) {
        WORLD_FAULT(&world, test_format("BT_TEST_KILL_AT_IO=%ld", k));
        assert_int_equal(world.output.signal, SIGKILL);
        world_expect_good(&world, true, "killed after operation %ld", k);
    }
}

static const char last_model[] = "runs/a/stage3/model/model.safetensors";

/* The hash of the last model of a run with one more argument, from nothing. */
static const char *hash_of(const char *argument)
{
    world_remove(&world, "runs");
    WORLD_RUN_WITH(&world, CACHED, argument);
    world_expect(&world, 0);
    return world_hash(&world, last_model);
}

/* Empty, full, and filled by a run that was killed meanwhile; by one thread or three. */
static void test_cache(void **state)
{
    (void)state;
    char *want = strdup(hash_of("--threads=1"));
    assert_string_equal(hash_of("--threads=3"), want);
    world_remove(&world, "kept");
    world_remove(&world, "runs");
    const char *const env[] = {"BT_TEST_KILL_AT_IO=480", NULL}, *const args[] = {CACHED, NULL};
    world_run_program(&world, world.faulty, env, args);
    assert_int_equal(world.output.signal, SIGKILL);
    assert_true(bt_file_exists(world_path(&world, "kept")));
    assert_string_equal(hash_of("--threads=2"), want);
    free(want);
}

/* The folder cannot be made: the run ends, and says why. */
static void test_cache_that_cannot_be_written(void **state)
{
    (void)state;
    world_write(&world, "kept", "a file");
    WORLD_RUN_WITH(&world, CACHED);
    world_expect_error(&world, 5, "kept");
}

/* ---- teachers ---- */

/* A float model, tuned further for the task by a stage 2 that quantises nothing, teaches. */
static void test_a_tuned_teacher(void **state)
{
    (void)state;
    WORLD_RUN_WITH(&world, "--set=stages=[stage0]");
    world_expect(&world, 0);
    WORLD_RUN_WITH(&world, "--set=name=tuned", "--set=stages=[stage2]", "--set=model={path: runs/a/stage0/model}",
                   "--set=stage2.weights=none", "--set=stage2.activations=none");
    world_expect(&world, 0);
    WORLD_RUN_WITH(&world, "--set=name=b", "--set=stages=[stage1, stage3]", "--set=model={path: runs/a/stage0/model}",
                   "--set=stage3.teacher.path=runs/tuned/stage2/model");
    world_expect(&world, 0);
    assert_true(bt_file_exists(world_path(&world, "runs/b/stage3/model")));
}

static void test_bad_teachers(void **state)
{
    (void)state;
    WORLD_RUN_WITH(&world, "--set=stages=[stage0, stage1]");
    world_expect(&world, 0);
    WORLD_RUN_WITH(&world, "--set=name=b", "--set=stages=[stage3]", "--set=model={path: runs/a/stage1/model}");
    world_expect_error(&world, 2, "stage3.teacher: missing \"path\"");
    WORLD_RUN_WITH(&world, "--set=name=b", "--set=stages=[stage3]", "--set=model={path: runs/a/stage1/model}",
                   "--set=stage3.teacher.path=nowhere");
    world_expect_error(&world, 3, "nowhere");
    WORLD_RUN_WITH(&world, "--set=name=b", "--set=stages=[stage1, stage3]", "--set=model={path: runs/a/stage0/model}",
                   "--set=stage3.losses.attention_relation={weight: 1, form: algorithm, split_heads: 7}");
    world_expect_error(&world, 2, "split_heads: 7 does not divide");
    assert_false(bt_file_exists(world_path(&world, "runs/b")));
}

/* The run goes on beside the same teacher or not at all. */
static void test_another_teacher(void **state)
{
    (void)state;
    WORLD_RUN_WITH(&world, "--set=stages=[stage0, stage1]");
    world_copy(&world, "runs/a/stage0/model", "teacher");
    const char *const args[] = {"--set=name=b", "--set=stages=[stage3]", "--set=model={path: runs/a/stage1/model}",
                                "--set=stage3.teacher.path=teacher", NULL};
    const char *const env[] = {"BT_TEST_KILL_AT_IO=60", NULL};
    world_run_program(&world, world.faulty, env, args);
    assert_int_equal(world.output.signal, SIGKILL);
    assert_true(bt_file_exists(world_path(&world, "runs/b/stage3/checkpoints/step-00000002")));
    world_flip_byte(&world, "teacher/model.safetensors", 5000);
    world_run_program(&world, world.program, NULL, args);
    world_expect_error(&world, 2, "teacher is not the data that");
    world_flip_byte(&world, "teacher/model.safetensors", 5000);
    world_run_program(&world, world.program, NULL, args);
    world_expect(&world, 0);
}

static void test_muon(void **state)
{
    (void)state;
    world_remove(&world, "runs");
    const char *muon = "--set=stage2.optimizer={type: muon, lr: 1e-3, muon: {lr: 0.01}}";
    WORLD_RUN_WITH(&world, "--set=stages=[stage0, stage1, stage2]", muon);
    world_expect(&world, 0);
    char *want = strdup(world_hash(&world, WORLD_LAST_MODEL));
    world_remove(&world, "runs");
    const char *const args[] = {"--set=stages=[stage0, stage1, stage2]", muon, NULL};
    const char *const env[] = {"BT_TEST_KILL_AT_IO=170", NULL};
    world_run_program(&world, world.faulty, env, args);
    assert_int_equal(world.output.signal, SIGKILL);
    world_run_program(&world, world.program, NULL, args);
    world_expect(&world, 0);
    assert_string_equal(world_hash(&world, WORLD_LAST_MODEL), want);
    free(want);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_chain, nothing_yet),
        cmocka_unit_test_setup(test_killed, nothing_yet),
        cmocka_unit_test_setup(test_cache, nothing_yet),
        cmocka_unit_test_setup(test_cache_that_cannot_be_written, nothing_yet),
        cmocka_unit_test_setup(test_a_tuned_teacher, nothing_yet),
        cmocka_unit_test_setup(test_bad_teachers, nothing_yet),
        cmocka_unit_test_setup(test_another_teacher, nothing_yet),
        cmocka_unit_test_setup(test_muon, nothing_yet),
    };
    world_make(&world, argc, argv);
    const int failed = cmocka_run_group_tests_name("distill", tests, setup, NULL);
    world_finish(&world);
    return failed;
}
