/* A save, a replacement and a clean-up that end after any one of their disk operations, or in which any one of them
 * fails: what is found afterwards is whole, and it is the old state or the new one. */
#include "checkpoint_world.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/file.h"

static long operations_left; /* before the hook acts; below 0: it never does */
static bool go_on_failing;

static int kill_hook(const char *op, const char *path)
{
    (void)op;
    (void)path;
    if (operations_left-- == 0)
        raise(SIGKILL);
    return 0;
}

static int full_disk_hook(const char *op, const char *path)
{
    (void)op;
    (void)path;
    if (operations_left == 0 || (go_on_failing && operations_left < 0)) {
        operations_left--;
        return ENOSPC;
    }
    operations_left--;
    return 0;
}

/* Runs body in a child that dies when it is about to do disk operation k; false when it came through without. */
static bool killed_at(long k, enum bt_err (*body)(struct world *world, struct bt_diag *diag), struct world *world)
{
    int status;
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct bt_diag diag;
        operations_left = k;
        bt_io_hook = kill_hook;
        _exit(body(world, &diag) == BT_OK ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFSIGNALED(status)) {
        assert_int_equal(WTERMSIG(status), SIGKILL);
        return true;
    }
    assert_int_equal(WEXITSTATUS(status), 0);
    return false;
}

static enum bt_err prune_to_one(struct world *world, struct bt_diag *diag)
{
    return bt_checkpoint_prune(world->folder, 1, 0, diag);
}

static void start_over(struct world *world)
{
    struct bt_diag diag = {0};
    TEST_OK(bt_dir_remove(world->folder, &diag), diag);
}

static void test_killed_while_saving(void **state)
{
    struct world *world = *state;
    bool killed = true;
    long seen_old = 0, seen_new = 0;
    for (long k = 0; killed; k++) {
        start_over(world);
        world_fill_and_save(world, 100, 0);
        world_fill(world, 200, 0);
        killed = killed_at(k, world_save, world);
        const char *newest = world_newest(world, NULL);
        assert_non_null(newest);
        if (world_is(world, newest, 200, 0)) {
            seen_new++;
        } else {
            world_expect(world, newest, 100, 0);
            assert_int_equal(seen_new, 0); /* once the new one counts, it stays */
            seen_old++;
        }
    }
    assert_true(seen_old > 10 && seen_new > 1); /* the hook saw many operations, and one after the last rename */
}

static void test_killed_while_saving_the_first(void **state)
{
    struct world *world = *state;
    bool killed = true;
    for (long k = 0; killed; k++) {
        start_over(world);
        world_fill(world, 100, 0);
        killed = killed_at(k, world_save, world);
        const char *damaged = NULL, *newest = world_newest(world, &damaged);
        assert_null(damaged); /* what was never finished is not called a damaged checkpoint */
        if (newest)
            world_expect(world, newest, 100, 0);
        else
            assert_true(killed);
    }
}

/* The only checkpoint there is, replaced by one of the same step. */
static void test_killed_while_replacing(void **state)
{
    struct world *world = *state;
    bool killed = true;
    bool seen_old = false, seen_new = false;
    for (long k = 0; killed; k++) {
        start_over(world);
        world_fill_and_save(world, 100, 0);
        world_fill(world, 100, 1);
        killed = killed_at(k, world_save, world);
        const char *newest = world_newest(world, NULL);
        assert_non_null(newest);
        const bool is_new = world_is(world, newest, 100, 1);
        if (!is_new)
            world_expect(world, newest, 100, 0);
        assert_true(is_new || !seen_new); /* once the new one counts, it stays */
        seen_old = seen_old || !is_new;
        seen_new = seen_new || is_new;
        /* the next run saves over whatever was left, and cleans up */
        world_fill_and_save(world, 100, 2);
        assert_string_equal(world_names(world), "step-00000100");
        world_expect(world, world_newest(world, NULL), 100, 2);
    }
    assert_true(seen_old && seen_new);
}

/* One kill after the other on the same folder, each save a step further. */
static void test_killed_again_and_again(void **state)
{
    struct world *world = *state;
    bool killed = true;
    int64_t step = 100, found = 100;
    world_fill_and_save(world, step, 0);
    for (long k = 0; killed; k++) {
        world_fill(world, ++step, 0);
        killed = killed_at(k, world_save, world);
        const char *newest = world_newest(world, NULL);
        assert_non_null(newest);
        if (world_is(world, newest, step, 0))
            found = step;
        else
            world_expect(world, newest, found, 0);
        step = found; /* where a resumed run would go on */
    }
    assert_int_equal(found, step);
    assert_null(strstr(world_names(world), ".tmp"));
}

static void test_killed_while_pruning(void **state)
{
    struct world *world = *state;
    bool killed = true;
    for (long k = 0; killed; k++) {
        const char *damaged = NULL;
        start_over(world);
        for (int64_t step = 100; step <= 300; step += 100)
            world_fill_and_save(world, step, 0);
        killed = killed_at(k, prune_to_one, world);
        world_expect(world, world_newest(world, NULL), 300, 0);
        /* and what remains of the others is whole, or not called a checkpoint */
        test_write_file(test_format("%s/step-00000300/state.json", world->folder), "", 0);
        world_newest(world, &damaged);
        assert_null(strstr(damaged, "step-00000200"));
        assert_null(strstr(damaged, "step-00000100"));
        struct bt_diag diag = {0};
        TEST_OK(prune_to_one(world, &diag), diag);
        assert_string_equal(world_names(world), "step-00000300");
    }
}

static void expect_full_disk(struct world *world, const struct bt_diag *diag)
{
    if (!strstr(diag->text, strerror(ENOSPC)) || !strstr(diag->text, world->folder))
        fail_msg("the sentence does not name the file and the reason: %s", diag->text);
}

/* The disk is full at operation k, and at all after it or at no other. */
static void fail_each_operation(struct world *world, int64_t next_step)
{
    enum bt_err err = BT_EIO;
    for (long k = 0; err; k++) {
        struct bt_diag diag = {0};
        start_over(world);
        world_fill_and_save(world, 100, 0);
        world_fill(world, next_step, 1);
        const long live = bt_alloc_live();
        operations_left = k;
        bt_io_hook = full_disk_hook;
        err = world_save(world, &diag);
        bt_io_hook = NULL;
        assert_int_equal(bt_alloc_live(), live);
        const char *newest = world_newest(world, NULL);
        assert_non_null(newest);
        if (err) {
            assert_int_equal(err, BT_EIO);
            expect_full_disk(world, &diag);
            if (!world_is(world, newest, next_step, 1))
                world_expect(world, newest, 100, 0);
            if (!go_on_failing)
                assert_null(strstr(world_names(world), ".tmp"));
        }
        world_fill_and_save(world, next_step, 1); /* there is room again */
        world_expect(world, world_newest(world, NULL), next_step, 1);
        assert_null(strstr(world_names(world), "."));
    }
}

static void test_full_disk_for_a_moment(void **state)
{
    go_on_failing = false;
    fail_each_operation(*state, 200);
    fail_each_operation(*state, 100);
}

static void test_full_disk_for_good(void **state)
{
    go_on_failing = true;
    fail_each_operation(*state, 200);
    fail_each_operation(*state, 100);
}

#define WORLD_TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(test_killed_while_saving),    WORLD_TEST(test_killed_while_saving_the_first),
        WORLD_TEST(test_killed_while_replacing), WORLD_TEST(test_killed_again_and_again),
        WORLD_TEST(test_killed_while_pruning),   WORLD_TEST(test_full_disk_for_a_moment),
        WORLD_TEST(test_full_disk_for_good),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
