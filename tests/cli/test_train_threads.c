/* The same bits for any number of threads, with each set of kernels: every weight of every stage's model, and every
 * number in the records. */
#include "train_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct train_world world;

static int nothing_yet(void **state)
{
    (void)state;
    world_remove(&world, "runs");
    return 0;
}

/* More rows than in run.yaml, of lengths that no block size divides. */
static void train(const char *kernels, const char *threads)
{
    WORLD_RUN_WITH(&world, test_format("--set=compute.kernels=%s", kernels), test_format("--threads=%s", threads),
                   "--set=data.max_seq_length=29", "--set=stage0.batch_size=5", "--set=stage2.batch_size=3",
                   "--set=stage2.gradient_accumulation_steps=2");
    world_expect(&world, 0);
}

static void same_bits(const char *kernels)
{
    static const char *const threads[] = {"2", "3", "8", "16"};
    train(kernels, "1");
    char *files = world_listing(&world, "runs", false), *records = world_records(&world, "runs/a", "train eval end");
    char *starts = world_records(&world, "runs/a", "start");
    print_message("%s: %.*s\n", kernels, (int)strcspn(strstr(starts, "\"matmul\""), "}"), strstr(starts, "\"matmul\""));
    free(starts);
    for (size_t i = 0; i < BT_ARRAY_LEN(threads); i++) {
        world_remove(&world, "runs");
        train(kernels, threads[i]);
        char *found = world_listing(&world, "runs", false);
        if (strcmp(found, files) != 0)
            fail_msg("%s kernels, %s threads: other files:\n%s\nwith one thread:\n%s", kernels, threads[i], found,
                     files);
        free(found);
        found = world_records(&world, "runs/a", "train eval end");
        assert_string_equal(found, records);
        free(found);
    }
    free(files);
    free(records);
}

static void test_auto(void **state)
{
    (void)state;
    same_bits("auto");
}

/* A build without it says so. */
static void test_onednn(void **state)
{
    (void)state;
    WORLD_RUN_WITH(&world, "--set=compute.kernels=onednn");
    if (world.output.exit_code) {
        world_expect_error(&world, 2, "built without it");
        return;
    }
    world_remove(&world, "runs");
    same_bits("onednn");
}

static void test_avx512(void **state)
{
    (void)state;
    same_bits("avx512");
}

static void test_avx2(void **state)
{
    (void)state;
    same_bits("avx2");
}

static void test_portable(void **state)
{
    (void)state;
    same_bits("portable");
}

/* A run that is continued with another number of threads each time. */
static void test_threads_change_on_the_way(void **state)
{
    const long operations = world_count_operations(&world);
    (void)state;
    world_keep_good(&world);
    for (int i = 1; i < 6; i++) {
        const char *const env[] = {test_format("BT_TEST_KILL_AT_IO=%ld", operations / 4), NULL};
        const char *const args[] = {test_format("--threads=%d", 1 + i % 4), NULL};
        world_run_program(&world, world.faulty, env, args);
    }
    world_expect_good(&world, true, "with other numbers of threads");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_auto, nothing_yet),
        cmocka_unit_test_setup(test_onednn, nothing_yet),
        cmocka_unit_test_setup(test_avx512, nothing_yet),
        cmocka_unit_test_setup(test_avx2, nothing_yet),
        cmocka_unit_test_setup(test_portable, nothing_yet),
        cmocka_unit_test_setup(test_threads_change_on_the_way, nothing_yet),
    };
    world_make(&world, argc, argv);
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    world_finish(&world);
    return failed;
}
