#include "support.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "stop.h"

/* Runs body in a child, for its signal handlers are the process's own; gives back how it ended. */
static int status_of(void (*body)(int first, int second), int first, int second)
{
    int status;
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        body(first, second);
        _exit(99);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void one_signal(int first, int second)
{
    (void)second;
    bt_stop_install();
    if (bt_stop_requested())
        _exit(1);
    raise(first);
    _exit(bt_stop_requested() == first ? 0 : 2);
}

static void two_signals(int first, int second)
{
    bt_stop_install();
    raise(first);
    raise(second);
}

static void one_signal_where_it_was_ignored(int first, int second)
{
    signal(first, SIG_IGN);
    one_signal(first, second);
}

/* The signals come from outside while the program sits in a system call, as they do in life. */
static void interrupted_read(int first, int second)
{
    int ends[2];
    char byte;
    bt_stop_install();
    if (pipe(ends))
        _exit(1);
    const pid_t parent = getpid(), child = fork();
    if (child == 0) {
        usleep(50000);
        kill(parent, first);
        usleep(50000);
        _exit(write(ends[1], "x", 1) == 1 ? 0 : 1);
    }
    (void)second;
    _exit(read(ends[0], &byte, 1) == 1 && bt_stop_requested() == first ? 0 : 3);
}

static const int numbers[] = {SIGINT, SIGTERM};

static void test_the_first_signal_is_a_request(void **state)
{
    (void)state;
    for (size_t i = 0; i < BT_ARRAY_LEN(numbers); i++) {
        const int status = status_of(one_signal, numbers[i], 0);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
    }
}

static void test_the_second_ends_the_program(void **state)
{
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        const int status = status_of(two_signals, numbers[i / 2], numbers[i % 2]);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), numbers[i % 2]);
    }
}

static void test_also_where_it_was_ignored(void **state)
{
    (void)state;
    const int status = status_of(one_signal_where_it_was_ignored, SIGINT, 0);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_a_system_call_goes_on(void **state)
{
    (void)state;
    const int status = status_of(interrupted_read, SIGTERM, 0);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_first_signal_is_a_request),
        cmocka_unit_test(test_the_second_ends_the_program),
        cmocka_unit_test(test_also_where_it_was_ignored),
        cmocka_unit_test(test_a_system_call_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
