/* text/shard_set: which tokens go to which shard, and what stands on the disk before, after, and when it fails. */
#include "support.h"

#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "io/shard.h"
#include "text/shard_set.h"

static char *folder, *prefix;

static int make_folder(void **state)
{
    (void)state;
    folder = test_make_dir();
    prefix = strdup(test_format("%s/sub/a", folder));
    assert_non_null(prefix);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    test_remove_dir(folder);
    free(prefix);
    return 0;
}

/* Documents of these lengths, ids counting on; ends with a 0. */
static enum bt_err write_set(const char *name, const size_t *lengths, uint64_t shard_tokens, struct bt_diag *diag)
{
    struct bt_shard_set *set = NULL;
    int32_t ids[64], next = 0;
    enum bt_err err = bt_shard_set_open(name, 2, shard_tokens, &set, diag);
    for (; !err && *lengths; lengths++) {
        for (size_t i = 0; i < *lengths; i++)
            ids[i] = next++;
        err = bt_shard_set_add(set, ids, NULL, *lengths, 10 * *lengths, diag);
    }
    if (!err)
        err = bt_shard_set_finish(set, diag);
    bt_shard_set_close(set);
    return err;
}

static void expect_files(const char *const *names, size_t count)
{
    char **found;
    size_t found_count;
    struct bt_diag diag = {""};
    TEST_OK(bt_dir_list(test_format("%s/sub", folder), &found, &found_count, &diag), diag);
    assert_int_equal(found_count, count);
    for (size_t i = 0; i < count; i++)
        assert_string_equal(found[i], names[i]);
    bt_names_free(found, found_count);
}

/* The shards hold `counts` tokens each, all ids in order. */
static void expect_shards(const size_t *counts)
{
    int32_t next = 0;
    size_t number = 0;
    for (; counts[number]; number++) {
        struct bt_shard shard;
        struct bt_diag diag = {""};
        char *path = bt_manifest_shard_path(prefix, number);
        TEST_OK(bt_shard_open(path, BT_SHARD_LLMC, &shard, &diag), diag);
        assert_int_equal(shard.count, counts[number]);
        for (size_t i = 0; i < shard.count; i++, next++) {
            int32_t id;
            bt_shard_read(&shard, i, 1, &id);
            assert_int_equal(id, next);
        }
        bt_shard_close(&shard);
        bt_free(path);
    }
    assert_false(bt_file_exists(test_format("%s-%06zu.bin", prefix, number)));
}

static void test_documents_stay_whole(void **state)
{
    struct bt_diag diag = {""};
    (void)state;
    TEST_OK(write_set(prefix, (const size_t[]){4, 6, 1, 9, 2, 0}, 10, &diag), diag);
    expect_shards((const size_t[]){10, 10, 2, 0});
    TEST_OK(write_set(prefix, (const size_t[]){4, 7, 1, 9, 0}, 10, &diag), diag);
    expect_shards((const size_t[]){4, 8, 9, 0});
    /* longer than a shard: it begins one, and what follows fills its last one */
    TEST_OK(write_set(prefix, (const size_t[]){4, 25, 5, 1, 0}, 10, &diag), diag);
    expect_shards((const size_t[]){4, 10, 10, 10, 1, 0});
    TEST_OK(write_set(prefix, (const size_t[]){3, 2, 0}, 1, &diag), diag);
    expect_shards((const size_t[]){1, 1, 1, 1, 1, 0});
}

static void test_replaces_a_longer_set(void **state)
{
    static const char *const names[] = {"a-000000.bin", "b-000000.bin"};
    struct bt_diag diag = {""};
    (void)state;
    TEST_OK(write_set(prefix, (const size_t[]){4, 4, 4, 0}, 4, &diag), diag);
    TEST_OK(write_set(test_format("%s/sub/b", folder), (const size_t[]){4, 0}, 4, &diag), diag);
    test_write_file(test_format("%s/sub/a.json", folder), "{}", 2);
    test_write_file(test_format("%s/sub/a-000000.bin.tmp", folder), "left by a kill", 14);
    test_write_file(test_format("%s/sub/a-000001.bin.tmp", folder), "left by a kill", 14);
    TEST_OK(write_set(prefix, (const size_t[]){4, 0}, 4, &diag), diag);
    expect_files(names, 2); /* the manifest of what is gone is gone too */
}

static void test_nothing_to_write(void **state)
{
    struct bt_diag diag = {""};
    (void)state;
    assert_int_equal(write_set(prefix, (const size_t[]){0}, 4, &diag), BT_EINPUT);
    assert_non_null(strstr(diag.text, "the inputs hold no document"));
    expect_files(NULL, 0);
}

static long operations_left;

static int fail_later(const char *op, const char *path)
{
    (void)path;
    (void)op;
    return operations_left-- == 0 ? 28 : 0; /* ENOSPC */
}

/* Whatever operation fails: no half-written shard, and the old set stands or is gone whole, or part of the new one
 * does; the same call then succeeds. */
static void test_every_disk_failure(void **state)
{
    static const size_t lengths[] = {4, 4, 2, 0}, counts[] = {4, 4, 2, 0};
    bool failed = true;
    (void)state;
    for (long k = 0; failed; k++) {
        struct bt_diag diag = {""};
        TEST_OK(write_set(prefix, lengths, 4, &diag), diag);
        operations_left = k;
        bt_io_hook = fail_later;
        const enum bt_err err = write_set(prefix, lengths, 4, &diag);
        bt_io_hook = NULL;
        failed = operations_left < 0 && err != BT_OK;
        if (failed)
            assert_int_equal(err, BT_EIO);
        for (size_t i = 0; i < 3; i++) {
            struct bt_shard shard;
            char *path = bt_manifest_shard_path(prefix, i);
            if (bt_file_exists(path)) {
                TEST_OK(bt_shard_open(path, BT_SHARD_LLMC, &shard, &diag), diag);
                assert_int_equal(shard.count, counts[i]);
                bt_shard_close(&shard);
            }
            bt_free(path);
        }
        assert_true(k < 1000);
    }
    expect_shards(counts);
}

static enum bt_err write_small(void *name)
{
    return write_set(name, (const size_t[]){4, 4, 0}, 4, NULL);
}

static void test_every_allocation(void **state)
{
    (void)state;
    test_every_allocation_fails(write_small, prefix);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_documents_stay_whole, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_replaces_a_longer_set, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_nothing_to_write, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_every_disk_failure, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_every_allocation, make_folder, remove_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
