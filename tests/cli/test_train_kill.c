/* A run of three stages, killed at every one of its disk operations and at random moments: however often that happens,
 * the same command ends with the same files and the same records as the run that nothing happened to. */
#include "train_world.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static struct train_world world;
static long operations;

static int setup(void **state)
{
    (void)state;
    operations = world_count_operations(&world);
    world_keep_good(&world);
    print_message("%ld disk operations\n", operations);
    return 0;
}

/* Killed once operation k has been carried out; true when the run ended before that came. */
static bool kill_at(long k)
{
    WORLD_FAULT(&world, test_format("BT_TEST_KILL_AT_IO=%ld", k));
    if (world.output.signal == SIGKILL)
        return false;
    world_expect(&world, 0);
    return true;
}

/* With sanitizers every fourth operation, beginning at another one each second of the clock: printed. */
static void test_killed_at_every_operation(void **state)
{
    const long stride = TEST_IS_SLOW ? 4 : 1, first = TEST_IS_SLOW ? (long)(time(NULL) % 4) : 0;
    (void)state;
    print_message("operations %ld, %ld, ... of %ld\n", first, first + stride, operations);
    for (long k = first; k < operations; k += stride) {
        assert_false(kill_at(k));
        world_expect_good(&world, true, "killed after operation %ld", k);
    }
}

/* The second kill finds what the first one left. */
static void test_killed_twice(void **state)
{
    const long stride = TEST_IS_SLOW ? 41 : 13;
    (void)state;
    for (long k = 3; k < operations; k += stride)
        for (long again = 0; again < operations - k; again += 17 + k % 29) {
            assert_false(kill_at(k));
            kill_at(again);
            world_expect_good(&world, true, "killed after operation %ld, then %ld", k, again);
        }
}

/* A machine that never lets it do more than so many operations: it gets there all the same, one save at a time. */
static void test_killed_again_and_again(void **state)
{
    static const long most[] = {50, 65, 90};
    (void)state;
    for (size_t i = 0; i < BT_ARRAY_LEN(most); i++) {
        int starts = 1;
        while (!kill_at(most[i]))
            if (++starts > 100)
                fail_msg("not done after 100 starts of %ld operations each", most[i]);
        print_message("%d starts of %ld operations each\n", starts, most[i]);
        assert_true(starts > 1);
        world_expect_good(&world, true, "after many kills");
    }
}

static int kill_after(void *context, double elapsed_s)
{
    return elapsed_s >= *(const double *)context ? SIGKILL : 0;
}

/* At random moments, wherever the program is then: one run is killed until it gets through, and then the next. */
static void test_killed_at_random_moments(void **state)
{
    const unsigned seed = (unsigned)time(NULL) ^ (unsigned)getpid();
    int kills = 0;
    (void)state;
    print_message("seed %u\n", seed);
    srand(seed);
    for (int i = 0; i < 20; i++) {
        double moment = 0.25e-3 * (rand() % (TEST_IS_SLOW ? 1000 : 400));
        const char *const argv[] = {world.program, "--config", "run.yaml", "--quiet", NULL};
        test_output_free(&world.output);
        test_run(
            &(struct test_program){.argv = argv, .directory = world.dir, .signal_now = kill_after, .context = &moment},
            &world.output);
        kills += world.output.signal == SIGKILL;
        if (world.output.signal != SIGKILL) {
            world_expect(&world, 0);
            world_expect_good(&world, true, "seed %u, random kill %d", seed, i);
        }
    }
    print_message("%d of 20 runs were killed\n", kills);
    world_expect_good(&world, true, "seed %u, at the end", seed);
}

static int clear(void **state)
{
    (void)state;
    world_remove(&world, "runs");
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_killed_at_every_operation, clear),
        cmocka_unit_test_setup(test_killed_twice, clear),
        cmocka_unit_test_setup(test_killed_again_and_again, clear),
        cmocka_unit_test_setup(test_killed_at_random_moments, clear),
    };
    world_make(&world, argc, argv);
    const int failed = cmocka_run_group_tests(tests, setup, NULL);
    world_finish(&world);
    return failed;
}
