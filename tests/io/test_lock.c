#include "io_support.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/lock.h"

/* A child that takes the lock, says so through the pipe and waits to be killed. */
static pid_t start_holder(const char *path)
{
    int ends[2];
    char byte = 0;
    assert_int_equal(pipe(ends), 0);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct bt_lock *lock;
        byte = bt_lock_take(path, &lock, NULL) == BT_OK ? 'y' : 'n';
        if (write(ends[1], &byte, 1) == 1)
            pause();
        _exit(1);
    }
    close(ends[1]);
    assert_int_equal(read(ends[0], &byte, 1), 1);
    close(ends[0]);
    assert_int_equal(byte, 'y');
    return child;
}

static void end_holder(pid_t child)
{
    int status;
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, &status, 0), child);
}

static void the_holder_is_named_and_its_death_frees_the_lock(void **state)
{
    struct bt_lock *lock = NULL;
    struct bt_diag diag;
    char host[65] = "";
    const char *path = in_dir(state, "lock");
    const pid_t holder = start_holder(path);
    gethostname(host, sizeof host - 1);
    ASSERT_FAILS(BT_EINPUT, test_format("lock: is in use by process %d on host %s", (int)holder, host),
                 bt_lock_take(path, &lock, &diag));
    assert_null(lock);
    end_holder(holder);
    assert_true(bt_file_exists(path));
    TEST_OK(bt_lock_take(path, &lock, &diag), diag);
    const char *mine = test_format("%ld %s\n", (long)getpid(), host);
    assert_file_holds(path, mine, strlen(mine));
    bt_lock_release(lock);
    bt_lock_release(NULL);
}

static void a_released_lock_can_be_taken_again(void **state)
{
    struct bt_lock *lock = NULL, *second = NULL;
    struct bt_diag diag;
    const char *path = in_dir(state, "lock");
    TEST_OK(bt_lock_take(path, &lock, &diag), diag);
    ASSERT_FAILS(BT_EINPUT, test_format("in use by process %ld", (long)getpid()), bt_lock_take(path, &second, &diag));
    bt_lock_release(lock);
    assert_file_holds(path, "", 0);
    TEST_OK(bt_lock_take(path, &second, &diag), diag);
    bt_lock_release(second);
}

static void reading_the_file_does_not_lose_the_lock(void **state)
{
    struct bt_lock *lock = NULL, *second = NULL;
    struct bt_diag diag;
    char *text = NULL;
    const char *path = in_dir(state, "lock");
    TEST_OK(bt_lock_take(path, &lock, &diag), diag);
    TEST_OK(bt_file_read(path, &text, NULL, &diag), diag);
    bt_free(text);
    ASSERT_FAILS(BT_EINPUT, "in use", bt_lock_take(path, &second, &diag));
    bt_lock_release(lock);
}

static void a_holder_that_wrote_nothing_legible_is_still_a_holder(void **state)
{
    struct bt_lock *lock = NULL, *second = NULL;
    struct bt_diag diag;
    const char *path = in_dir(state, "lock");
    TEST_OK(bt_lock_take(path, &lock, &diag), diag);
    static const char *const texts[] = {"", "hello", "12", "\xff\xff"};
    for (size_t i = 0; i < BT_ARRAY_LEN(texts); i++) {
        test_write_file(path, texts[i], strlen(texts[i]));
        ASSERT_FAILS(BT_EINPUT, "lock: is in use by another process", bt_lock_take(path, &second, &diag));
    }
    bt_lock_release(lock);
}

/* Whoever inherits the descriptor holds the lock as well. */
static void a_child_can_hold_it_on(void **state)
{
    struct bt_lock *lock = NULL, *second = NULL;
    struct bt_diag diag;
    const char *path = in_dir(state, "lock");
    TEST_OK(bt_lock_take(path, &lock, &diag), diag);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        const int kept = dup(bt_lock_descriptor(lock));
        pause();
        _exit(kept);
    }
    bt_lock_release(lock);
    ASSERT_FAILS(BT_EINPUT, "in use", bt_lock_take(path, &second, &diag));
    end_holder(child);
    TEST_OK(bt_lock_take(path, &second, &diag), diag);
    bt_lock_release(second);
}

static enum bt_err take_and_release(void *context, struct bt_diag *diag)
{
    struct bt_lock *lock = NULL;
    const enum bt_err err = bt_lock_take(context, &lock, diag);
    if (!err) {
        int (*hook)(const char *, const char *) = bt_io_hook;
        bt_io_hook = NULL; /* releasing cannot fail */
        bt_lock_release(lock);
        bt_io_hook = hook;
    }
    return err;
}

static enum bt_err take_quietly(void *context)
{
    return take_and_release(context, NULL);
}

static void whatever_fails_leaves_no_lock(void **state)
{
    struct bt_diag diag;
    void *path = (void *)(uintptr_t)in_dir(state, "lock");
    const struct disk_faults faults = {take_and_release, NULL, path, "lock"};
    assert_int_equal(test_every_disk_operation_fails(&faults, ENOSPC), 3); /* open truncate write */
    test_every_allocation_fails(take_quietly, path);
    TEST_OK(take_and_release(path, &diag), diag);
    ASSERT_FAILS(BT_EIO, "none/lock: cannot open for writing: No such file",
                 take_and_release((void *)(uintptr_t)in_dir(state, "none/lock"), &diag));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_DIR(the_holder_is_named_and_its_death_frees_the_lock),
        IN_DIR(a_released_lock_can_be_taken_again),
        IN_DIR(reading_the_file_does_not_lose_the_lock),
        IN_DIR(a_holder_that_wrote_nothing_legible_is_still_a_holder),
        IN_DIR(a_child_can_hold_it_on),
        IN_DIR(whatever_fails_leaves_no_lock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
