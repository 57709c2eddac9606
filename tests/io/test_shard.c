#include "io_support.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "io/shard.h"

/* A header and its tokens, to be damaged. */
struct file {
    unsigned char bytes[2048];
    size_t size;
};

static void put_i32(struct file *file, size_t at, int32_t value)
{
    memcpy(file->bytes + at, &value, sizeof value);
}

/* Tokens 1, 2, 3, 65535, then (uint32 only) 100000. */
static struct file make_llmc(unsigned width)
{
    static const unsigned char narrow[] = {1, 0, 2, 0, 3, 0, 0xff, 0xff};
    static const unsigned char wide[] = {1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 0xff, 0xff, 0, 0, 0xa0, 0x86, 1, 0};
    struct file file = {.size = 1024 + (width == 2 ? sizeof narrow : sizeof wide)};
    put_i32(&file, 0, width == 2 ? 20240520 : 20240801);
    put_i32(&file, 4, width == 2 ? 1 : 7);
    put_i32(&file, 8, width == 2 ? 4 : 5);
    memcpy(file.bytes + 1024, width == 2 ? narrow : wide, file.size - 1024);
    return file;
}

static enum bt_err open_bytes(void **state, const struct file *file, enum bt_shard_format format,
                              struct bt_shard *shard, struct bt_diag *diag)
{
    test_write_file(in_dir(state, "shard.bin"), file->bytes, file->size);
    return bt_shard_open(in_dir(state, "shard.bin"), format, shard, diag);
}

static void assert_tokens(const struct bt_shard *shard, const int32_t *want, size_t count)
{
    int32_t got[16];
    assert_int_equal(shard->count, count);
    for (size_t first = 0; first <= count; first++) {
        bt_shard_read(shard, first, count - first, got);
        assert_memory_equal(got, want + first, (count - first) * sizeof got[0]);
    }
}

static void both_llmc_variants_and_nanogpt_are_read(void **state)
{
    static const int32_t tokens[] = {1, 2, 3, 65535, 100000};
    struct bt_shard shard = {0};
    struct bt_diag diag;
    struct file file = make_llmc(2);
    put_i32(&file, 1020, 77); /* what the header holds after its three numbers is nobody's business */
    TEST_OK(open_bytes(state, &file, BT_SHARD_LLMC, &shard, &diag), diag);
    assert_int_equal(shard.width, 2);
    assert_tokens(&shard, tokens, 4);
    bt_shard_close(&shard);
    bt_shard_close(&shard);

    file = make_llmc(4);
    TEST_OK(open_bytes(state, &file, BT_SHARD_LLMC, &shard, &diag), diag);
    assert_int_equal(shard.width, 4);
    assert_tokens(&shard, tokens, 5);
    bt_shard_close(&shard);

    file = make_llmc(2);
    memmove(file.bytes, file.bytes + 1024, 8);
    file.size = 8;
    TEST_OK(open_bytes(state, &file, BT_SHARD_NANOGPT, &shard, &diag), diag);
    assert_int_equal(shard.width, 2);
    assert_tokens(&shard, tokens, 4);
    bt_shard_close(&shard);
}

static void damaged_headers_are_refused(void **state)
{
    static const struct {
        size_t at;
        int32_t value;
        unsigned width;
        const char *sentence;
    } cases[] = {
        {0, 20240522, 2, "shard.bin: byte 0: magic 20240522 is that of an llm.c evaluation set"},
        {0, 12345, 2, "byte 0: magic 12345 is not that of an llm.c token shard (20240520 or 20240801)"},
        {0, 20240801, 2, "byte 4: version 1; with magic 20240801 version 7 was expected"},
        {4, 7, 2, "byte 4: version 7; with magic 20240520 version 1 was expected"},
        {4, 2, 4, "byte 4: version 2"},
        {8, 3, 2, "byte 8: 3 tokens of 2 bytes do not make the 8 bytes after the header"},
        {8, 5, 2, "byte 8: 5 tokens of 2 bytes"},
        {8, 4, 4, "byte 8: 4 tokens of 4 bytes"},
        {8, INT32_MAX, 4, "byte 8: 2147483647 tokens of 4 bytes"},
        {8, -1, 2, "byte 8: the number of tokens is -1"},
        {8, INT32_MIN, 4, "byte 8: the number of tokens is -2147483648"},
    };
    for (size_t i = 0; i < BT_ARRAY_LEN(cases); i++) {
        struct bt_shard shard = {0};
        struct bt_diag diag;
        struct file file = make_llmc(cases[i].width);
        put_i32(&file, cases[i].at, cases[i].value);
        ASSERT_FAILS(BT_EINPUT, cases[i].sentence, open_bytes(state, &file, BT_SHARD_LLMC, &shard, &diag));
        assert_null(shard.map.data);
    }
}

/* Every size around the fields and the end of the header, and some in the zeros between. */
static void prefixes_are_refused(void **state)
{
    for (unsigned width = 2; width <= 4; width += 2) {
        struct file file = make_llmc(width);
        const size_t whole = file.size;
        for (file.size = 0; file.size<whole; file.size += file.size> 12 && file.size < 990 ? 31 : 1) {
            struct bt_shard shard = {0};
            struct bt_diag diag;
            ASSERT_FAILS(BT_EINPUT, "shard.bin: ", open_bytes(state, &file, BT_SHARD_LLMC, &shard, &diag));
        }
        file.size = whole + 1;
        struct bt_shard shard = {0};
        struct bt_diag diag;
        ASSERT_FAILS(BT_EINPUT, "do not make", open_bytes(state, &file, BT_SHARD_LLMC, &shard, &diag));
    }
}

static void odd_and_empty_shards_are_refused(void **state)
{
    struct bt_shard shard = {0};
    struct bt_diag diag;
    struct file file = {.size = 3};
    ASSERT_FAILS(BT_EINPUT, "shard.bin: the file has 3 bytes; nanoGPT tokens have 2 bytes each",
                 open_bytes(state, &file, BT_SHARD_NANOGPT, &shard, &diag));
    file.size = 0;
    ASSERT_FAILS(BT_EINPUT, "shard.bin: the shard holds no token",
                 open_bytes(state, &file, BT_SHARD_NANOGPT, &shard, &diag));
    file = make_llmc(2);
    put_i32(&file, 8, 0);
    file.size = 1024;
    ASSERT_FAILS(BT_EINPUT, "the shard holds no token", open_bytes(state, &file, BT_SHARD_LLMC, &shard, &diag));
    ASSERT_FAILS(BT_EINPUT, "absent: cannot open",
                 bt_shard_open(in_dir(state, "absent"), BT_SHARD_LLMC, &shard, &diag));
}

static void ids_outside_the_vocabulary_are_named(void **state)
{
    struct bt_shard shard = {0};
    struct bt_diag diag;
    struct file file = make_llmc(4);
    TEST_OK(open_bytes(state, &file, BT_SHARD_LLMC, &shard, &diag), diag);
    TEST_OK(bt_shard_check(&shard, "x", 100001, &diag), diag);
    TEST_OK(bt_shard_check(&shard, "x", UINT64_MAX, &diag), diag);
    ASSERT_FAILS(BT_EINPUT, "x: token 4 has the id 100000; ids below the vocabulary size 100000 were expected",
                 bt_shard_check(&shard, "x", 100000, &diag));
    ASSERT_FAILS(BT_EINPUT, "x: token 0 has the id 1;", bt_shard_check(&shard, "x", 1, &diag));
    bt_shard_close(&shard);

    put_i32(&file, 1024, INT32_MIN);
    TEST_OK(open_bytes(state, &file, BT_SHARD_LLMC, &shard, &diag), diag);
    ASSERT_FAILS(BT_EINPUT, "x: token 0 has the id 2147483648", bt_shard_check(&shard, "x", UINT64_MAX, &diag));
    bt_shard_close(&shard);

    file = make_llmc(2);
    TEST_OK(open_bytes(state, &file, BT_SHARD_LLMC, &shard, &diag), diag);
    TEST_OK(bt_shard_check(&shard, "x", 65536, &diag), diag);
    ASSERT_FAILS(BT_EINPUT, "x: token 3 has the id 65535", bt_shard_check(&shard, "x", 65535, &diag));
    bt_shard_close(&shard);
}

static void what_is_written_is_what_llmc_writes(void **state)
{
    static const int32_t tokens[] = {1, 2, 3, 65535, 100000};
    struct bt_diag diag;
    for (unsigned width = 2; width <= 4; width += 2) {
        const struct file file = make_llmc(width);
        TEST_OK(bt_shard_write(in_dir(state, "w"), tokens, width == 2 ? 4 : 5, width, &diag), diag);
        assert_file_holds(in_dir(state, "w"), file.bytes, file.size);
    }
}

/* More than the writer narrows at a time. */
static void long_shards_come_back(void **state)
{
    enum { N = 300001 };
    struct bt_diag diag;
    int32_t *tokens = malloc(N * sizeof tokens[0]), *back = malloc(N * sizeof tokens[0]);
    assert_non_null(tokens);
    assert_non_null(back);
    for (int32_t i = 0; i < N; i++)
        tokens[i] = (int32_t)((uint32_t)i * 2654435761u >> 16);
    for (unsigned width = 2; width <= 4; width += 2) {
        struct bt_shard shard = {0};
        TEST_OK(bt_shard_write(in_dir(state, "w"), tokens, N, width, &diag), diag);
        TEST_OK(bt_shard_open(in_dir(state, "w"), BT_SHARD_LLMC, &shard, &diag), diag);
        assert_int_equal(shard.count, N);
        bt_shard_read(&shard, 0, N, back);
        assert_memory_equal(back, tokens, N * sizeof tokens[0]);
        bt_shard_close(&shard);
    }
    free(tokens);
    free(back);
}

static void ids_that_do_not_fit_are_not_written(void **state)
{
    static const int32_t tokens[] = {0, 65536}, negative[] = {0, 1, -1};
    struct bt_diag diag;
    ASSERT_FAILS(BT_EINPUT, "w: token 1 has the id 65536, which does not fit into 2 bytes",
                 bt_shard_write(in_dir(state, "w"), tokens, 2, 2, &diag));
    ASSERT_FAILS(BT_EINPUT, "w: token 2 has the id -1", bt_shard_write(in_dir(state, "w"), negative, 3, 4, &diag));
    ASSERT_FAILS(BT_EINPUT, "too many for one shard",
                 bt_shard_write(in_dir(state, "w"), tokens, (size_t)INT32_MAX + 1, 4, &diag));
    assert_false(bt_file_exists(in_dir(state, "w")));
    assert_false(bt_file_exists(in_dir(state, "w.tmp")));
}

static const int32_t sample[600000]; /* more than the buffer of a file being written */

static enum bt_err write_sample(void *context, struct bt_diag *diag)
{
    return bt_shard_write(context, sample, BT_ARRAY_LEN(sample), 2, diag);
}

/* The old shard, until the new one is whole. */
static void look_at_shard(void *context, enum bt_err err)
{
    const char *path = context;
    size_t size;
    unsigned char *got = test_read_file(path, &size);
    assert_true(size == 1024 + 2 * BT_ARRAY_LEN(sample) || (err && size == 3 && !memcmp(got, "old", 3)));
    free(got);
    test_write_file(path, "old", 3);
}

static enum bt_err write_and_read_sample(void *context)
{
    struct bt_shard shard = {0};
    enum bt_err err = write_sample(context, NULL);
    if (!err)
        err = bt_shard_open(context, BT_SHARD_LLMC, &shard, NULL);
    if (!err)
        bt_shard_close(&shard);
    return err;
}

static void whatever_fails_is_told(void **state)
{
    char *path = (char *)(uintptr_t)in_dir(state, "w");
    test_write_file(path, "old", 3);
    const struct disk_faults faults = {write_sample, look_at_shard, path, *state};
    assert_true(test_every_disk_operation_fails(&faults, ENOSPC) >= 5);
    assert_false(bt_file_exists(in_dir(state, "w.tmp")));
    test_every_allocation_fails(write_and_read_sample, path);
}

static void real_shards_are_read(void **state)
{
    (void)state;
    struct bt_shard shard = {0};
    struct bt_diag diag;
    const char *path = test_shared("data/shards/tinystories-stories260K-valid.bin");
    TEST_OK(bt_shard_open(path, BT_SHARD_LLMC, &shard, &diag), diag);
    assert_int_equal(shard.count, (184458 - 1024) / 2);
    TEST_OK(bt_shard_check(&shard, path, 512, &diag), diag);
    bt_shard_close(&shard);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_DIR(both_llmc_variants_and_nanogpt_are_read),
        IN_DIR(damaged_headers_are_refused),
        IN_DIR(prefixes_are_refused),
        IN_DIR(odd_and_empty_shards_are_refused),
        IN_DIR(ids_outside_the_vocabulary_are_named),
        IN_DIR(what_is_written_is_what_llmc_writes),
        IN_DIR(long_shards_come_back),
        IN_DIR(ids_that_do_not_fit_are_not_written),
        IN_DIR(whatever_fails_is_told),
        cmocka_unit_test(real_shards_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
