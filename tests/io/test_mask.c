/* io/mask: what is written is read back, and whatever else a file may hold is refused. */
#include "io_support.h"

#include <stdlib.h>
#include <string.h>

#include "io/mask.h"

#define TOKENS 19

static const unsigned char labels[TOKENS] = {0, 0, 1, 1, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 1, 0, 1, 1};
static const size_t beginnings[] = {0, 5, 11};

/* A shard of so many tokens, and its hash. */
static uint64_t write_shard(const char *path, size_t count, struct bt_shard *shard)
{
    int32_t tokens[64];
    uint64_t hash, size;
    struct bt_diag diag;
    for (size_t i = 0; i < count; i++)
        tokens[i] = (int32_t)(i * i);
    TEST_OK(bt_shard_write(path, tokens, count, 2, &diag), diag);
    TEST_OK(bt_shard_open(path, BT_SHARD_LLMC, shard, &diag), diag);
    TEST_OK(bt_file_hash(path, &hash, &size, &diag), diag);
    return hash;
}

static void append_all(struct bt_mask_out *out)
{
    assert_true(bt_mask_out_append(out, labels, 5, true));
    assert_true(bt_mask_out_append(out, labels + 5, 6, true));
    assert_true(bt_mask_out_append(out, labels + 11, 0, true)); /* nothing begins with no token */
    assert_true(bt_mask_out_append(out, labels + 11, 5, true));
    assert_true(bt_mask_out_append(out, labels + 16, 3, false));
}

static void make_mask(const char *path, uint64_t shard_hash)
{
    struct bt_mask_out out = {0};
    struct bt_diag diag;
    uint64_t hash, on_disk, size;
    append_all(&out);
    TEST_OK(bt_mask_out_write(&out, path, shard_hash, &hash, &diag), diag);
    TEST_OK(bt_file_hash(path, &on_disk, &size, &diag), diag);
    assert_true(hash == on_disk);
    assert_int_equal(size, 32 + 3 + 3 + 8);
    assert_int_equal(out.count, 0);
    bt_mask_out_finish(&out);
}

static void what_is_written_is_read_back(void **state)
{
    struct bt_shard shard;
    struct bt_mask mask = {0};
    struct bt_diag diag;
    assert_false(bt_mask_exists(&mask));
    make_mask(in_dir(state, "a.mask"), write_shard(in_dir(state, "a.bin"), TOKENS, &shard));
    TEST_OK(bt_mask_open(in_dir(state, "a.mask"), &shard, "a.bin", &mask, &diag), diag);
    assert_true(bt_mask_exists(&mask));
    for (size_t i = 0, b = 0; i < TOKENS; i++) {
        const bool begins = b < BT_ARRAY_LEN(beginnings) && beginnings[b] == i;
        b += begins;
        assert_int_equal(bt_mask_is_label(&mask, i), labels[i]);
        assert_int_equal(bt_mask_begins(&mask, i), begins);
    }
    for (size_t first = 0, all = 0; first <= TOKENS; first++) {
        assert_int_equal(bt_mask_labels(&mask, 0, first), all);
        assert_int_equal(bt_mask_labels(&mask, first, TOKENS - first), 8 - all);
        all += first < TOKENS && labels[first];
    }
    bt_mask_close(&mask);
    bt_shard_close(&shard);
}

/* The builder is used for one shard after the other, and by then it is larger than the next one needs. */
static void a_second_mask_is_empty_at_first(void **state)
{
    static unsigned char ones[3000];
    const unsigned char zero = 0;
    struct bt_mask_out out = {0};
    struct bt_shard shard;
    struct bt_mask mask;
    struct bt_diag diag;
    uint64_t hash;
    const uint64_t shard_hash = write_shard(in_dir(state, "a.bin"), 1, &shard);
    memset(ones, 1, sizeof ones);
    assert_true(bt_mask_out_append(&out, ones, sizeof ones, true));
    TEST_OK(bt_mask_out_write(&out, in_dir(state, "b.mask"), 0, &hash, &diag), diag);
    assert_true(bt_mask_out_append(&out, &zero, 1, false));
    TEST_OK(bt_mask_out_write(&out, in_dir(state, "a.mask"), shard_hash, &hash, &diag), diag);
    TEST_OK(bt_mask_open(in_dir(state, "a.mask"), &shard, "a.bin", &mask, &diag), diag);
    assert_false(bt_mask_is_label(&mask, 0));
    assert_false(bt_mask_begins(&mask, 0));
    bt_mask_close(&mask);
    bt_shard_close(&shard);
    bt_mask_out_finish(&out);
}

static void every_wrong_byte_and_every_cut_is_noticed(void **state)
{
    struct bt_shard shard;
    struct bt_mask mask = {0};
    struct bt_diag diag;
    size_t size;
    const char *path = strdup(in_dir(state, "a.mask"));
    make_mask(path, write_shard(in_dir(state, "a.bin"), TOKENS, &shard));
    unsigned char *bytes = test_read_file(path, &size);
    for (size_t i = 0; i < size; i++)
        for (int bit = 0; bit < 8; bit++) {
            bytes[i] ^= (unsigned char)(1 << bit);
            test_write_file(path, bytes, size);
            ASSERT_FAILS(BT_EINPUT, path, bt_mask_open(path, &shard, "a.bin", &mask, &diag));
            bytes[i] ^= (unsigned char)(1 << bit);
        }
    for (size_t cut = 0; cut < size; cut++) {
        test_write_file(path, bytes, cut);
        ASSERT_FAILS(BT_EINPUT, " bytes; a ", bt_mask_open(path, &shard, "a.bin", &mask, &diag));
    }
    unsigned char *longer = malloc(size + 1);
    memcpy(longer, bytes, size);
    longer[size] = 0;
    test_write_file(path, longer, size + 1);
    ASSERT_FAILS(BT_EINPUT, "the file has 47 bytes; a mask of 19 tokens has 46",
                 bt_mask_open(path, &shard, "a.bin", &mask, &diag));
    assert_false(bt_mask_exists(&mask));
    free(longer);
    free(bytes);
    free((char *)path);
    bt_shard_close(&shard);
}

static void a_mask_belongs_to_one_shard(void **state)
{
    struct bt_shard shard, longer, other;
    struct bt_mask mask;
    struct bt_diag diag;
    int32_t tokens[TOKENS] = {1};
    make_mask(in_dir(state, "a.mask"), write_shard(in_dir(state, "a.bin"), TOKENS, &shard));
    write_shard(in_dir(state, "b.bin"), TOKENS + 1, &longer);
    ASSERT_FAILS(BT_EINPUT, "a mask of 19 tokens, but b.bin has 20",
                 bt_mask_open(in_dir(state, "a.mask"), &longer, "b.bin", &mask, &diag));
    TEST_OK(bt_shard_write(in_dir(state, "c.bin"), tokens, TOKENS, 2, &diag), diag);
    TEST_OK(bt_shard_open(in_dir(state, "c.bin"), BT_SHARD_LLMC, &other, &diag), diag);
    ASSERT_FAILS(BT_EINPUT, "other contents than c.bin",
                 bt_mask_open(in_dir(state, "a.mask"), &other, "c.bin", &mask, &diag));
    ASSERT_FAILS(BT_EINPUT, "nothing.mask", bt_mask_open(in_dir(state, "nothing.mask"), &shard, "a.bin", &mask, &diag));
    bt_shard_close(&shard);
    bt_shard_close(&longer);
    bt_shard_close(&other);
}

static void names(void **state)
{
    static const char *const cases[][2] = {{"a-000000.bin", "a-000000.mask"},
                                           {"x/a.bin", "x/a.mask"},
                                           {"a.tokens", "a.tokens.mask"},
                                           {"bin", "bin.mask"},
                                           {".bin", ".bin.mask"}};
    (void)state;
    for (size_t i = 0; i < BT_ARRAY_LEN(cases); i++) {
        char *path = bt_mask_path(cases[i][0]);
        assert_string_equal(path, cases[i][1]);
        bt_free(path);
    }
}

static enum bt_err write_one(void *context, struct bt_diag *diag)
{
    struct bt_mask_out out = {0};
    uint64_t hash;
    append_all(&out);
    const enum bt_err err = bt_mask_out_write(&out, context, 7, &hash, diag);
    bt_mask_out_finish(&out);
    return err;
}

static void the_disk_fails(void **state)
{
    char *path = strdup(in_dir(state, "a.mask"));
    const struct disk_faults faults = {.body = write_one, .context = path, .name = "a.mask"};
    assert_true(test_every_disk_operation_fails(&faults, 28 /* ENOSPC */) >= 3);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_DIR(what_is_written_is_read_back),
        IN_DIR(a_second_mask_is_empty_at_first),
        IN_DIR(every_wrong_byte_and_every_cut_is_noticed),
        IN_DIR(a_mask_belongs_to_one_shard),
        cmocka_unit_test(names),
        IN_DIR(the_disk_fails),
    };
    return cmocka_run_group_tests_name("io/mask", tests, NULL, NULL);
}
