/* The instruments of the other tests here: running programs, and faults at exact disk operations. */
#include "run_program.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/file.h"

static const char *probe;

struct trial {
    char *dir;
    char file[4096];
    struct test_output output;
};

static int setup(void **state)
{
    struct trial *trial = calloc(1, sizeof *trial);
    assert_non_null(trial);
    trial->dir = test_make_dir();
    snprintf(trial->file, sizeof trial->file, "%s/file", trial->dir);
    *state = trial;
    return 0;
}

static int teardown(void **state)
{
    struct trial *trial = *state;
    test_output_free(&trial->output);
    test_remove_dir(trial->dir);
    free(trial);
    return 0;
}

static void run_probe(struct trial *trial, const char *fault)
{
    test_output_free(&trial->output);
    const struct test_program program = {.argv = (const char *[]){probe, trial->file, NULL},
                                         .env = (const char *[]){fault, NULL}};
    test_run(&program, &trial->output);
}

static void expect_content(const struct trial *trial, const char *want)
{
    if (!want) {
        assert_false(bt_file_exists(trial->file));
        return;
    }
    char *text = (char *)test_read_file(trial->file, NULL);
    assert_string_equal(text, want);
    free(text);
}

static void test_counts(void **state)
{
    struct trial *trial = *state;
    const char *count = test_format("%s/count", trial->dir);
    run_probe(trial, test_format("BT_TEST_COUNT_IO=%s", count));
    assert_int_equal(trial->output.exit_code, 0);
    assert_string_equal(trial->output.out, "signal 0\n");
    assert_string_equal(trial->output.err, "");
    char *text = (char *)test_read_file(count, NULL);
    assert_string_equal(text, "10\n");
    free(text);
    expect_content(trial, "two");
}

/* The rename is operation 4 of each replacing. */
static void test_kills(void **state)
{
    struct trial *trial = *state;
    for (int k = 0; k <= 10; k++) {
        remove(trial->file);
        run_probe(trial, test_format("BT_TEST_KILL_AT_IO=%d", k));
        assert_int_equal(trial->output.signal, k < 10 ? SIGKILL : 0);
        assert_int_equal(trial->output.exit_code, k < 10 ? -1 : 0);
        expect_content(trial, k < 4 ? NULL : k < 9 ? "one" : "two");
    }
}

static void test_signals(void **state)
{
    struct trial *trial = *state;
    run_probe(trial, test_format("BT_TEST_SIGNAL_AT_IO=3:%d", SIGTERM));
    assert_int_equal(trial->output.exit_code, 0);
    assert_string_equal(trial->output.out, test_format("signal %d\n", SIGTERM));
    expect_content(trial, "two");
    run_probe(trial, test_format("BT_TEST_SIGNAL_AT_IO=3:%d", SIGINT));
    assert_int_equal(trial->output.signal, SIGINT);
    expect_content(trial, "two"); /* of the run before */
    remove(trial->file);
    run_probe(trial, test_format("BT_TEST_SIGNAL_AT_IO=8+:%d", SIGTERM)); /* handled by the probe each time */
    assert_int_equal(trial->output.exit_code, 0);
    expect_content(trial, "two");
}

static void test_failures(void **state)
{
    struct trial *trial = *state;
    for (int k = 1; k <= 10; k++) {
        remove(trial->file);
        run_probe(trial, test_format("BT_TEST_FAIL_IO=%d:%d", k, ENOSPC));
        assert_int_equal(trial->output.exit_code, 5);
        assert_non_null(strstr(trial->output.err, strerror(ENOSPC)));
        expect_content(trial, k < 5 ? NULL : k < 10 ? "one" : "two");
    }
    run_probe(trial, test_format("BT_TEST_FAIL_IO=2+:%d", EIO));
    assert_int_equal(trial->output.exit_code, 5);
    assert_non_null(strstr(trial->output.err, strerror(EIO)));
    assert_true(bt_file_exists(test_format("%s.tmp", trial->file))); /* removing it failed as well */
}

static void test_a_misspelt_fault_is_no_success(void **state)
{
    struct trial *trial = *state;
    run_probe(trial, "BT_TEST_FAIL_IO=soon");
    assert_int_equal(trial->output.signal, SIGABRT);
    assert_non_null(strstr(trial->output.err, "BT_TEST_FAIL_IO"));
}

static int after_a_moment(void *context, double elapsed_s)
{
    return elapsed_s > 0.05 ? *(const int *)context : 0;
}

/* stdin is empty, stdout and stderr are kept apart, the environment and the folder are as asked. */
static void test_running_a_program(void **state)
{
    struct trial *trial = *state;
    const struct test_program program = {
        .argv = (const char *[]){"/bin/sh", "-c", "cat; echo \"$A$HOME\"; pwd >&2; exit 7", NULL},
        .env = (const char *[]){"A=b", "HOME", NULL},
        .directory = trial->dir,
    };
    test_run(&program, &trial->output);
    assert_int_equal(trial->output.exit_code, 7);
    assert_int_equal(trial->output.signal, 0);
    assert_string_equal(trial->output.out, "b\n");
    assert_non_null(strstr(trial->output.err, strrchr(trial->dir, '/')));
    test_output_free(&trial->output);
    test_run_expect(3, &trial->output, "/bin/sh", "-c", "exit 3", NULL);
}

static void test_a_signal_at_a_moment(void **state)
{
    struct trial *trial = *state;
    int number = SIGTERM;
    const struct test_program program = {
        .argv = (const char *[]){"/bin/sleep", "50", NULL}, .signal_now = after_a_moment, .context = &number};
    test_run(&program, &trial->output);
    assert_int_equal(trial->output.signal, SIGTERM);
    assert_int_equal(trial->output.exit_code, -1);
    assert_true(trial->output.elapsed_s > 0.05 && trial->output.elapsed_s < 40);
}

#define TRIAL(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TRIAL(test_counts),
        TRIAL(test_kills),
        TRIAL(test_signals),
        TRIAL(test_failures),
        TRIAL(test_a_misspelt_fault_is_no_success),
        TRIAL(test_running_a_program),
        TRIAL(test_a_signal_at_a_moment),
    };
    if (argc != 2) {
        fprintf(stderr, "usage: %s PROBE\n", argv[0]);
        return 2;
    }
    probe = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
