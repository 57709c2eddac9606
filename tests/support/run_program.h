/* tests/support/run_program.h - runs a program as a user would and keeps what it said. */
#ifndef BT_TESTS_RUN_PROGRAM_H
#define BT_TESTS_RUN_PROGRAM_H

#include "support.h"

struct test_program {
    const char *const *argv; /* NULL at the end; argv[0] is the path of the program */
    const char *const
        *env; /* "NAME=value" or, to remove it, "NAME"; NULL at the end; besides what the test has. May be NULL */
    const char *directory; /* to run in; NULL: where the test runs */
    double timeout_s;      /* then it is killed and the test fails; 0: ten minutes */
    /* Asked every few milliseconds with the time since the start: a signal to send now, or 0. May be NULL. */
    int (*signal_now)(void *context, double elapsed_s);
    void *context;
};

struct test_output {
    int exit_code; /* -1 when a signal ended it */
    int signal;    /* that signal, or 0 */
    char *out;     /* what it wrote to stdout, with a NUL added */
    char *err;     /* to stderr */
    double elapsed_s;
};

/* stdin is empty. Fails the test when the program cannot be started or takes too long. */
void test_run(const struct test_program *program, struct test_output *output);
void test_output_free(struct test_output *output);

/* The same in one line: fails the test, showing stderr, when the exit code is another one. The arguments are strings,
 * with a NULL at the end. */
void test_run_expect(int exit_code, struct test_output *output, const char *path, ...) __attribute__((sentinel));

#endif
