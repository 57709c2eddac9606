/* io/stream: plain, gzip and Zstandard files read alike, and every way in which the compressed ones can be broken. */
#include "support.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "compressed.h"
#include "io/stream.h"

/* More than the buffers of both sides, and not all alike. */
static char *make_text(size_t size)
{
    char *text = malloc(size + 1);
    uint32_t x = 1;
    assert_non_null(text);
    for (size_t i = 0; i < size; i++) {
        x = x * 1664525 + 1013904223;
        text[i] = (char)('a' + (x >> 24) % 20);
    }
    text[size] = '\0';
    return text;
}

/* Reads it in pieces of `step` bytes and compares. */
static enum bt_err read_all(const char *path, const char *want, size_t size, size_t step, struct bt_diag *diag)
{
    struct bt_stream *stream = NULL;
    char *piece = malloc(step);
    size_t at = 0, got = 1;
    enum bt_err err = bt_stream_open(path, &stream, diag);
    while (!err && got) {
        if ((err = bt_stream_read(stream, piece, step, &got, diag)))
            break;
        assert_true(got <= size - at);
        assert_memory_equal(piece, want + at, got);
        at += got;
    }
    if (!err)
        assert_int_equal(at, size);
    bt_stream_close(stream);
    free(piece);
    return err;
}

static void test_formats_read_alike(void **state)
{
    static const size_t sizes[] = {0, 1, 300, 262144, 1000000}, steps[] = {1000, 65536, 2000000};
    struct bt_diag diag = {""};
    (void)state;
    for (size_t i = 0; i < BT_ARRAY_LEN(sizes); i++) {
        size_t gzip_size, zstd_size;
        char *text = make_text(sizes[i]);
        unsigned char *gzip = test_gzip(text, sizes[i], &gzip_size), *zstd = test_zstd(text, sizes[i], &zstd_size);
        const char *plain_path = test_format("%s/a.txt", test_dir), *gzip_path = test_format("%s/a.txt.gz", test_dir);
        const char *zstd_path = test_format("%s/a.txt.zst", test_dir), *unnamed = test_format("%s/unnamed", test_dir);
        test_write_file(plain_path, text, sizes[i]);
        test_write_file(gzip_path, gzip, gzip_size);
        test_write_file(zstd_path, zstd, zstd_size);
        test_write_file(unnamed, zstd, zstd_size); /* told by its first bytes */
        for (size_t j = 0; j < BT_ARRAY_LEN(steps); j++) {
            TEST_OK(read_all(plain_path, text, sizes[i], steps[j], &diag), diag);
            TEST_OK(read_all(gzip_path, text, sizes[i], steps[j], &diag), diag);
            TEST_OK(read_all(zstd_path, text, sizes[i], steps[j], &diag), diag);
            TEST_OK(read_all(unnamed, text, sizes[i], steps[j], &diag), diag);
        }
        free(zstd);
        free(gzip);
        free(text);
    }
}

/* cat a.gz b.gz is a gzip file, and so with Zstandard. */
static void test_files_put_together(void **state)
{
    unsigned char *(*const compress[])(const void *, size_t, size_t *) = {test_gzip, test_zstd};
    struct bt_diag diag = {""};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        size_t first_size, second_size;
        unsigned char *first = compress[i]("hello ", 6, &first_size), *second = compress[i]("you", 3, &second_size);
        unsigned char *both = malloc(first_size + second_size);
        memcpy(both, first, first_size);
        memcpy(both + first_size, second, second_size);
        const char *path = test_format("%s/both", test_dir);
        test_write_file(path, both, first_size + second_size);
        TEST_OK(read_all(path, "hello you", 9, 100, &diag), diag);
        TEST_OK(read_all(path, "hello you", 9, 1, &diag), diag);
        memcpy(both + first_size, "trailing", 3);
        test_write_file(path, both, first_size + 3);
        assert_int_equal(read_all(path, "hello you", 9, 100, &diag), BT_EINPUT);
        free(both);
        free(second);
        free(first);
    }
}

/* A compressed file that was cut anywhere says so, with its name and byte. */
static void test_every_prefix_is_refused(void **state)
{
    static const char *const names[] = {"cut.gz", "cut.zst"};
    unsigned char *(*const compress[])(const void *, size_t, size_t *) = {test_gzip, test_zstd};
    char *text = make_text(3000);
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        size_t size;
        unsigned char *whole = compress[i](text, 3000, &size);
        for (size_t cut = 0; cut < size; cut++) {
            const char *path = test_format("%s/%s", test_dir, names[i]);
            struct bt_diag diag = {""};
            test_write_file(path, whole, cut);
            assert_int_equal(read_all(path, text, 3000, 512, &diag), BT_EINPUT);
            assert_non_null(strstr(diag.text, names[i]));
            assert_non_null(
                strstr(diag.text, cut < (i ? 4 : 2) ? "byte 0: this is not" : test_format("byte %zu: the", cut)));
        }
        free(whole);
    }
    free(text);
}

static void test_damage_is_named(void **state)
{
    struct bt_diag diag = {""};
    char *text = make_text(5000);
    size_t size;
    unsigned char *gzip = test_gzip(text, 5000, &size);
    const char *path = test_format("%s/bad.gz", test_dir);
    (void)state;
    gzip[size - 6] ^= 1; /* of the checksum */
    test_write_file(path, gzip, size);
    assert_int_equal(read_all(path, text, 5000, 5000, &diag), BT_EINPUT);
    assert_non_null(strstr(diag.text, "damaged gzip data: incorrect data check"));
    test_write_file(path, "plain text", 10);
    assert_int_equal(read_all(path, "plain text", 10, 100, &diag), BT_EINPUT);
    assert_non_null(strstr(diag.text, "byte 0: this is not gzip data, which a name that ends in \".gz\" promises"));
    assert_int_equal(read_all(test_format("%s/absent", test_dir), "", 0, 100, &diag), BT_EINPUT);
    assert_non_null(strstr(diag.text, "/absent: cannot open"));
    assert_int_equal(read_all(test_dir, "", 0, 100, &diag), BT_EINPUT);
    free(gzip);
    free(text);
}

static void test_position_and_hash(void **state)
{
    struct bt_stream *stream;
    struct bt_diag diag = {""};
    char *text = make_text(400000), piece[4096];
    size_t size, got;
    unsigned char *zstd = test_zstd(text, 400000, &size);
    const char *path = test_format("%s/a.zst", test_dir);
    (void)state;
    test_write_file(path, zstd, size);
    TEST_OK(bt_stream_open(path, &stream, &diag), diag);
    assert_int_equal(bt_stream_file_size(stream), size);
    do
        TEST_OK(bt_stream_read(stream, piece, sizeof piece, &got, &diag), diag);
    while (got);
    assert_int_equal(bt_stream_position(stream), size);
    assert_int_equal(bt_stream_hash(stream), XXH3_64bits(zstd, size));
    bt_stream_close(stream);
    assert_int_equal(bt_stream_plain_length("x.txt.zst"), 5);
    assert_int_equal(bt_stream_plain_length("x.jsonl.gz"), 7);
    assert_int_equal(bt_stream_plain_length("x.txt"), 5);
    free(zstd);
    free(text);
}

static enum bt_err read_once(void *path)
{
    return read_all(path, "hello", 5, 100, NULL);
}

static void test_every_allocation(void **state)
{
    unsigned char *(*const compress[])(const void *, size_t, size_t *) = {test_gzip, test_zstd};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        size_t size;
        unsigned char *data = compress[i]("hello", 5, &size);
        char *path = strdup(test_format("%s/small", test_dir));
        test_write_file(path, data, size);
        test_every_allocation_fails(read_once, path);
        free(path);
        free(data);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_formats_read_alike),      cmocka_unit_test(test_files_put_together),
        cmocka_unit_test(test_every_prefix_is_refused), cmocka_unit_test(test_damage_is_named),
        cmocka_unit_test(test_position_and_hash),       cmocka_unit_test(test_every_allocation),
    };
    return cmocka_run_group_tests(tests, test_dir_setup, test_dir_teardown);
}
