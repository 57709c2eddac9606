/* Linked into a program under test: faults at exact disk operations, asked for by the environment. Operations count
 * from 1 in the order in which the program does them.
 *
 *   BT_TEST_KILL_AT_IO=<k>            SIGKILL when operation k has been carried out (0: before the first one)
 *   BT_TEST_SIGNAL_AT_IO=<k>:<signal> that signal at the same moment, once; the program goes on as far as it lets it
 *   BT_TEST_SIGNAL_AT_IO=<k>+:<signal> and again after every operation that follows
 *   BT_TEST_FAIL_IO=<k>:<errno>       operation k fails with this errno, once
 *   BT_TEST_FAIL_IO=<k>+:<errno>      and so does every one after it
 *   BT_TEST_COUNT_IO=<file>           the number of operations, written there when the program ends by itself */
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "io/file.h"

static struct {
    long done;                              /* operations that were carried out */
    long kill_after, signal_after, fail_at; /* below 0: not asked for */
    int signal, error;
    bool goes_on_failing, goes_on_signalling;
    const char *count_file;
} faults;

static int on_operation(const char *op, const char *path)
{
    (void)op;
    (void)path;
    if (faults.done == faults.kill_after)
        raise(SIGKILL);
    if (faults.signal &&
        (faults.done == faults.signal_after || (faults.goes_on_signalling && faults.done > faults.signal_after)))
        raise(faults.signal);
    faults.done++;
    const bool fails = faults.goes_on_failing ? faults.done >= faults.fail_at : faults.done == faults.fail_at;
    return faults.fail_at > 0 && fails ? faults.error : 0;
}

static void write_count(void)
{
    FILE *file = fopen(faults.count_file, "w");
    if (!file || fprintf(file, "%ld\n", faults.done) < 0 || fclose(file))
        abort();
}

/* A fault that is misspelt would make a test pass that tests nothing. */
static void refuse(const char *name, const char *value)
{
    fprintf(stderr, "%s: %s is not understood\n", name, value);
    abort();
}

__attribute__((constructor)) static void install(void)
{
    char plus[2];
    const char *kill_at = getenv("BT_TEST_KILL_AT_IO");
    const char *signal_at = getenv("BT_TEST_SIGNAL_AT_IO");
    const char *fail = getenv("BT_TEST_FAIL_IO");
    faults.kill_after = faults.signal_after = faults.fail_at = -1;
    faults.count_file = getenv("BT_TEST_COUNT_IO");
    if (kill_at && sscanf(kill_at, "%ld", &faults.kill_after) != 1)
        refuse("BT_TEST_KILL_AT_IO", kill_at);
    if (signal_at && sscanf(signal_at, "%ld%1[+]:%d", &faults.signal_after, plus, &faults.signal) == 3)
        faults.goes_on_signalling = true;
    else if (signal_at && sscanf(signal_at, "%ld:%d", &faults.signal_after, &faults.signal) != 2)
        refuse("BT_TEST_SIGNAL_AT_IO", signal_at);
    if (fail && sscanf(fail, "%ld%1[+]:%d", &faults.fail_at, plus, &faults.error) == 3)
        faults.goes_on_failing = true;
    else if (fail && sscanf(fail, "%ld:%d", &faults.fail_at, &faults.error) != 2)
        refuse("BT_TEST_FAIL_IO", fail);
    if (faults.count_file && atexit(write_count))
        abort();
    bt_io_hook = on_operation;
}
