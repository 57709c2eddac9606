/* SIGINT and SIGTERM: the first is a request to save and stop, which the same command continues from; the second ends
 * the program there and then, and leaves nothing that the next start could not go on from. */
#include "train_world.h"

#include <signal.h>
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

/* The step of the newest checkpoint of a stage, 0 without one. */
static long newest_step(const char *stage)
{
    struct bt_diag diag = {""};
    char **names;
    size_t count;
    long step = 0;
    const char *folder = world_path(&world, test_format("runs/a/%s/checkpoints", stage));
    if (!bt_dir_exists(folder))
        return 0;
    TEST_OK(bt_dir_list(folder, &names, &count, &diag), diag);
    for (size_t i = 0; i < count; i++)
        if (sscanf(names[i], "step-%ld", &step) != 1)
            fail_msg("%s was left in %s", names[i], folder);
    bt_names_free(names, count);
    return step;
}

/* A run that says it stopped after update n has a checkpoint of update n. */
static void expect_stopped(long k)
{
    long step;
    char stage[16] = "";
    world_expect_error(&world, 75, "the same command continues");
    if (sscanf(world.output.err, "bitnet-train: stopped after update %ld of %15[a-z0-9];", &step, stage) == 2) {
        if (newest_step(stage) != step)
            fail_msg("signal at operation %ld: %s, but the newest checkpoint is of update %ld", k, world.output.err,
                     newest_step(stage));
    } else if (!strstr(world.output.err, "stopped before stage")) {
        fail_msg("signal at operation %ld: it said %s", k, world.output.err);
    }
}

/* Wherever the signal arrives, it is exit code 75 with all work saved, or the end of a run that had no more to do. */
static void test_stops_and_continues(void **state)
{
    const long stride = TEST_IS_SLOW ? 23 : 5;
    int stopped = 0;
    (void)state;
    for (long k = 3; k < operations; k += stride) {
        const int number = k % 2 ? SIGINT : SIGTERM;
        WORLD_FAULT(&world, test_format("BT_TEST_SIGNAL_AT_IO=%ld:%d", k, number));
        if (world.output.exit_code == 75)
            expect_stopped(k);
        else
            world_expect(&world, 0);
        stopped += world.output.exit_code == 75;
        world_expect_good(&world, false, "signal %d at operation %ld", number, k);
    }
    print_message("%d runs stopped\n", stopped);
    assert_true(stopped > operations / stride / 2);
}

static void test_stop_in_stage2(void **state)
{
    (void)state;
    WORLD_FAULT(&world, test_format("BT_TEST_SIGNAL_AT_IO=%ld:%d", 7 * operations / 10, SIGTERM));
    world_expect_error(&world, 75, "of stage2; the same command continues");
    assert_true(newest_step("stage2") > 0);
    assert_false(bt_file_exists(world_path(&world, "runs/a/stage2/model")));
    world_expect_good(&world, false, "stopped in stage 2");
}

static void test_the_second_signal_ends_it(void **state)
{
    const long stride = TEST_IS_SLOW ? 31 : 7;
    (void)state;
    for (long k = 1; k + 2 < operations; k += stride) {
        const int number = k % 2 ? SIGTERM : SIGINT;
        WORLD_FAULT(&world, test_format("BT_TEST_SIGNAL_AT_IO=%ld+:%d", k, number));
        if (world.output.signal != number)
            fail_msg("two signals at operations %ld and %ld: exit code %d, signal %d, stderr: %s", k, k + 1,
                     world.output.exit_code, world.output.signal, world.output.err);
        assert_string_equal(world.output.err, "");
        world_expect_good(&world, true, "two signals, at operations %ld and %ld", k, k + 1);
    }
}

struct sender { /* sends SIGTERM from outside, once, when the run has been going for a while */
    double after_s;
    bool sent;
};

static int send_once(void *context, double elapsed_s)
{
    struct sender *sender = context;
    if (sender->sent || elapsed_s < sender->after_s)
        return 0;
    sender->sent = true;
    return SIGTERM;
}

static void run_with_signal(const char *const *args, double after_s)
{
    struct sender sender = {.after_s = after_s};
    const char *argv[8] = {world.program, "--config", "run.yaml", "--quiet"};
    for (size_t i = 0; args[i]; i++)
        argv[4 + i] = args[i];
    test_output_free(&world.output);
    test_run(&(struct test_program){.argv = argv, .directory = world.dir, .signal_now = send_once, .context = &sender},
             &world.output);
}

/* Signals from outside, ten of them in one long run: as a batch scheduler sends them, and starts the job again. */
static void test_requeued_by_a_scheduler(void **state)
{
    static const char *const args[] = {"--set=stage2.max_steps=1500", "--set=checkpoint.save_interval=0", NULL};
    int stops = 0;
    (void)state;
    world_run_program(&world, world.program, NULL, args);
    world_expect(&world, 0);
    char *model = strdup(world_hash(&world, WORLD_LAST_MODEL));
    char *records = world_records(&world, "runs/a", "train eval end");
    world_remove(&world, "runs");
    for (int i = 0; i < 10; i++) {
        run_with_signal(args, 0.15);
        if (world.output.exit_code == 0)
            break;
        expect_stopped(i);
        stops++;
    }
    world_run_program(&world, world.program, NULL, args);
    world_expect(&world, 0);
    print_message("stopped %d times\n", stops);
    char *found = world_records(&world, "runs/a", "train eval end");
    assert_string_equal(world_hash(&world, WORLD_LAST_MODEL), model);
    assert_string_equal(found, records);
    free(found);
    free(records);
    free(model);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_stops_and_continues, clear),
        cmocka_unit_test_setup(test_stop_in_stage2, clear),
        cmocka_unit_test_setup(test_the_second_signal_ends_it, clear),
        cmocka_unit_test_setup(test_requeued_by_a_scheduler, clear),
    };
    world_make(&world, argc, argv);
    const int failed = cmocka_run_group_tests(tests, setup, NULL);
    world_finish(&world);
    return failed;
}
