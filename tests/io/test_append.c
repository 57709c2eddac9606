#include "io_support.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static int writes;

static int count_writes(const char *op, const char *path)
{
    (void)path;
    writes += !strcmp(op, "write");
    return 0;
}

static void lines_are_appended_one_write_each(void **state)
{
    struct bt_append *file = NULL;
    struct bt_diag diag;
    const char *path = in_dir(state, "log");
    TEST_OK(bt_append_open(path, 0, &file, &diag), diag);
    writes = 0;
    bt_io_hook = count_writes;
    TEST_OK(bt_append_line(file, "one", 3, &diag), diag);
    TEST_OK(bt_append_line(file, "", 0, &diag), diag);
    bt_io_hook = NULL;
    assert_int_equal(writes, 2);
    assert_int_equal(bt_append_size(file), 5);
    TEST_OK(bt_append_sync(file, &diag), diag);
    bt_append_close(file);
    bt_append_close(NULL);
    assert_file_holds(path, "one\n\n", 5);
}

static void opening_cuts_back(void **state)
{
    struct bt_append *file = NULL;
    struct bt_diag diag;
    const char *path = in_dir(state, "log");
    test_write_file(path, "one\ntwo\nthree\n", 14);
    TEST_OK(bt_append_open(path, 8, &file, &diag), diag);
    TEST_OK(bt_append_line(file, "3", 1, &diag), diag);
    assert_int_equal(bt_append_size(file), 10);
    bt_append_close(file);
    assert_file_holds(path, "one\ntwo\n3\n", 10);

    TEST_OK(bt_append_open(path, BT_APPEND_KEEP_ALL, &file, &diag), diag);
    assert_int_equal(bt_append_size(file), 10);
    bt_append_close(file);
    assert_file_holds(path, "one\ntwo\n3\n", 10);

    ASSERT_FAILS(BT_EINPUT, "log: the file has 10 bytes where at least 11 were expected",
                 bt_append_open(path, 11, &file, &diag));
    assert_file_holds(path, "one\ntwo\n3\n", 10);
    TEST_OK(bt_append_open(path, 0, &file, &diag), diag);
    bt_append_close(file);
    assert_file_holds(path, "", 0);
}

static enum bt_err append(void *context, struct bt_diag *diag)
{
    const char *path = context;
    struct bt_append *file = NULL;
    enum bt_err err = bt_append_open(path, 4, &file, diag);
    if (err)
        return err;
    err = bt_append_line(file, "two", 3, diag);
    if (!err)
        err = bt_append_sync(file, diag);
    bt_append_close(file);
    return err;
}

static void look_at_lines(void *context, enum bt_err err)
{
    const char *path = context;
    size_t size;
    char *text = (char *)test_read_file(path, &size);
    assert_true(!strcmp(text, "one\ntwo\n") || (err && !strncmp(text, "one\n", 4)));
    free(text);
    test_write_file(path, "one\nrest\n", 9);
}

static void a_failing_disk_fails_an_append(void **state)
{
    const char *path = in_dir(state, "log");
    test_write_file(path, "one\nrest\n", 9);
    const struct disk_faults faults = {append, look_at_lines, (void *)(uintptr_t)path, "log"};
    assert_int_equal(test_every_disk_operation_fails(&faults, ENOSPC), 4); /* open truncate write sync */
}

static enum bt_err append_only(void *context)
{
    test_write_file(context, "one\nrest\n", 9);
    return append(context, NULL);
}

static void every_allocation_may_fail(void **state)
{
    test_every_allocation_fails(append_only, (void *)(uintptr_t)in_dir(state, "log"));
}

/* The kernel takes the part of a line that fits below the limit, then refuses: the part must go again. */
static int append_below_a_limit(const char *path)
{
    const struct rlimit limit = {10, 10};
    struct bt_append *file = NULL;
    struct bt_diag diag;
    signal(SIGXFSZ, SIG_IGN);
    if (setrlimit(RLIMIT_FSIZE, &limit) || bt_append_open(path, 0, &file, &diag))
        return 1;
    if (bt_append_line(file, "12345", 5, &diag))
        return 2;
    if (bt_append_line(file, "abcdefgh", 8, &diag) != BT_EIO || !strstr(diag.text, strerror(EFBIG)))
        return 3;
    if (bt_append_size(file) != 6 || bt_append_line(file, "ab", 2, &diag))
        return 4;
    bt_append_close(file);
    return 0;
}

static void half_a_line_is_taken_back(void **state)
{
    const char *path = in_dir(state, "log");
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(append_below_a_limit(path));
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_file_holds(path, "12345\nab\n", 9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_DIR(lines_are_appended_one_write_each), IN_DIR(opening_cuts_back),
        IN_DIR(a_failing_disk_fails_an_append),    IN_DIR(every_allocation_may_fail),
        IN_DIR(half_a_line_is_taken_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
