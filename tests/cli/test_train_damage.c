/* Checkpoints that went bad after they were written: the run names them, goes on from the one before, and ends with the
 * same files; when none is left it says so and changes nothing. */
#include "train_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/file.h"

#define CHECKPOINTS "runs/a/stage2/checkpoints/"
#define NEWEST      CHECKPOINTS "step-00000008"
#define BEFORE      CHECKPOINTS "step-00000006"

static const char *const files[] = {"config.json", "model.safetensors", "optimizer.safetensors", "state.json",
                                    "tokenizer.json"};
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

static size_t size_of(const char *relative)
{
    size_t size;
    free(test_read_file(world_path(&world, relative), &size));
    return size;
}

/* The run continues from the checkpoint before, and says why. */
static void expect_passed_over(const char *what)
{
    world.loud = true;
    world_run(&world);
    world_expect(&world, 0);
    if (!strstr(world.output.err, "checkpoint " NEWEST " is damaged: ") ||
        !strstr(world.output.err, "; continuing from " BEFORE "\n"))
        fail_msg("%s: it said %s", what, world.output.err);
    char *starts = world_records(&world, "runs/a", "start");
    assert_non_null(strstr(starts, "\"resumed_from\":\"" BEFORE "\""));
    free(starts);
    world_expect_good(&world, true, "%s", what);
}

static void test_a_flipped_byte(void **state)
{
    (void)state;
    for (size_t i = 0; i < BT_ARRAY_LEN(files); i++) {
        char file[128];
        snprintf(file, sizeof file, NEWEST "/%s", files[i]);
        const size_t size = size_of(test_format("interrupted/%s", file + sizeof "runs/" - 1));
        const size_t places[] = {0, size / 3, size - 1};
        for (size_t j = 0; j < BT_ARRAY_LEN(places); j++) {
            interrupted(NULL);
            world_flip_byte(&world, file, places[j]);
            expect_passed_over(file);
        }
    }
}

static void test_a_cut_file(void **state)
{
    (void)state;
    for (size_t i = 0; i < BT_ARRAY_LEN(files); i++) {
        char file[128];
        snprintf(file, sizeof file, NEWEST "/%s", files[i]);
        interrupted(NULL);
        assert_int_equal(truncate(world_path(&world, file), (off_t)(size_of(file) / 2)), 0);
        expect_passed_over(file);
        interrupted(NULL);
        assert_int_equal(truncate(world_path(&world, file), 0), 0);
        expect_passed_over(file);
        interrupted(NULL);
        assert_int_equal(remove(world_path(&world, file)), 0);
        expect_passed_over(file);
    }
}

static void test_a_longer_file(void **state)
{
    size_t size;
    unsigned char *data = test_read_file(world_path(&world, NEWEST "/optimizer.safetensors"), &size);
    (void)state;
    test_write_file(world_path(&world, NEWEST "/optimizer.safetensors"), data, size + 1); /* the NUL that was added */
    free(data);
    expect_passed_over("a byte more");
}

static void test_none_is_whole(void **state)
{
    (void)state;
    world_flip_byte(&world, NEWEST "/model.safetensors", 9000);
    world_flip_byte(&world, BEFORE "/optimizer.safetensors", 9000);
    char *before = world_listing(&world, "runs", true);
    world_run(&world);
    world_expect_error(&world, 3, "no checkpoint of runs/a/stage2/checkpoints is whole");
    assert_non_null(strstr(world.output.err, NEWEST));
    assert_non_null(strstr(world.output.err, BEFORE));
    char *after = world_listing(&world, "runs", true);
    assert_string_equal(before, after);
    free(before);
    free(after);
    world_remove(&world, "runs/a/stage2"); /* what the sentence advises */
    world_expect_good(&world, true, "started the stage over");
}

/* metrics.jsonl shorter than the checkpoint knows it: nothing can be continued that way. */
static void test_cut_metrics(void **state)
{
    (void)state;
    assert_int_equal(truncate(world_path(&world, "runs/a/metrics.jsonl"), 100), 0);
    world_run(&world);
    world_expect_error(&world, 3, "runs/a/metrics.jsonl");
}

/* A checkpoint is a model folder: the same weights may start another run. */
static void test_a_checkpoint_as_a_model(void **state)
{
    (void)state;
    WORLD_RUN_WITH(&world, "--set=name=b", "--set=stages=[stage2]", "--set=model={path: " NEWEST "}");
    world_expect(&world, 0);
    world_flip_byte(&world, NEWEST "/config.json", 0);
    WORLD_RUN_WITH(&world, "--set=name=c", "--set=stages=[stage2]", "--set=model={path: " NEWEST "}");
    world_expect_error(&world, 3, NEWEST "/config.json");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_a_flipped_byte, interrupted),
        cmocka_unit_test_setup(test_a_cut_file, interrupted),
        cmocka_unit_test_setup(test_a_longer_file, interrupted),
        cmocka_unit_test_setup(test_none_is_whole, interrupted),
        cmocka_unit_test_setup(test_cut_metrics, interrupted),
        cmocka_unit_test_setup(test_a_checkpoint_as_a_model, interrupted),
    };
    world_make(&world, argc, argv);
    const int failed = cmocka_run_group_tests(tests, setup, NULL);
    world_finish(&world);
    return failed;
}
