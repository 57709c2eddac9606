/* bitnet-sweep on twelve members: killed on the way, started twice at once, told to stop - the table is the same. */
#include "sweep_world.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/file.h"

static struct train_world world;
static char *good; /* the results of a sweep that nothing happens to */

static int setup(void **state)
{
    (void)state;
    SWEEP_RUN(&world, "--quiet");
    world_expect(&world, 0);
    assert_string_equal(world.output.err, "");
    good = sweep_results(&world, "runs/twelve");
    assert_int_equal(sweep_count_finished(&world, "runs/twelve"), SWEEP_MEMBERS);
    sweep_expect_each_update_once(&world, "runs/twelve");
    return 0;
}

static int clear(void **state)
{
    (void)state;
    world_remove(&world, "runs");
    return 0;
}

static void expect_good(void)
{
    char *results = sweep_results(&world, "runs/twelve");
    assert_string_equal(results, good);
    free(results);
    sweep_expect_each_update_once(&world, "runs/twelve");
}

/* ---- killed ---- */

struct killing {
    size_t finished;      /* when so many members are */
    bool members_as_well; /* and not only the sweep: a power cut */
    bool done;
};

/* The process that holds a lock. */
static void kill_holder(const char *run)
{
    const char *path = world_path(&world, test_format("runs/twelve/%s/lock", run));
    long pid = 0;
    if (!bt_file_exists(path))
        return;
    char *text = (char *)test_read_file(path, NULL);
    if (sscanf(text, "%ld", &pid) == 1 && pid > 1)
        kill((pid_t)pid, SIGKILL);
    free(text);
}

static int kill_when(void *context, double elapsed_s)
{
    struct killing *killing = context;
    size_t count;
    (void)elapsed_s;
    if (killing->done || sweep_count_finished(&world, "runs/twelve") < killing->finished)
        return 0;
    killing->done = true;
    if (killing->members_as_well) {
        char **names = sweep_runs(&world, "runs/twelve", &count);
        for (size_t i = 0; i < count; i++)
            kill_holder(names[i]);
        bt_names_free(names, count);
    }
    return SIGKILL;
}

static void test_killed_five_times(void **state)
{
    (void)state;
    for (size_t i = 0; i < 5; i++) {
        struct killing killing = {.finished = 2 * i + 1, .members_as_well = i % 2 == 1};
        sweep_run(&world, kill_when, &killing, (const char *const[]){"--quiet", NULL});
        assert_int_equal(world.output.signal, SIGKILL);
    }
    SWEEP_RUN(&world, "--quiet");
    world_expect(&world, 0);
    expect_good();
}

/* ---- another start ---- */

static void test_only_the_table_is_left(void **state)
{
    (void)state;
    SWEEP_RUN(&world, "--quiet");
    world_expect(&world, 0);
    char *files = world_listing(&world, "runs/twelve", true);
    SWEEP_RUN(&world, "--jobs=3");
    world_expect(&world, 0);
    assert_string_equal(world.output.err, "");
    assert_non_null(strstr(world.output.out, "calibrated"));
    char *again = world_listing(&world, "runs/twelve", true);
    assert_string_equal(files, again);
    free(files);
    free(again);
    expect_good();
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_killed_five_times, clear),
        cmocka_unit_test(test_only_the_table_is_left),
    };
    sweep_make(&world, argc, argv, sweep_of_twelve);
    const int failed = cmocka_run_group_tests(tests, setup, NULL);
    free(good);
    world_finish(&world);
    return failed;
}
