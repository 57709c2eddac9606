#include "io_support.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <xxhash.h>

#include "base/rng.h"

enum { LARGE = 5000000 };

static unsigned char pattern_at(size_t i)
{
    return (unsigned char)(i * 31 % 251);
}

static unsigned char *make_pattern(size_t size)
{
    unsigned char *data = malloc(size);
    assert_non_null(data);
    for (size_t i = 0; i < size; i++)
        data[i] = pattern_at(i);
    return data;
}

/* Pieces from nothing to more than the buffer, whatever the buffer's size is. */
static void pieces_of_any_size_are_joined_and_hashed(void **state)
{
    struct bt_out *out = NULL;
    struct bt_diag diag;
    unsigned char *data = make_pattern(LARGE);
    TEST_OK(bt_out_open(in_dir(state, "a"), &out, &diag), diag);
    size_t done = 0;
    for (uint64_t i = 0; done < LARGE; i++) {
        const uint64_t scale = (uint64_t)1 << bt_rng_below(1, i, 22);
        size_t n = (size_t)bt_rng_below(2, i, scale);
        n = n < LARGE - done ? n : LARGE - done;
        TEST_OK(bt_out_write(out, data + done, n, &diag), diag);
        done += n;
        if (i % 16 == 0)
            assert_true(bt_out_hash(out) == XXH3_64bits(data, done));
    }
    assert_true(bt_out_hash(out) == XXH3_64bits(data, LARGE));
    TEST_OK(bt_out_close(out, &diag), diag);
    assert_file_holds(in_dir(state, "a"), data, LARGE);
    free(data);
}

static void writes_of_exactly_the_buffer_work(void **state)
{
    struct bt_out *out = NULL;
    struct bt_diag diag;
    const size_t mebi = 1 << 20;
    unsigned char *data = make_pattern(3 * mebi + 1);
    TEST_OK(bt_out_open(in_dir(state, "a"), &out, &diag), diag);
    TEST_OK(bt_out_write(out, data, mebi - 1, &diag), diag);
    TEST_OK(bt_out_write(out, data + mebi - 1, 1, &diag), diag);
    TEST_OK(bt_out_write(out, data + mebi, mebi, &diag), diag);
    TEST_OK(bt_out_write(out, data + 2 * mebi, 1, &diag), diag);
    TEST_OK(bt_out_write(out, data + 2 * mebi + 1, mebi, &diag), diag);
    TEST_OK(bt_out_close(out, &diag), diag);
    assert_file_holds(in_dir(state, "a"), data, 3 * mebi + 1);
    free(data);
}

static void abandoning_leaves_the_old_file(void **state)
{
    struct bt_out *out = NULL;
    struct bt_diag diag;
    test_write_file(in_dir(state, "a"), "old", 3);
    TEST_OK(bt_out_replace(in_dir(state, "a"), &out, &diag), diag);
    TEST_OK(bt_out_write(out, "new", 3, &diag), diag);
    bt_out_abandon(out);
    bt_out_abandon(NULL);
    assert_file_holds(in_dir(state, "a"), "old", 3);
    assert_false(bt_file_exists(in_dir(state, "a.tmp")));
}

static void replacing_makes_or_overwrites(void **state)
{
    struct bt_diag diag;
    const char *path = in_dir(state, "a");
    test_write_file(in_dir(state, "a.tmp"), "rubbish of a killed run", 23);
    TEST_OK(bt_file_replace(path, "one", 3, &diag), diag);
    assert_file_holds(path, "one", 3);
    TEST_OK(bt_file_replace(path, "", 0, &diag), diag);
    assert_file_holds(path, "", 0);
    assert_false(bt_file_exists(in_dir(state, "a.tmp")));
    ASSERT_FAILS(BT_EIO, "none/a.tmp: cannot open for writing: No such file",
                 bt_file_replace(in_dir(state, "none/a"), "", 0, &diag));
}

static void a_full_disk_is_named(void **state)
{
    (void)state;
    struct bt_out *out = NULL;
    struct bt_diag diag;
    TEST_OK(bt_out_open("/dev/full", &out, &diag), diag);
    TEST_OK(bt_out_write(out, "x", 1, &diag), diag);
    ASSERT_FAILS(BT_EIO, "/dev/full: cannot write: No space left on device", bt_out_close(out, &diag));

    unsigned char *data = make_pattern(LARGE);
    TEST_OK(bt_out_open("/dev/full", &out, &diag), diag);
    ASSERT_FAILS(BT_EIO, "No space left on device", bt_out_write(out, data, LARGE, &diag));
    ASSERT_FAILS(BT_EIO, "an earlier write failed", bt_out_write(out, data, LARGE, &diag));
    ASSERT_FAILS(BT_EIO, "an earlier write failed", bt_out_close(out, &diag));
    free(data);
}

/* old -> new under faults */
struct replacement {
    const char *path;
    const unsigned char *old, *new;
    size_t size;
};

static enum bt_err replace(void *context, struct bt_diag *diag)
{
    const struct replacement *r = context;
    return bt_file_replace(r->path, r->new, r->size, diag);
}

/* Whole, old or new; rewinds to old. */
static void look_at_target(void *context, enum bt_err err)
{
    const struct replacement *r = context;
    size_t size;
    unsigned char *got = test_read_file(r->path, &size);
    assert_int_equal(size, r->size);
    const bool is_new = !memcmp(got, r->new, size);
    assert_true(is_new || !memcmp(got, r->old, size));
    assert_true(is_new || err != BT_OK);
    free(got);
    test_write_file(r->path, r->old, r->size);
}

static void a_failing_disk_leaves_old_or_new(void **state)
{
    unsigned char *old = make_pattern(LARGE), *new = make_pattern(LARGE);
    memset(new, 1, LARGE);
    struct replacement r = {in_dir(state, "target"), old, new, LARGE};
    test_write_file(r.path, old, LARGE);
    static const int errors[] = {EIO, ENOSPC, EDQUOT};
    const struct disk_faults faults = {replace, look_at_target, &r, *state};
    for (size_t i = 0; i < BT_ARRAY_LEN(errors); i++)
        assert_true(test_every_disk_operation_fails(&faults, errors[i]) >= 5); /* open write sync rename sync */
    assert_false(bt_file_exists(in_dir(state, "target.tmp")));
    free(old);
    free(new);
}

static int operations_to_live;

static int kill_when_due(const char *op, const char *path)
{
    (void)op;
    (void)path;
    if (operations_to_live-- == 0)
        raise(SIGKILL);
    return 0;
}

static void a_kill_leaves_old_or_new(void **state)
{
    static const unsigned char old[] = "old one", new[] = "new one";
    struct replacement r = {in_dir(state, "target"), old, new, sizeof old};
    struct bt_diag diag;
    bool killed = true;
    test_write_file(r.path, old, sizeof old);
    for (int n = 0; killed; n++) {
        const pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            operations_to_live = n;
            bt_io_hook = kill_when_due;
            _exit((int)replace(&r, NULL));
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        killed = WIFSIGNALED(status);
        look_at_target(&r, killed ? BT_EIO : BT_OK);
        TEST_OK(bt_file_replace(r.path, old, sizeof old, &diag), diag);
        assert_false(bt_file_exists(in_dir(state, "target.tmp")));
    }
}

static void on_alarm(int signal_number)
{
    (void)signal_number;
}

/* Reads in a child process, slowly, and says whether the pattern came whole. */
static pid_t start_slow_reader(const char *path)
{
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child > 0)
        return child;
    const int fd = open(path, O_RDONLY);
    unsigned char part[30011];
    size_t at = 0;
    ssize_t n;
    while ((n = read(fd, part, sizeof part)) > 0) {
        for (ssize_t i = 0; i < n; i++)
            if (part[i] != pattern_at(at++))
                _exit(1);
        usleep(500);
    }
    _exit(at == LARGE ? 0 : 2);
}

/* A pipe takes less than it is given and a timer interrupts the writes: nothing is lost or doubled. */
static void signals_do_not_disturb_a_write(void **state)
{
    const char *path = in_dir(state, "pipe");
    const struct sigaction action = {.sa_handler = on_alarm}; /* without SA_RESTART */
    const struct itimerval often = {{0, 700}, {0, 700}}, never = {{0, 0}, {0, 0}};
    struct sigaction before;
    struct bt_diag diag;
    struct bt_out *out = NULL;
    unsigned char *data = make_pattern(LARGE);
    assert_int_equal(mkfifo(path, 0600), 0);
    const pid_t child = start_slow_reader(path);
    assert_int_equal(sigaction(SIGALRM, &action, &before), 0);
    setitimer(ITIMER_REAL, &often, NULL);
    TEST_OK(bt_out_open(path, &out, &diag), diag);
    TEST_OK(bt_out_write(out, data, 1000000, &diag), diag);
    TEST_OK(bt_out_write(out, data + 1000000, LARGE - 1000000, &diag), diag);
    TEST_OK(bt_out_close(out, &diag), diag);
    int status;
    while (waitpid(child, &status, 0) != child)
        ;
    setitimer(ITIMER_REAL, &never, NULL);
    sigaction(SIGALRM, &before, NULL);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    free(data);
}

static void copies_are_whole(void **state)
{
    struct bt_diag diag;
    unsigned char *data = make_pattern(LARGE);
    test_write_file(in_dir(state, "a"), data, LARGE);
    TEST_OK(bt_file_copy(in_dir(state, "a"), in_dir(state, "b"), &diag), diag);
    assert_file_holds(in_dir(state, "b"), data, LARGE);
    test_write_file(in_dir(state, "a"), "", 0);
    TEST_OK(bt_file_copy(in_dir(state, "a"), in_dir(state, "b"), &diag), diag);
    assert_file_holds(in_dir(state, "b"), "", 0);
    ASSERT_FAILS(BT_EINPUT, "absent", bt_file_copy(in_dir(state, "absent"), in_dir(state, "b"), &diag));
    free(data);
}

static int link_error;

static int fail_links(const char *op, const char *path)
{
    (void)path;
    return strcmp(op, "link") ? 0 : link_error;
}

static ino_t inode(const char *path)
{
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    return info.st_ino;
}

static void links_are_copies_where_there_are_none(void **state)
{
    static const int none[] = {0, EXDEV, EPERM, EMLINK};
    struct bt_diag diag;
    const char *from = in_dir(state, "a"), *to = in_dir(state, "b");
    test_write_file(from, "text", 4);
    bt_io_hook = fail_links;
    for (size_t i = 0; i < BT_ARRAY_LEN(none); i++) {
        link_error = none[i];
        TEST_OK(bt_file_link(from, to, &diag), diag);
        assert_file_holds(to, "text", 4);
        assert_int_equal(inode(from) == inode(to), !link_error);
        TEST_OK(bt_dir_remove(to, &diag), diag);
    }
    link_error = ENOSPC;
    ASSERT_FAILS(BT_EIO, "b: No space left", bt_file_link(from, to, &diag));
    link_error = 0;
    test_write_file(to, "other", 5);
    ASSERT_FAILS(BT_EIO, "b: File exists", bt_file_link(from, to, &diag)); /* and not overwritten */
    assert_file_holds(to, "other", 5);
    bt_io_hook = NULL;
}

static void finished_folders_and_files_are_renamed(void **state)
{
    struct bt_diag diag;
    TEST_OK(bt_dir_make(in_dir(state, "new"), &diag), diag);
    test_write_file(in_dir(state, "new/file"), "1", 1);
    TEST_OK(bt_dir_make(in_dir(state, "other/empty"), &diag), diag);
    TEST_OK(bt_file_rename(in_dir(state, "new"), in_dir(state, "other/empty"), &diag), diag);
    assert_file_holds(in_dir(state, "other/empty/file"), "1", 1);
    TEST_OK(bt_dir_make(in_dir(state, "again"), &diag), diag);
    ASSERT_FAILS(BT_EIO, "again: cannot rename to",
                 bt_file_rename(in_dir(state, "again"), in_dir(state, "other/empty"), &diag));
    test_write_file(in_dir(state, "x"), "x", 1);
    test_write_file(in_dir(state, "y"), "y", 1);
    ASSERT_FAILS(BT_EIO, "it exists already", bt_file_rename(in_dir(state, "x"), in_dir(state, "y"), &diag));
    assert_file_holds(in_dir(state, "y"), "y", 1);
}

struct rename_context {
    void **state;
};

static enum bt_err make_and_rename(void *context, struct bt_diag *diag)
{
    void **state = ((struct rename_context *)context)->state;
    const enum bt_err err = bt_dir_make(in_dir(state, "there/new.tmp"), diag);
    return err ? err : bt_file_rename(in_dir(state, "there/new.tmp"), in_dir(state, "new"), diag);
}

static void rewind_rename(void *context, enum bt_err err)
{
    void **state = ((struct rename_context *)context)->state;
    struct bt_diag diag;
    assert_true(err != BT_OK || bt_dir_exists(in_dir(state, "new")));
    TEST_OK(bt_dir_remove(in_dir(state, "new"), &diag), diag);
    TEST_OK(bt_dir_remove(in_dir(state, "there"), &diag), diag);
}

static void a_failing_disk_fails_a_rename(void **state)
{
    struct rename_context context = {state};
    const struct disk_faults faults = {make_and_rename, rewind_rename, &context, *state};
    assert_int_equal(test_every_disk_operation_fails(&faults, EIO), 7); /* 2 folders made and synced; rename, 2 syncs */
}

static enum bt_err remove_tree(void *context, struct bt_diag *diag)
{
    void **state = context;
    struct bt_diag ignored;
    if (!bt_file_exists(in_dir(state, "tree"))) {
        assert_int_equal(mkdir(in_dir(state, "tree"), 0777), 0);
        assert_int_equal(mkdir(in_dir(state, "tree/x"), 0777), 0);
        test_write_file(in_dir(state, "tree/x/y"), "", 0);
    }
    const enum bt_err err = bt_dir_remove(in_dir(state, "tree"), diag);
    bt_io_hook = NULL;
    TEST_OK(bt_dir_remove(in_dir(state, "tree"), &ignored), ignored);
    return err;
}

static void a_failing_disk_fails_a_removal(void **state)
{
    const struct disk_faults faults = {remove_tree, NULL, state, "tree"};
    assert_int_equal(test_every_disk_operation_fails(&faults, EACCES), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_DIR(pieces_of_any_size_are_joined_and_hashed),
        IN_DIR(writes_of_exactly_the_buffer_work),
        IN_DIR(abandoning_leaves_the_old_file),
        IN_DIR(replacing_makes_or_overwrites),
        IN_DIR(a_full_disk_is_named),
        IN_DIR(a_failing_disk_leaves_old_or_new),
        IN_DIR(a_kill_leaves_old_or_new),
        IN_DIR(signals_do_not_disturb_a_write),
        IN_DIR(copies_are_whole),
        IN_DIR(links_are_copies_where_there_are_none),
        IN_DIR(finished_folders_and_files_are_renamed),
        IN_DIR(a_failing_disk_fails_a_rename),
        IN_DIR(a_failing_disk_fails_a_removal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
