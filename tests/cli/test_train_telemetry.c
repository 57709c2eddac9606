/* What watches a run and acts on it, as users meet it: telemetry, zclip and early stopping, and that an interruption
 * changes nothing of what they say and do. */
#include "train_world.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "io/file.h"
#include "io/safetensors.h"

static struct train_world world;

#define EVENTS "train eval end telemetry warning"

/* The run once more from update 6 of stage 2, which must write the same records. */
static void expect_the_same_from_update_6(const char *whole, const char *const *args)
{
    world_remove(&world, "runs/a/stage2/model");
    world_remove(&world, "runs/a/stage2/checkpoints/step-00000008");
    assert_true(bt_dir_exists(world_path(&world, "runs/a/stage2/checkpoints/step-00000006")));
    world_run_program(&world, world.program, NULL, args);
    world_expect(&world, 0);
    char *again = world_records(&world, "runs/a", EVENTS);
    assert_string_equal(whole, again);
    free(again);
}

static void test_zclip(void **state)
{
    (void)state;
    static const char *const args[] = {"--set=stage2.zclip={enabled: true, warmup_steps: 2, z_threshold: 0.01}", NULL};
    world_run_program(&world, world.program, NULL, args);
    world_expect(&world, 0);
    char *whole = world_records(&world, "runs/a", EVENTS);
    assert_non_null(strstr(whole, "\"z_score\":null,\"clipped_norm\":"));
    size_t clipped = 0;
    for (const char *at = whole; (at = strstr(at, "\"z_score\":")); at++)
        clipped += strtod(at + 10, NULL) > 0.01;
    assert_true(clipped > 0 && clipped <= 6);
    expect_the_same_from_update_6(whole, args);
    free(whole);
    world_remove(&world, "runs");
}

static void expect_stopped(void)
{
    json_t *summary = world_json(&world, "runs/a/summary.json");
    const json_t *stage = json_object_get(json_object_get(summary, "stages"), "stage2");
    assert_int_equal(json_integer_value(json_object_get(stage, "steps")), 6);
    assert_string_equal(json_string_value(json_object_get(stage, "stop_reason")), "early_stopping");
    const char *detail = json_string_value(json_object_get(stage, "stop_detail"));
    assert_non_null(strstr(detail, "after update 6 of 8 the last 1 validations"));
    assert_non_null(strstr(detail, "that of update 4"));
    stage = json_object_get(json_object_get(summary, "stages"), "stage0");
    assert_string_equal(json_string_value(json_object_get(stage, "stop_reason")), "completed");
    assert_null(json_object_get(stage, "stop_detail"));
    json_decref(summary);
}

/* Lambda is full from update 4 on, whose validation is the first that counts; that of update 6 is not so much better.
 */
static void test_early_stopping(void **state)
{
    (void)state;
    static const char *const args[] = {"--set=stage2.early_stopping={enabled: true, patience: 1, min_delta: 10}", NULL};
    world_run_program(&world, world.program, NULL, args);
    world_expect(&world, 0);
    expect_stopped();
    char *whole = world_records(&world, "runs/a", EVENTS);
    char *model = strdup(world_hash(&world, WORLD_LAST_MODEL));
    expect_the_same_from_update_6(whole, args); /* a kill between the last checkpoint and the model */
    expect_stopped();
    assert_string_equal(model, world_hash(&world, WORLD_LAST_MODEL));
    world_run_program(&world, world.program, NULL, args);
    world_expect(&world, 0);
    free(whole);
    free(model);
    world_remove(&world, "runs");
}

/* Records of one event of stage 2, in order; json_decref. */
static json_t *records_of(const char *event)
{
    char *lines = world_records(&world, "runs/a", event);
    json_t *list = json_array();
    for (char *line = strtok(lines, "\n"); line; line = strtok(NULL, "\n")) {
        struct bt_diag diag = {""};
        json_t *record = NULL;
        TEST_OK(bt_json_parse(line, strlen(line), "a record", &record, &diag), diag);
        const bool stage2 = !strcmp(json_string_value(json_object_get(record, "stage")), "stage2");
        assert_int_equal(stage2 ? json_array_append_new(list, record) : (json_decref(record), 0), 0);
    }
    free(lines);
    return list;
}

static double entry(const json_t *record, const char *projection, const char *key, size_t layer)
{
    const json_t *p = json_object_get(json_object_get(record, "projections"), projection);
    const json_t *value = json_array_get(json_object_get(p, key), layer);
    assert_true(json_is_number(value));
    return json_number_value(value);
}

/* The codes of a weight in a model folder. */
static int *codes_of(const char *folder, const char *name, size_t *ret_count)
{
    struct bt_diag diag = {""};
    struct bt_safetensors *file = NULL;
    TEST_OK(bt_safetensors_open_model(world_path(&world, folder), &file, &diag), diag);
    const struct bt_tensor_view *view = bt_safetensors_find(file, name);
    const size_t count = view->bytes / sizeof(float);
    float *w = malloc(view->bytes);
    int *codes = malloc(count * sizeof *codes);
    double sum = 0.0;
    assert_true(w && codes);
    memcpy(w, view->data, view->bytes);
    for (size_t i = 0; i < count; i++)
        sum += fabs((double)w[i]);
    const float scale = (float)(sum / (double)count);
    for (size_t i = 0; i < count; i++)
        codes[i] = (int)fminf(fmaxf(rintf(w[i] * (1.0f / scale)), -1.0f), 1.0f);
    free(w);
    bt_safetensors_close(file);
    *ret_count = count;
    return codes;
}

/* The record of `now` against the weights of two folders. */
static void expect_flips(const json_t *record, const char *projection, const char *name, const char *before,
                         const char *now)
{
    size_t count, count_before, flipped = 0, zero = 0;
    int *codes = codes_of(now, name, &count), *was = codes_of(before, name, &count_before);
    const size_t layer = strstr(name, "layers.1.") != NULL;
    assert_int_equal(count, count_before);
    for (size_t i = 0; i < count; i++) {
        flipped += codes[i] != was[i];
        zero += codes[i] == 0;
    }
    assert_true(entry(record, projection, "flipped", layer) == (double)flipped / (double)count);
    assert_true(entry(record, projection, "zero", layer) == (double)zero / (double)count);
    free(codes);
    free(was);
}

static void test_flips_are_those_between_checkpoints(void **state)
{
    (void)state;
    WORLD_RUN_WITH(&world, "--set=logging.telemetry_interval=2", "--set=checkpoint.keep_last_n=9",
                   "--set=stage2.optimizer.lr=0.02");
    world_expect(&world, 0);
    static const char *const folders[] = {
        "runs/a/stage1/model", "runs/a/stage2/checkpoints/step-00000002", "runs/a/stage2/checkpoints/step-00000004",
        "runs/a/stage2/checkpoints/step-00000006", "runs/a/stage2/checkpoints/step-00000008"};
    json_t *records = records_of("telemetry");
    assert_int_equal(json_array_size(records), 5);
    double flips = 0.0;
    for (size_t k = 0; k < 5; k++) {
        const json_t *record = json_array_get(records, k);
        const char *before = folders[k ? k - 1 : 0];
        assert_int_equal(json_integer_value(json_object_get(record, "step")), 2 * k);
        assert_int_equal(json_integer_value(json_object_get(record, "since")), k ? 2 * k - 2 : 0);
        expect_flips(record, "q_proj", "model.layers.0.self_attn.q_proj.weight", before, folders[k]);
        expect_flips(record, "down_proj", "model.layers.1.mlp.down_proj.weight", before, folders[k]);
        flips += entry(record, "down_proj", "flipped", 1);
    }
    assert_true(flips > 0.0);
    json_decref(records);
    world_remove(&world, "runs");
}

/* Warnings, zclip's averages, codes between records (one is due at update 5, before the checkpoint of 6): all of them
 * go on where they were, whatever the number of threads. */
static void test_an_interruption_changes_nothing(void **state)
{
    (void)state;
    static const char *const intervals[] = {"2", "5", "1"};
    for (size_t i = 0; i < BT_ARRAY_LEN(intervals); i++) {
        char interval[64];
        snprintf(interval, sizeof interval, "--set=logging.telemetry_interval=%s", intervals[i]);
        const char *args[] = {interval,
                              "--set=stage2.zclip={enabled: true, warmup_steps: 2, z_threshold: 0.5}",
                              "--set=stage2.early_stopping={enabled: true, patience: 3}",
                              "--set=stage2.optimizer={lr: 0.3}",
                              NULL,
                              NULL};
        world_run_program(&world, world.program, NULL, args);
        world_expect(&world, 0);
        char *whole = world_records(&world, "runs/a", EVENTS);
        assert_non_null(strstr(whole, "\"event\":\"telemetry\""));
        assert_non_null(strstr(whole, "\"event\":\"warning\""));
        char *model = strdup(world_hash(&world, WORLD_LAST_MODEL));
        args[4] = "--set=compute.threads=2";
        expect_the_same_from_update_6(whole, args);
        assert_string_equal(model, world_hash(&world, WORLD_LAST_MODEL));
        world_remove(&world, "runs");
        free(whole);
        free(model);
    }
}

/* On the screen and as a record, with what helps; once, though each record finds it again. */
static void test_warnings(void **state)
{
    (void)state;
    world.loud = true;
    WORLD_RUN_WITH(&world, "--set=logging.telemetry_interval=1", "--set=stage2.optimizer={lr: 0.3}");
    world.loud = false;
    world_expect(&world, 0);
    json_t *warnings = records_of("warning");
    assert_true(json_array_size(warnings) > 0);
    for (size_t i = 0; i < json_array_size(warnings); i++) {
        const json_t *w = json_array_get(warnings, i);
        const char *message = json_string_value(json_object_get(w, "message"));
        const char *kind = json_string_value(json_object_get(w, "kind"));
        const char *projection = json_string_value(json_object_get(w, "projection"));
        const char *said = strstr(world.output.err, message);
        assert_non_null(said);
        assert_null(strstr(said + 1, message));
        assert_non_null(strstr(world.output.err, json_string_value(json_object_get(w, "advice"))));
        assert_true(json_is_number(json_object_get(w, "value")));
        for (size_t k = 0; k < i; k++) {
            const json_t *other = json_array_get(warnings, k);
            assert_true(strcmp(kind, json_string_value(json_object_get(other, "kind"))) != 0 ||
                        strcmp(projection, json_string_value(json_object_get(other, "projection"))) != 0);
        }
    }
    json_decref(warnings);
    world_remove(&world, "runs");
}

/* Off: no record, nothing in checkpoints; a resume may switch it on, and counts from there. */
static void test_off_and_on_again(void **state)
{
    (void)state;
    WORLD_RUN_WITH(&world, "--set=logging.telemetry_interval=0");
    world_expect(&world, 0);
    assert_false(bt_file_exists(world_path(&world, "runs/a/stage2/checkpoints/step-00000006/telemetry.safetensors")));
    char *model = strdup(world_hash(&world, WORLD_LAST_MODEL));
    char *none = world_records(&world, "runs/a", "telemetry warning");
    assert_string_equal(none, "");
    world_remove(&world, "runs/a/stage2/model");
    world_remove(&world, "runs/a/stage2/checkpoints/step-00000008");
    WORLD_RUN_WITH(&world, "--set=logging.telemetry_interval=1");
    world_expect(&world, 0);
    assert_string_equal(model, world_hash(&world, WORLD_LAST_MODEL));
    assert_true(bt_file_exists(world_path(&world, "runs/a/stage2/checkpoints/step-00000008/telemetry.safetensors")));
    json_t *records = records_of("telemetry");
    assert_int_equal(json_array_size(records), 2);
    assert_int_equal(json_integer_value(json_object_get(json_array_get(records, 0), "since")), 6);
    json_decref(records);
    free(none);
    free(model);
    world_remove(&world, "runs");
}

static bool is_new(const char *key)
{
    static const char *const starts[] = {"zclip_", "early_stopping_", "telemetry_"};
    for (size_t i = 0; i < BT_ARRAY_LEN(starts); i++)
        if (!strncmp(key, starts[i], strlen(starts[i])))
            return true;
    return false;
}

/* state.json as it was before there were these states; its last line is the checksum of all before it. */
static void make_older(const char *path)
{
    json_t *root = world_json(&world, path), *state = json_object_get(root, "state");
    const char *key;
    json_t *value;
    void *next;
    json_object_foreach_safe(state, next, key, value)
    {
        if (is_new(key))
            json_object_del(state, key);
    }
    json_object_del(root, "checksum");
    char *text = bt_json_text(root, JSON_INDENT(2));
    *strrchr(text, '\n') = '\0';
    char *whole =
        bt_sprintf("%s,\n  \"checksum\": \"%016llx\"\n}\n", text, (unsigned long long)XXH3_64bits(text, strlen(text)));
    world_write(&world, path, whole);
    bt_free(whole);
    bt_free(text);
    json_decref(root);
}

/* As if stage 2 of the run had had zclip on from the start. */
static void switch_on_zclip(void)
{
    char *config = world_text(&world, "runs/a/config.yaml");
    char *at = strstr(strstr(config, "\nstage2:"), "zclip: {enabled: false");
    memcpy(at, "zclip: {enabled: true ", 22);
    world_write(&world, "runs/a/config.yaml", config);
    free(config);
}

static void test_older_checkpoints(void **state)
{
    (void)state;
    WORLD_RUN_WITH(&world, "--set=logging.telemetry_interval=0");
    world_expect(&world, 0);
    char *model = strdup(world_hash(&world, WORLD_LAST_MODEL));
    world_remove(&world, "runs/a/stage2/model");
    world_remove(&world, "runs/a/stage2/checkpoints/step-00000008");
    make_older("runs/a/stage2/checkpoints/step-00000006/state.json");
    world_copy(&world, "runs", "older");
    WORLD_RUN_WITH(&world, "--set=logging.telemetry_interval=1");
    world_expect(&world, 0);
    assert_string_equal(model, world_hash(&world, WORLD_LAST_MODEL));
    json_t *records = records_of("telemetry");
    assert_int_equal(json_array_size(records), 2);
    json_decref(records);

    world_copy(&world, "older", "runs");
    switch_on_zclip();
    WORLD_RUN_WITH(&world, "--set=stage2.zclip.enabled=true");
    world_expect_error(&world, 3, "step-00000006 has no state of stage2.zclip, which is on in the config");
    free(model);
    world_remove(&world, "runs");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_zclip),
        cmocka_unit_test(test_early_stopping),
        cmocka_unit_test(test_flips_are_those_between_checkpoints),
        cmocka_unit_test(test_an_interruption_changes_nothing),
        cmocka_unit_test(test_warnings),
        cmocka_unit_test(test_off_and_on_again),
        cmocka_unit_test(test_older_checkpoints),
    };
    world_make(&world, argc, argv);
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    world_finish(&world);
    return failed;
}
