/* What watches a run and acts on it, as users meet it: zclip and early stopping, and that an interruption changes
 * nothing of what they say and do. */
#include "train_world.h"

#include <stdlib.h>
#include <string.h>

#include "io/file.h"

static struct train_world world;

/* The run once more from update 6 of stage 2, which must write the same records. */
static void expect_the_same_from_update_6(const char *whole, const char *const *args)
{
    static const char events[] = "train eval end telemetry warning";
    world_remove(&world, "runs/a/stage2/model");
    world_remove(&world, "runs/a/stage2/checkpoints/step-00000008");
    assert_true(bt_dir_exists(world_path(&world, "runs/a/stage2/checkpoints/step-00000006")));
    world_run_program(&world, world.program, NULL, args);
    world_expect(&world, 0);
    char *again = world_records(&world, "runs/a", events);
    assert_string_equal(whole, again);
    free(again);
}

static void test_zclip(void **state)
{
    (void)state;
    static const char *const args[] = {"--set=stage2.zclip={enabled: true, warmup_steps: 2, z_threshold: 0.01}", NULL};
    world_run_program(&world, world.program, NULL, args);
    world_expect(&world, 0);
    char *whole = world_records(&world, "runs/a", "train eval end telemetry warning");
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
    char *whole = world_records(&world, "runs/a", "train eval end telemetry warning");
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

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_zclip),
        cmocka_unit_test(test_early_stopping),
    };
    world_make(&world, argc, argv);
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    world_finish(&world);
    return failed;
}
