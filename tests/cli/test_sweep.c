/* bitnet-sweep on twelve members: killed on the way, started twice at once, told to stop - the table is the same. */
#include "sweep_world.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "io/file.h"
#include "io/lock.h"

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
    size_t finished;      /* when so many members are ... */
    double after_s;       /* ... and so much later */
    bool members_as_well; /* and not only the sweep: a power cut */
    double due_s;         /* 0: not yet */
    bool done;
};

static bool is_due(struct killing *killing, double elapsed_s)
{
    if (killing->done)
        return false;
    if (killing->due_s == 0.0 && sweep_count_finished(&world, "runs/twelve") >= killing->finished)
        killing->due_s = elapsed_s + killing->after_s;
    killing->done = killing->due_s > 0.0 && elapsed_s >= killing->due_s;
    return killing->done;
}

/* The process that holds a run's lock: not one that once did, whose number may be another's by now. */
static void kill_holder(const char *run)
{
    const char *path = world_path(&world, test_format("runs/twelve/%s/lock", run));
    struct bt_lock *lock = NULL;
    bool busy = false;
    long pid = 0;
    if (!bt_file_exists(path))
        return;
    if (!bt_lock_try(path, &busy, &lock, NULL))
        bt_lock_release(lock);
    if (!busy)
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
    if (!is_due(killing, elapsed_s))
        return 0;
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
    const unsigned seed = (unsigned)time(NULL) ^ (unsigned)getpid();
    (void)state;
    print_message("seed %u\n", seed);
    srand(seed);
    for (size_t i = 0; i < 5; i++) {
        struct killing killing = {.finished = 2 * i, .after_s = 1e-3 * (rand() % 100), .members_as_well = i % 2 == 1};
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

/* ---- two at once ---- */

/* Two sweeps on one folder at the same time; what they said is in first.txt and second.txt, tables in *.out. */
static void run_two(int exit_code)
{
    const char *const script = "\"$0\" --config sweep.yaml 2>first.txt >first.out & \"$0\" --config sweep.yaml "
                               "2>second.txt >second.out; second=$?; wait $!; test $? = $second && exit $second";
    const char *const argv[] = {"/bin/sh", "-c", script, world.program, NULL};
    test_output_free(&world.output);
    test_run(&(struct test_program){.argv = argv, .directory = world.dir}, &world.output);
    world_expect(&world, exit_code);
    char *one = world_text(&world, "first.out"), *other = world_text(&world, "second.out");
    assert_non_null(strstr(one, "status"));
    assert_string_equal(one, other);
    free(one);
    free(other);
}

static size_t count_begins(const char *text, const char *run)
{
    const char *words = test_format("%s: begins", run);
    size_t count = 0;
    while ((text = strstr(text, words))) {
        count++;
        text++;
    }
    return count;
}

/* Each of them runs some of the members, and both end with the whole table. */
static void test_two_at_once(void **state)
{
    (void)state;
    run_two(0);
    char *first = world_text(&world, "first.txt"), *second = world_text(&world, "second.txt");
    size_t began = 0, runs;
    char **names = sweep_runs(&world, "runs/twelve", &runs);
    for (size_t i = 0; i < runs; i++) {
        const size_t by_second = count_begins(second, names[i]);
        assert_int_equal(count_begins(first, names[i]) + by_second, 1);
        began += by_second;
    }
    assert_in_range(began, 1, runs - 1);
    assert_non_null(strstr(test_format("%s%s", first, second), "is in use by process"));
    bt_names_free(names, runs);
    free(first);
    free(second);
    expect_good();
}

/* ---- told to stop ---- */

static int stop_when(void *context, double elapsed_s)
{
    return is_due(context, elapsed_s) ? SIGINT : 0;
}

static void test_stopped(void **state)
{
    (void)state;
    for (size_t i = 1; i <= 3; i++) {
        struct killing stop = {.finished = 2 * i};
        sweep_run(&world, stop_when, &stop, NULL);
        world_expect(&world, 75);
        assert_non_null(strstr(world.output.err, "members finished; the same command continues"));
        assert_non_null(strstr(world.output.out, "pending"));
    }
    SWEEP_RUN(&world, "--quiet");
    world_expect(&world, 0);
    expect_good();
}

/* ---- what is shared ---- */

/* A member is what the same config gives without a sweep. */
static void test_a_member_is_an_ordinary_run(void **state)
{
    size_t count;
    (void)state;
    SWEEP_RUN(&world, "--quiet", "--index=3");
    world_expect(&world, 0);
    assert_int_equal(sweep_count_finished(&world, "runs/twelve"), 1);
    char **names = sweep_runs(&world, "runs/twelve", &count);
    const char *member = NULL;
    for (size_t i = 0; i < count; i++)
        if (strncmp(names[i], "shared-", 7) != 0)
            member = names[i];
    assert_non_null(member);
    char *trainer = bt_path_parent(world.program);
    const char *const argv[] = {test_format("%s/bitnet-train", trainer),
                                "--quiet",
                                "--config",
                                test_format("runs/twelve/members/%s.yaml", member),
                                "--set=name=alone",
                                "--set=output_dir=runs",
                                NULL};
    test_output_free(&world.output);
    test_run(&(struct test_program){.argv = argv, .directory = world.dir}, &world.output);
    world_expect(&world, 0);
    char *shared = world_records(&world, test_format("runs/twelve/%s", member), "train eval end");
    char *alone = world_records(&world, "runs/alone", "train eval end");
    assert_string_equal(shared, alone);
    assert_string_equal(world_hash(&world, test_format("runs/twelve/%s/stage2/model/model.safetensors", member)),
                        world_hash(&world, "runs/alone/stage2/model/model.safetensors"));
    free(shared);
    free(alone);
    bt_free(trainer);
    bt_names_free(names, count);
}

/* ---- members that fail, members that change ---- */

static const char failing[] = "name: failing\n"
                              "config: run.yaml\n"
                              "set: {stages: [stage0], stage0.max_steps: 200, stage0.max_skipped_updates: 2}\n"
                              "list:\n"
                              "  - {stage0.optimizer.lr: 1e-3}\n"
                              "  - {stage0.optimizer.lr: 1e29}\n"
                              "  - {data.train.0.path: nowhere.bin}\n";

static void test_failures(void **state)
{
    (void)state;
    world_write(&world, "sweep.yaml", failing);
    run_two(6);
    char *first = world_text(&world, "first.txt"), *second = world_text(&world, "second.txt");
    const char *both = test_format("%s%s", first, second), *failed = strstr(both, ": failed: nowhere.bin");
    assert_non_null(failed); /* by one of them, and not tried by the other as well */
    assert_null(strstr(failed + 1, ": failed: nowhere.bin"));
    free(first);
    free(second);
    for (int i = 0; i < 2; i++) { /* another start says the same */
        SWEEP_RUN(&world, "--quiet", "--jobs=2");
        world_expect(&world, 6);
        assert_non_null(strstr(world.output.err, "bitnet-sweep: 2 of 3 members failed; the table says which"));
        assert_non_null(strstr(world.output.out, "nowhere.bin"));
        char *results = sweep_results(&world, "runs/failing");
        assert_non_null(strstr(results, "\"status\":\"finished\""));
        assert_non_null(strstr(results, "nowhere.bin: "));
        free(results);
    }
    world_copy(&world, "train.bin", "nowhere.bin"); /* what was missing is there: it is tried again */
    SWEEP_RUN(&world, "--quiet");
    world_expect(&world, 6);
    assert_non_null(strstr(world.output.err, "1 of 3 members failed"));
    world_remove(&world, "nowhere.bin");
    world_write(&world, "sweep.yaml", sweep_of_twelve);
}

static size_t count_runs(const char *folder)
{
    size_t count;
    char **names = sweep_runs(&world, folder, &count);
    bt_names_free(names, count);
    return count;
}

static void test_a_changed_config_is_another_folder(void **state)
{
    (void)state;
    SWEEP_RUN(&world, "--quiet", "--index=1");
    world_expect(&world, 0);
    const size_t before = count_runs("runs/twelve");
    SWEEP_RUN(&world, "--quiet", "--index=1", "--set=stage2.max_steps=9");
    world_expect(&world, 0);
    assert_int_equal(count_runs("runs/twelve"), before + 1); /* what it shares with others is as it was */
}

/* ---- as an array job ---- */

static const char stub[] = "#!/bin/sh\necho \"$(basename \"$0\") $*\" >>calls.txt\n";

static void write_program(const char *name, const char *text)
{
    world_write(&world, name, text);
    assert_int_equal(chmod(world_path(&world, name), 0755), 0);
}

/* Runs tools/sweep.slurm with the environment of such a job; Slurm itself is two programs that only note their call. */
static void run_slurm(const char *const *job, int (*signal_now)(void *, double), void *context)
{
    static const char script[] = BT_SOURCE_DIR "/tools/sweep.slurm";
    const char *const argv[] = {script, "--config", "sweep.yaml", NULL};
    const char *env[8] = {test_format("BITNET_SWEEP=%s", world.program),
                          test_format("PATH=%s:%s", world_path(&world, "bin"), getenv("PATH"))};
    for (size_t i = 0; job[i]; i++)
        env[2 + i] = job[i];
    test_output_free(&world.output);
    test_run(
        &(struct test_program){
            .argv = argv, .env = env, .directory = world.dir, .signal_now = signal_now, .context = context},
        &world.output);
}

static int terminate_when(void *context, double elapsed_s)
{
    return is_due(context, elapsed_s) ? SIGTERM : 0;
}

static void test_array_job(void **state)
{
    const char *const task[] = {"SLURM_JOB_ID=9", "SLURM_ARRAY_JOB_ID=7", "SLURM_ARRAY_TASK_ID=4",
                                "SLURM_CPUS_PER_TASK=2", NULL};
    struct killing stop = {.after_s = 0.01};
    (void)state;
    assert_int_equal(mkdir(world_path(&world, "bin"), 0777), 0);
    write_program("bin/sbatch", stub);
    write_program("bin/scontrol", stub);
    run_slurm((const char *const[]){"SLURM_JOB_ID", NULL}, NULL, NULL); /* by hand: it submits itself */
    world_expect(&world, 0);
    char *calls = world_text(&world, "calls.txt");
    assert_string_equal(calls, "sbatch --array=1-12 " BT_SOURCE_DIR "/tools/sweep.slurm --config sweep.yaml\n");
    free(calls);
    run_slurm(task, NULL, NULL);
    world_expect(&world, 0);
    assert_int_equal(sweep_count_finished(&world, "runs/twelve"), 1);
    world_remove(&world, "runs");
    for (int code = 0; code != 75; stop = (struct killing){.after_s = stop.after_s + 0.02}) {
        world_remove(&world, "calls.txt");
        run_slurm(task, terminate_when, &stop);
        code = world.output.exit_code;
        assert_true(code == 75 || code == 143 || world.output.signal == SIGTERM); /* the sooner, the less was there */
    }
    calls = world_text(&world, "calls.txt");
    assert_string_equal(calls, "scontrol requeue 7_4\n");
    free(calls);
}

/* ---- looking ---- */

static void test_list_and_dry_run(void **state)
{
    (void)state;
    SWEEP_RUN(&world, "--list");
    world_expect(&world, 0);
    assert_non_null(
        strstr(world.output.out, "\n  12  pending      runs/twelve/lr=0.004,subln_init=calibrated,seed=2-"));
    SWEEP_RUN(&world, "--dry-run");
    world_expect(&world, 0);
    /* 12 times 8 updates, and 6 for each of two seeds */
    assert_non_null(
        strstr(world.output.out, "12 members, 0 of them finished; 6 runs that they share; 108 updates left"));
    assert_false(bt_file_exists(world_path(&world, "runs")));
}

static void test_refused(void **state)
{
    (void)state;
    SWEEP_RUN(&world, "--index=13");
    world_expect(&world, 2);
    assert_non_null(strstr(world.output.err, "--index: found 13, expected a member from 1 to 12"));
    SWEEP_RUN(&world, "--set=stage2.optimizer.lr");
    world_expect(&world, 2);
    SWEEP_RUN(&world, "--set=stage2.max_stepz=9");
    world_expect(&world, 2);
    assert_non_null(strstr(world.output.err, "did you mean \"max_steps\"?"));
    SWEEP_RUN(&world, "--set=model.config=nowhere.json", "--dry-run");
    world_expect(&world, 3);
    assert_non_null(strstr(world.output.err, "nowhere.json"));
    assert_false(bt_file_exists(world_path(&world, "runs")));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_killed_five_times, clear),
        cmocka_unit_test(test_only_the_table_is_left),
        cmocka_unit_test_setup(test_two_at_once, clear),
        cmocka_unit_test_setup(test_stopped, clear),
        cmocka_unit_test_setup(test_a_member_is_an_ordinary_run, clear),
        cmocka_unit_test_setup(test_failures, clear),
        cmocka_unit_test_setup(test_a_changed_config_is_another_folder, clear),
        cmocka_unit_test_setup(test_array_job, clear),
        cmocka_unit_test_setup(test_list_and_dry_run, clear),
        cmocka_unit_test_setup(test_refused, clear),
    };
    sweep_make(&world, argc, argv, sweep_of_twelve);
    const int failed = cmocka_run_group_tests(tests, setup, NULL);
    free(good);
    world_finish(&world);
    return failed;
}
