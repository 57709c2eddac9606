/* text/documents: which bytes are a document, in every form a file comes in, and what is said of those that are none.
 */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compressed.h"
#include "text/documents.h"

static const char *write_text(const char *name, const char *text)
{
    const char *path = test_format("%s/%s", test_dir, name);
    test_write_file(path, text, strlen(text));
    return path;
}

/* Reads the documents of one file: their texts with '|' after each, and the first failure. */
static enum bt_err read_file(const char *path, const char *separator, char *out, size_t room, struct bt_diag *diag)
{
    struct bt_documents *documents = NULL;
    struct bt_record record = {0};
    enum bt_err err = bt_documents_open(&path, 1, NULL, separator, &documents, diag);
    size_t used = 0;
    while (!err && !(err = bt_documents_next(documents, &record, diag)) && record.data) {
        struct bt_document document;
        if ((err = bt_document_read(&record, path, "text", &document, diag)))
            break;
        assert_true(used + document.size + 2 <= room);
        memcpy(out + used, document.text, document.size);
        used += document.size;
        out[used++] = '|';
        bt_document_finish(&document);
    }
    out[used] = '\0';
    bt_documents_close(documents);
    return err;
}

static void expect(const char *name, const char *text, const char *separator, const char *want)
{
    char got[4096];
    struct bt_diag diag = {""};
    TEST_OK(read_file(write_text(name, text), separator, got, sizeof got, &diag), diag);
    assert_string_equal(got, want);
}

static void expect_error(const char *name, const char *text, const char *sentence)
{
    char got[4096];
    struct bt_diag diag = {""};
    assert_int_equal(read_file(write_text(name, text), "--", got, sizeof got, &diag), BT_EINPUT);
    if (!strstr(diag.text, sentence))
        fail_msg("said: %s\nexpected: %s", diag.text, sentence);
    assert_non_null(strstr(diag.text, name));
}

static void test_plain_text(void **state)
{
    (void)state;
    expect("a.txt", "one\ntwo\n--\nthree\n--\n", "--", "one\ntwo|three|");
    expect("a.txt", "one\n--\nthree", "--", "one|three|");
    expect("a.txt", "one\n--\nthree\n--", "--", "one|three|");
    expect("a.txt", "one\n--\nthree\n\n", "--", "one|three\n|");
    expect("a.txt", "--\n--\n\n--\none\n--\n--\n", "--", "one|");            /* no empty documents */
    expect("a.txt", "one --\n --\n---\n--\nx", "--", "one --\n --\n---|x|"); /* the whole line, nothing else */
    expect("a.txt", "one\r\ntwo\r\n--\r\nthree\r\n", "--", "one\r\ntwo|three|");
    expect("a.txt", "\xef\xbb\xbfone\n--\ntwo", "--", "one|two|");
    expect("a.txt", "", "--", "");
    expect("a.txt", "one\n--\ntwo\n", NULL, "one\n--\ntwo\n|"); /* a file as it is */
    expect("a.txt", "", NULL, "");
}

static void test_jsonl(void **state)
{
    (void)state;
    expect("a.jsonl", "{\"text\":\"one\"}\n{\"id\":3,\"text\":\"t\\u00e4\\ud83d\\ude00\\n\"}", NULL,
           "one|t\xc3\xa4\xf0\x9f\x98\x80\n|");
    expect("a.jsonl", "\n  \t\r\n{\"text\":\"\"}\r\n\n { \"text\" : \"x\" } \n\n", NULL, "|x|");
    expect("a.jsonl", "\xef\xbb\xbf{\"text\":\"one\"}\n", NULL, "one|");
    expect("a.jsonl", "", NULL, "");
}

static void test_what_is_not_text(void **state)
{
    (void)state;
    expect_error("a.txt", "one\n--\ntwo\nth\xffree\n", "a.txt: line 4, byte 13: found the byte 0xff");
    expect_error("a.txt", "x\n--\n\xed\xa0\x80", "line 3, byte 5: found the byte 0xed, expected UTF-8 text");
    expect_error("a.txt", "x\n--\nab\xc3", "line 3, byte 7: found the byte 0xc3");
    expect_error("a.jsonl", "{\"text\":\"x\"}\n\n{\"text\":\"\\ud800\"}\n", "a.jsonl: line 3, column");
    expect_error("a.jsonl", "{\"text\":\"\\udc00x\"}\n", "line 1, column");
    expect_error("a.jsonl", "{\"text\":\"\\u0000\"}\n", "line 1, column");
    expect_error("a.jsonl", "{\"text\":\"\xff\"}\n", "line 1, column");
    expect_error("a.jsonl", "{\"text\":\"x\"}\n{\"text\":\"x\"\n", "line 2, column 11: not valid JSON");
    expect_error("a.jsonl", "{\"text\":\"x\"} {\"text\":\"y\"}\n", "line 1, column");
    expect_error("a.jsonl", "{\"txt\":\"x\"}\n", "line 1: the object has no key \"text\"");
    expect_error("a.jsonl", "{\"text\":1}\n", "line 1: the value of \"text\" is not a string");
    expect_error("a.jsonl", "[\"text\"]\n", "line 1: found JSON that is not an object");
    expect_error("a.json", "{}", "ends neither in .txt nor in .jsonl");
}

static void test_nul_byte(void **state)
{
    char got[64];
    struct bt_diag diag = {""};
    const char *path = test_format("%s/nul.txt", test_dir);
    (void)state;
    test_write_file(path, "a\nb\0c", 5);
    assert_int_equal(read_file(path, NULL, got, sizeof got, &diag), BT_EINPUT);
    assert_non_null(strstr(diag.text, "line 2, byte 3: found a NUL byte"));
}

/* Lines and documents longer than the buffer, beside short ones, plain and compressed. */
static void test_sizes_around_the_buffer(void **state)
{
    static const size_t sizes[] = {1, 100, (1 << 20) - 20, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3000000, 5};
    static char text[16000000], want[16000000], got[16000000];
    struct bt_diag diag = {""};
    size_t used = 0, want_used = 0, zstd_size;
    (void)state;
    for (size_t i = 0; i < BT_ARRAY_LEN(sizes); i++) {
        memset(want + want_used, 'a' + (int)i, sizes[i]);
        memcpy(text + used, want + want_used, sizes[i]);
        want[want_used += sizes[i]] = '|';
        want_used++;
        memcpy(text + (used += sizes[i]), "\n--\n", 4);
        used += 4;
    }
    want[want_used] = '\0';
    const char *path = test_format("%s/large.txt", test_dir), *compressed = test_format("%s/large.txt.zst", test_dir);
    test_write_file(path, text, used);
    TEST_OK(read_file(path, "--", got, sizeof got, &diag), diag);
    assert_string_equal(got, want);
    unsigned char *zstd = test_zstd(text, used, &zstd_size);
    test_write_file(compressed, zstd, zstd_size);
    TEST_OK(read_file(compressed, "--", got, sizeof got, &diag), diag);
    assert_string_equal(got, want);
    free(zstd);
}

/* Cut anywhere, a file of lines gives whole documents only, and an error unless the cut is between two lines. */
static void test_every_prefix(void **state)
{
    static const char whole[] = "{\"text\":\"one\"}\n{\"text\":\"two\"}\n";
    const size_t first = 14, second = 29; /* where a line's closing brace is the last byte */
    (void)state;
    for (size_t cut = 0; cut <= sizeof whole - 1; cut++) {
        char got[64];
        struct bt_diag diag = {""};
        const char *path = test_format("%s/cut.jsonl", test_dir);
        test_write_file(path, whole, cut);
        const enum bt_err err = read_file(path, NULL, got, sizeof got, &diag);
        const bool good = cut == 0 || cut == first || cut == first + 1 || cut >= second;
        assert_int_equal(err, good ? BT_OK : BT_EINPUT);
        assert_string_equal(got, cut < first ? "" : cut < second ? "one|" : "one|two|");
    }
}

/* A file that was cut costs the rest of that file; the one after it is read. */
static void test_goes_on_after_damage(void **state)
{
    size_t size;
    struct bt_documents *documents;
    struct bt_record record;
    struct bt_diag diag = {""};
    char text[40000];
    (void)state;
    size_t used = 0;
    for (int i = 0; i < 1000; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "{\"text\":\"%d\"}\n", i * 7919 % 100000);
    unsigned char *gzip = test_gzip(text, used, &size);
    const char *paths[] = {strdup(test_format("%s/cut.jsonl.gz", test_dir)),
                           strdup(write_text("b.jsonl", "{\"text\":\"x\"}"))};
    test_write_file(paths[0], gzip, size - 12);
    TEST_OK(bt_documents_open(paths, 2, NULL, NULL, &documents, &diag), diag);
    assert_int_equal(bt_documents_size(documents), size - 12 + 12);
    enum bt_err err;
    size_t count = 0;
    while (!(err = bt_documents_next(documents, &record, &diag)))
        count++;
    assert_int_equal(err, BT_EINPUT);
    assert_non_null(strstr(diag.text, "the gzip data end early"));
    assert_int_equal(bt_documents_input(documents, 0)->records, count);
    TEST_OK(bt_documents_next(documents, &record, &diag), diag);
    assert_int_equal(record.input, 1);
    assert_int_equal(record.line, 1);
    TEST_OK(bt_documents_next(documents, &record, &diag), diag);
    assert_null(record.data);
    assert_int_equal(bt_documents_position(documents), size);
    assert_int_equal(bt_documents_input(documents, 1)->bytes, 12);
    bt_documents_close(documents);
    for (size_t i = 0; i < 2; i++)
        free((void *)(uintptr_t)paths[i]);
    free(gzip);
}

static enum bt_err read_both(void *context)
{
    const char *const *paths = context;
    char got[64];
    const enum bt_err err = read_file(paths[0], "--", got, sizeof got, NULL);
    return err ? err : read_file(paths[1], NULL, got, sizeof got, NULL);
}

static void test_every_allocation(void **state)
{
    char *paths[] = {strdup(write_text("a.txt", "one\n--\ntwo")), strdup(write_text("a.jsonl", "{\"text\":\"x\"}"))};
    (void)state;
    test_every_allocation_fails(read_both, paths);
    free(paths[0]);
    free(paths[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_text),
        cmocka_unit_test(test_jsonl),
        cmocka_unit_test(test_what_is_not_text),
        cmocka_unit_test(test_nul_byte),
        cmocka_unit_test(test_sizes_around_the_buffer),
        cmocka_unit_test(test_every_prefix),
        cmocka_unit_test(test_goes_on_after_damage),
        cmocka_unit_test(test_every_allocation),
    };
    return cmocka_run_group_tests(tests, test_dir_setup, test_dir_teardown);
}
