#include "io_support.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <xxhash.h>

static void a_file_is_mapped(void **state)
{
    struct bt_map map = {0};
    struct bt_diag diag;
    const char *path = in_dir(state, "a");
    test_write_file(path, "hello", 5);
    TEST_OK(bt_map_open(path, &map, &diag), diag);
    assert_int_equal(map.size, 5);
    assert_memory_equal(map.data, "hello", 5);
    unlink(path);
    assert_memory_equal(map.data, "hello", 5);
    bt_map_close(&map);
    bt_map_close(&map);
}

static void an_empty_file_maps_to_nothing(void **state)
{
    struct bt_map map = {0};
    struct bt_diag diag;
    test_write_file(in_dir(state, "empty"), "", 0);
    TEST_OK(bt_map_open(in_dir(state, "empty"), &map, &diag), diag);
    assert_int_equal(map.size, 0);
    assert_non_null(map.data);
    bt_map_close(&map);
}

static void what_cannot_be_mapped_is_named(void **state)
{
    struct bt_map map = {0};
    struct bt_diag diag;
    ASSERT_FAILS(BT_EINPUT, "absent: cannot open: No such file", bt_map_open(in_dir(state, "absent"), &map, &diag));
    ASSERT_FAILS(BT_EINPUT, "not a regular file", bt_map_open(*state, &map, &diag));
    assert_null(map.data);
}

static void a_file_is_read_with_a_nul(void **state)
{
    struct bt_diag diag;
    char *text = NULL;
    size_t size = 0;
    char large[100000];
    memset(large, 'x', sizeof large);
    test_write_file(in_dir(state, "large"), large, sizeof large);
    TEST_OK(bt_file_read(in_dir(state, "large"), &text, &size, &diag), diag);
    assert_int_equal(size, sizeof large);
    assert_memory_equal(text, large, size);
    assert_int_equal(text[size], 0);
    bt_free(text);
    test_write_file(in_dir(state, "empty"), "", 0);
    TEST_OK(bt_file_read(in_dir(state, "empty"), &text, NULL, &diag), diag);
    assert_string_equal(text, "");
    bt_free(text);
    ASSERT_FAILS(BT_EINPUT, "Is a directory", bt_file_read(*state, &text, &size, &diag));
    ASSERT_FAILS(BT_EINPUT, "absent", bt_file_read(in_dir(state, "absent"), &text, &size, &diag));
}

static enum bt_err read_pipe(void *unused)
{
    (void)unused;
    int ends[2];
    char *text = NULL, sent[30000];
    size_t size = 0;
    for (size_t i = 0; i < sizeof sent; i++)
        sent[i] = (char)('a' + i % 26);
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], sent, sizeof sent), sizeof sent);
    close(ends[1]);
    const enum bt_err err = bt_file_read(test_format("/dev/fd/%d", ends[0]), &text, &size, NULL);
    close(ends[0]);
    if (!err) {
        assert_int_equal(size, sizeof sent);
        assert_memory_equal(text, sent, size);
        bt_free(text);
    }
    return err;
}

/* A pipe has no size to go by. */
static void a_pipe_is_read_to_its_end(void **state)
{
    (void)state;
    assert_int_equal(read_pipe(NULL), BT_OK);
    test_every_allocation_fails(read_pipe, NULL);
}

static void a_file_is_hashed(void **state)
{
    struct bt_diag diag;
    uint64_t hash = 0, size = 0;
    test_write_file(in_dir(state, "a"), "hello", 5);
    TEST_OK(bt_file_hash(in_dir(state, "a"), &hash, &size, &diag), diag);
    assert_true(hash == XXH3_64bits("hello", 5));
    assert_int_equal(size, 5);
    test_write_file(in_dir(state, "empty"), "", 0);
    TEST_OK(bt_file_hash(in_dir(state, "empty"), &hash, NULL, &diag), diag);
    unsigned char *long_one = calloc(200001, 1); /* of several reads */
    assert_non_null(long_one);
    long_one[200000] = 7;
    test_write_file(in_dir(state, "long"), long_one, 200001);
    uint64_t long_hash = 0;
    TEST_OK(bt_file_hash(in_dir(state, "long"), &long_hash, &size, &diag), diag);
    assert_true(long_hash == XXH3_64bits(long_one, 200001) && size == 200001);
    free(long_one);
    ASSERT_FAILS(BT_EINPUT, "absent: cannot open", bt_file_hash(in_dir(state, "absent"), &hash, NULL, &diag));
    assert_true(hash == 0x2d06800538d394c2); /* of the empty input, from the definition of XXH3 */
}

static void existence_is_told(void **state)
{
    test_write_file(in_dir(state, "a"), "", 0);
    assert_int_equal(symlink("nowhere", in_dir(state, "dangling")), 0);
    assert_true(bt_file_exists(in_dir(state, "a")));
    assert_true(bt_file_exists(in_dir(state, "dangling")));
    assert_true(bt_file_exists(*state));
    assert_false(bt_file_exists(in_dir(state, "b")));
    assert_true(bt_dir_exists(*state));
    assert_false(bt_dir_exists(in_dir(state, "a")));
    assert_false(bt_dir_exists(in_dir(state, "dangling")));
}

static void paths_are_joined_and_cut(void **state)
{
    (void)state;
    static const char *const joins[][3] = {{"a", "b", "a/b"}, {"a/", "b", "a/b"}, {"", "b", "b"}, {"/", "b", "/b"}};
    static const char *const parents[][2] = {{"a/b", "a"},  {"a", "."},   {"/a", "/"},    {"/", "/"},
                                             {"a/b/", "a"}, {"", "."},    {".", "."},     {"a//b//", "a"},
                                             {"//", "/"},   {"./a", "."}, {"../a", ".."}, {"/a/b/c", "/a/b"}};
    for (size_t i = 0; i < BT_ARRAY_LEN(joins); i++) {
        char *path = bt_path_join(joins[i][0], joins[i][1]);
        assert_string_equal(path, joins[i][2]);
        bt_free(path);
    }
    for (size_t i = 0; i < BT_ARRAY_LEN(parents); i++) {
        char *path = bt_path_parent(parents[i][0]);
        assert_string_equal(path, parents[i][1]);
        bt_free(path);
    }
}

static void folders_are_made_with_their_parents(void **state)
{
    struct bt_diag diag;
    TEST_OK(bt_dir_make(in_dir(state, "a/b//c/"), &diag), diag);
    assert_true(bt_dir_exists(in_dir(state, "a/b/c")));
    TEST_OK(bt_dir_make(in_dir(state, "a/b/c"), &diag), diag);
    TEST_OK(bt_dir_make("/", &diag), diag);
    TEST_OK(bt_dir_make(".", &diag), diag);
    test_write_file(in_dir(state, "file"), "", 0);
    ASSERT_FAILS(BT_EIO, "file: cannot make this folder: File exists", bt_dir_make(in_dir(state, "file"), &diag));
    ASSERT_FAILS(BT_EIO, "cannot make this folder", bt_dir_make(in_dir(state, "file/below"), &diag));
}

static void a_tree_is_removed_but_not_what_it_links_to(void **state)
{
    struct bt_diag diag;
    TEST_OK(bt_dir_make(in_dir(state, "tree/x/y"), &diag), diag);
    TEST_OK(bt_dir_make(in_dir(state, "other"), &diag), diag);
    test_write_file(in_dir(state, "tree/x/y/file"), "1", 1);
    test_write_file(in_dir(state, "other/kept"), "2", 1);
    assert_int_equal(symlink("../other", in_dir(state, "tree/link")), 0);
    TEST_OK(bt_dir_remove(in_dir(state, "tree"), &diag), diag);
    assert_false(bt_file_exists(in_dir(state, "tree")));
    assert_file_holds(in_dir(state, "other/kept"), "2", 1);
    TEST_OK(bt_dir_remove(in_dir(state, "tree"), &diag), diag);
    TEST_OK(bt_dir_remove(in_dir(state, "other/kept"), &diag), diag);
    assert_false(bt_file_exists(in_dir(state, "other/kept")));
}

static void a_folder_is_listed_in_byte_order(void **state)
{
    static const char *const names[] = {".hidden", "B", "a", "a b", "ab", "\xc3\xa4"};
    struct bt_diag diag;
    char **got = NULL;
    size_t count = 0;
    TEST_OK(bt_dir_list(*state, &got, &count, &diag), diag);
    assert_int_equal(count, 0);
    bt_names_free(got, count);
    for (size_t i = BT_ARRAY_LEN(names); i-- > 0;)
        test_write_file(in_dir(state, names[i]), "", 0);
    TEST_OK(bt_dir_list(*state, &got, &count, &diag), diag);
    assert_int_equal(count, BT_ARRAY_LEN(names));
    for (size_t i = 0; i < count; i++)
        assert_string_equal(got[i], names[i]);
    bt_names_free(got, count);
    ASSERT_FAILS(BT_EINPUT, "a: cannot list: Not a directory", bt_dir_list(in_dir(state, "a"), &got, &count, &diag));
}

static void a_glob_gives_files_in_byte_order(void **state)
{
    struct bt_diag diag;
    char **paths = NULL;
    size_t count = 0;
    test_write_file(in_dir(state, "train-2.bin"), "", 0);
    test_write_file(in_dir(state, "train-10.bin"), "", 0);
    test_write_file(in_dir(state, "other.bin"), "", 0);
    TEST_OK(bt_dir_make(in_dir(state, "train-folder.bin"), &diag), diag);
    TEST_OK(bt_glob(in_dir(state, "train-*.bin"), &paths, &count, &diag), diag);
    assert_int_equal(count, 2);
    assert_string_equal(paths[0], in_dir(state, "train-10.bin"));
    assert_string_equal(paths[1], in_dir(state, "train-2.bin"));
    bt_names_free(paths, count);
    TEST_OK(bt_glob(in_dir(state, "other.bin"), &paths, &count, &diag), diag);
    assert_int_equal(count, 1);
    bt_names_free(paths, count);
    ASSERT_FAILS(BT_EINPUT, "none-*: no file matches", bt_glob(in_dir(state, "none-*"), &paths, &count, &diag));
    ASSERT_FAILS(BT_EINPUT, "no file matches", bt_glob(in_dir(state, "*-folder.bin"), &paths, &count, &diag));
    ASSERT_FAILS(BT_EINPUT, "no file matches", bt_glob("", &paths, &count, &diag));
}

static void free_space_is_that_of_the_nearest_parent(void **state)
{
    struct bt_diag diag;
    uint64_t here = 0, below = 0, relative = 0;
    TEST_OK(bt_disk_free(*state, &here, &diag), diag);
    TEST_OK(bt_disk_free(in_dir(state, "a/b/c"), &below, &diag), diag);
    TEST_OK(bt_disk_free("no-such-folder", &relative, &diag), diag);
    assert_true(here > 0 && relative > 0);
    const uint64_t larger = here > below ? here : below, smaller = here > below ? below : here;
    assert_true(larger - smaller < larger / 2 + 1); /* others may be writing meanwhile */
}

/* Every run has its own folder: what a failed one left behind would be in the way of the next. */
static enum bt_err use_everything(void *context)
{
    static int runs;
    const char *top = test_format("%s/%d", (const char *)context, runs++);
    const char *folder = test_format("%s/y", top), *moved = test_format("%s/z", top);
    const char *file = test_format("%s/f", folder), *copy = test_format("%s/g", folder);
    struct bt_diag diag;
    char *text = NULL, **names = NULL;
    size_t size = 0, count = 0;
    uint64_t bytes = 0;
    enum bt_err err = bt_dir_make(folder, &diag);
    if (!err)
        err = bt_file_replace(file, "1", 1, &diag);
    if (!err)
        err = bt_file_copy(file, copy, &diag);
    if (!err)
        err = bt_file_read(file, &text, &size, &diag);
    bt_free(text);
    if (!err)
        err = bt_glob(test_format("%s/*", folder), &names, &count, &diag);
    bt_names_free(names, count);
    if (!err)
        err = bt_disk_free(test_format("%s/z/w", folder), &bytes, &diag);
    if (!err)
        err = bt_file_rename(folder, moved, &diag);
    if (!err)
        err = bt_dir_remove(top, &diag);
    return err;
}

static void every_allocation_may_fail(void **state)
{
    test_every_allocation_fails(use_everything, *state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_DIR(a_file_is_mapped),
        IN_DIR(an_empty_file_maps_to_nothing),
        IN_DIR(what_cannot_be_mapped_is_named),
        IN_DIR(a_file_is_read_with_a_nul),
        IN_DIR(a_pipe_is_read_to_its_end),
        IN_DIR(a_file_is_hashed),
        IN_DIR(existence_is_told),
        IN_DIR(paths_are_joined_and_cut),
        IN_DIR(folders_are_made_with_their_parents),
        IN_DIR(a_tree_is_removed_but_not_what_it_links_to),
        IN_DIR(a_folder_is_listed_in_byte_order),
        IN_DIR(a_glob_gives_files_in_byte_order),
        IN_DIR(free_space_is_that_of_the_nearest_parent),
        IN_DIR(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
