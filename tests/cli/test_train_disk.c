/* A disk that fills up, or fails, at every one of a run's operations: exit code 5 with one sentence that names the
 * file, the checkpoints of before whole; with room again the same command ends with the same files. */
#include "train_world.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/file.h"

static struct train_world world;
static long operations;

static int setup(void **state)
{
    (void)state;
    operations = world_count_operations(&world);
    world_keep_good(&world);
    return 0;
}

static int clear(void **state)
{
    (void)state;
    world_remove(&world, "runs");
    return 0;
}

/* A folder of a checkpoint that was complete when the disk filled up. */
static bool has_checkpoints(void)
{
    char *files = world_listing(&world, "runs", false);
    const bool found = strstr(files, "/checkpoints/step-") != NULL;
    free(files);
    return found;
}

/* Fails from operation k on, or there alone, and goes on when the disk has recovered. */
static void fail_at(long k, bool goes_on_failing, int error)
{
    char what[64];
    snprintf(what, sizeof what, "%s at operation %ld%s", strerror(error), k, goes_on_failing ? " and after" : "");
    WORLD_FAULT(&world, test_format("BT_TEST_FAIL_IO=%ld%s:%d", k, goes_on_failing ? "+" : "", error));
    if (world.output.exit_code != 5)
        fail_msg("%s: exit code %d, signal %d, stderr: %s", what, world.output.exit_code, world.output.signal,
                 world.output.err);
    world_expect_error(&world, 5, strerror(error));
    world_expect_error(&world, 5, k > 2 ? "runs/a" : ": cannot "); /* the first two: runs itself is made */
    if (has_checkpoints()) {                                       /* they are whole, for the run accepts them */
        WORLD_RUN_WITH(&world, "--resume=required");
        world_expect(&world, 0);
        assert_string_equal(world.output.err, "");
    }
    world_expect_good(&world, true, "%s", what);
}

/* The last operation takes the process id out of the lock, when all is done. */
static void test_full_from_some_operation_on(void **state)
{
    const long stride = TEST_IS_SLOW ? 11 : 2;
    (void)state;
    for (long k = 1; k < operations; k += stride)
        fail_at(k, true, ENOSPC);
}

/* A single failure, after which the cleaning up works. */
static void test_one_operation_fails(void **state)
{
    const long stride = TEST_IS_SLOW ? 13 : 3;
    (void)state;
    for (long k = 2; k < operations; k += stride)
        fail_at(k, false, EIO);
}

static void test_the_lock_is_not_worth_a_failure(void **state)
{
    (void)state;
    WORLD_FAULT(&world, test_format("BT_TEST_FAIL_IO=%ld:%d", operations, ENOSPC));
    world_expect(&world, 0);
    assert_string_equal(world.output.err, "");
}

/* A file system of so many bytes mounted on runs/, in a name space of its own; false where that is not allowed. */
static bool run_on_small_disk(const char *size, const char *then)
{
    const char *script = test_format("mount -t tmpfs -o size=%s tmpfs runs || exit 99\n"
                                     "'%s' --config run.yaml --quiet; code=$?\n%s\nexit $code",
                                     size, world.program, then);
    const struct test_program shell = {
        .argv = (const char *[]){"/bin/sh", "-c", "exec unshare -Urm /bin/sh -c \"$0\"", script, NULL},
        .directory = world.dir};
    test_output_free(&world.output);
    test_run(&shell, &world.output);
    return world.output.exit_code != 99 && world.output.exit_code != 127 && !strstr(world.output.err, "unshare");
}

/* The same on a real file system: too small for a checkpoint, for the second one, and large enough. */
static void test_a_small_disk(void **state)
{
    struct bt_diag diag = {""};
    (void)state;
    TEST_OK(bt_dir_make(world_path(&world, "runs"), &diag), diag);
    if (!run_on_small_disk("300k", "ls runs/a/stage0/checkpoints >&2")) {
        print_message("skipped: this system lets nobody mount a small disk\n");
        skip();
    }
    world_expect(&world, 5);
    assert_non_null(strstr(world.output.err, "a checkpoint needs"));
    assert_non_null(strstr(world.output.err, "the disk has"));
    assert_null(strstr(world.output.err, "step-")); /* nothing was begun */
    assert_true(run_on_small_disk("1800k", "ls -a runs/a/stage0/checkpoints >&2"));
    world_expect(&world, 5);
    assert_non_null(strstr(world.output.err, "step-00000002"));
    assert_null(strstr(world.output.err, "tmp"));
    assert_true(run_on_small_disk("20M", "test -e " WORLD_LAST_MODEL " || exit 98"));
    world_expect(&world, 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_full_from_some_operation_on, clear),
        cmocka_unit_test_setup(test_one_operation_fails, clear),
        cmocka_unit_test_setup(test_the_lock_is_not_worth_a_failure, clear),
        cmocka_unit_test_setup(test_a_small_disk, clear),
    };
    world_make(&world, argc, argv);
    const int failed = cmocka_run_group_tests(tests, setup, NULL);
    world_finish(&world);
    return failed;
}
