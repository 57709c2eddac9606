/* text/tokenize, separators and manifests: the same bytes on any number of threads, the ids and counts they should
 * hold, and what is left when something fails. The byte-level tokenizer makes every id known: 256 begins, 257 ends. */
#include "tokenize_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compressed.h"
#include "io/file.h"
#include "io/shard.h"
#include "text/bytes.h"
#include "text/manifest.h"

static enum bt_err tokenize_text(const char *text, bool skip, struct bt_tokenize_report *report, struct bt_diag *diag)
{
    const char *const inputs[] = {input};
    struct bt_tokenize_options options = tokenize_world_options(inputs, 1, 1000000);
    options.skip = skip;
    test_write_file(input, text, strlen(text));
    return bt_tokenize(&options, report, diag);
}

static void expect_tokens(const int32_t *want, size_t count)
{
    struct bt_shard shard;
    struct bt_diag diag = {""};
    TEST_OK(bt_shard_open(test_format("%s-000000.bin", prefix), BT_SHARD_LLMC, &shard, &diag), diag);
    assert_int_equal(shard.count, count);
    for (size_t i = 0; i < count; i++) {
        int32_t id;
        bt_shard_read(&shard, i, 1, &id);
        assert_int_equal(id, want[i]);
    }
    bt_shard_close(&shard);
}

static void test_ids_and_counts(void **state)
{
    static const int32_t want[] = {256, 'a', 'b', 257, 256, 0xc3, 0xa4, 257};
    struct bt_tokenize_report report;
    struct bt_diag diag = {""};
    (void)state;
    TEST_OK(tokenize_text("{\"text\":\"ab\"}\n{\"text\":\"\"}\n{\"text\":\"\\u00e4\"}\n", false, &report, &diag), diag);
    expect_tokens(want, BT_ARRAY_LEN(want));
    assert_int_equal(report.done.documents, 2);
    assert_int_equal(report.done.bytes, 4);
    assert_int_equal(report.done.tokens, 8);
    assert_int_equal(report.empty, 1);
    assert_int_equal(report.skipped, 0);
    assert_int_equal(report.shards, 1);
    assert_int_equal(report.width, 2);
}

static json_int_t number_at(const json_t *value, const char *first, const char *second)
{
    const json_t *number = json_object_get(json_object_get(value, first), second);
    assert_true(json_is_integer(number));
    return json_integer_value(number);
}

static void test_manifest(void **state)
{
    struct bt_tokenize_report report;
    struct bt_diag diag = {""};
    json_t *manifest;
    uint64_t hash, size;
    (void)state;
    TEST_OK(tokenize_text("{\"text\":\"ab\"}\n{\"text\":\"c\"}", false, &report, &diag), diag);
    TEST_OK(bt_json_read(test_format("%s.json", prefix), &manifest, &diag), diag);
    assert_int_equal(number_at(manifest, "totals", "tokens"), 7);
    assert_int_equal(number_at(manifest, "totals", "documents"), 2);
    assert_int_equal(number_at(manifest, "totals", "bytes"), 3);
    assert_int_equal(number_at(manifest, "separators", "before"), 256);
    assert_int_equal(number_at(manifest, "separators", "after"), 257);
    assert_int_equal(number_at(manifest, "tokenizer", "vocab_size"), 258);
    const json_t *shard = json_array_get(json_object_get(manifest, "shards"), 0);
    const json_t *from = json_array_get(json_object_get(manifest, "inputs"), 0);
    assert_string_equal(json_string_value(json_object_get(shard, "file")), "a-000000.bin");
    TEST_OK(bt_file_hash(test_format("%s-000000.bin", prefix), &hash, &size, &diag), diag);
    assert_string_equal(json_string_value(json_object_get(shard, "xxh3_64")),
                        test_format("%016llx", (unsigned long long)hash));
    TEST_OK(bt_file_hash(input, &hash, &size, &diag), diag);
    assert_string_equal(json_string_value(json_object_get(from, "xxh3_64")),
                        test_format("%016llx", (unsigned long long)hash));
    assert_int_equal(json_integer_value(json_object_get(from, "bytes")), size);
    json_decref(manifest);
}

static void test_manifest_is_found(void **state)
{
    struct bt_tokenize_report report;
    struct bt_shard_origin origin;
    struct bt_diag diag = {""};
    (void)state;
    TEST_OK(tokenize_text("{\"text\":\"ab\"}", false, &report, &diag), diag);
    TEST_OK(bt_manifest_find(test_format("%s-000000.bin", prefix), &origin, &diag), diag);
    assert_true(origin.known);
    assert_int_equal(origin.tokenizer_hash, bt_tokenizer_hash(tokenizer));
    assert_int_equal(origin.separators.before, 256);
    assert_int_equal(origin.documents, 1);
    uint64_t hash, size;
    TEST_OK(bt_file_hash(test_format("%s-000000.bin", prefix), &hash, &size, &diag), diag);
    assert_true(origin.hashed && origin.hash == hash);
    assert_string_equal(origin.tokenizer, folder);
    static const char *const others[] = {"-000001.bin", "-00000.bin", "x000000.bin", ".bin", "-000000.bim"};
    for (size_t i = 0; i < BT_ARRAY_LEN(others); i++) {
        TEST_OK(bt_manifest_find(test_format("%s%s", prefix, others[i]), &origin, &diag), diag);
        assert_false(origin.known);
    }
    test_write_file(test_format("%s.json", prefix), "{\"kind\":\"something else\"}", 25);
    TEST_OK(bt_manifest_find(test_format("%s-000000.bin", prefix), &origin, &diag), diag);
    assert_false(origin.known);
    test_write_file(test_format("%s.json", prefix), "{\"kind\":", 8);
    assert_int_equal(bt_manifest_find(test_format("%s-000000.bin", prefix), &origin, &diag), BT_EINPUT);
}

/* Every file of a set, one after the other. */
static char *read_set(const char *of, size_t *ret_size)
{
    char *all = malloc(64 << 20);
    size_t used = 0, size;
    assert_non_null(all);
    for (size_t i = 0;; i++) {
        const char *path = test_format("%s-%06zu.bin", of, i);
        if (!bt_file_exists(path))
            break;
        unsigned char *data = test_read_file(path, &size);
        memcpy(all + used, data, size);
        used += size;
        free(data);
    }
    unsigned char *manifest = test_read_file(test_format("%s.json", of), &size);
    memcpy(all + used, manifest, size);
    free(manifest);
    *ret_size = used + size;
    return all;
}

/* Three files of three kinds with documents of 0 to 5,000 bytes, and one that is larger than a batch. */
static void write_inputs(char *paths[3])
{
    static char jsonl[8 << 20], text[4 << 20];
    size_t jsonl_size = 0, text_size = 0, size;
    uint32_t x = 7;
    for (int i = 0; i < 1500; i++) {
        x = x * 1664525 + 1013904223;
        const size_t length = i == 700 ? 3 << 20 : (x >> 8) % 5000 * (i % 3 == 0);
        jsonl_size += (size_t)sprintf(jsonl + jsonl_size, "{\"text\":\"");
        memset(jsonl + jsonl_size, 'a' + i % 26, length);
        jsonl_size += length;
        jsonl_size += (size_t)sprintf(jsonl + jsonl_size, "\"}\n");
        text_size += (size_t)sprintf(text + text_size, "document %d\n<|end|>\n", i);
    }
    unsigned char *gzip = test_gzip(jsonl, jsonl_size, &size);
    paths[0] = strdup(test_format("%s/in.jsonl.gz", folder));
    test_write_file(paths[0], gzip, size);
    free(gzip);
    unsigned char *zstd = test_zstd(text, text_size, &size);
    paths[1] = strdup(test_format("%s/in.txt.zst", folder));
    test_write_file(paths[1], zstd, size);
    free(zstd);
    paths[2] = strdup(test_format("%s/in.jsonl", folder));
    test_write_file(paths[2], jsonl, jsonl_size);
}

static void test_threads_change_no_byte(void **state)
{
    char *paths[3], *want = NULL;
    size_t want_size = 0;
    (void)state;
    write_inputs(paths);
    for (int threads = 1; threads <= 5; threads += 2) {
        struct bt_tokenize_options options = tokenize_world_options((const char *const *)paths, 3, 1000000);
        struct bt_tokenize_report report;
        struct bt_diag diag = {""};
        size_t size;
        options.threads = threads;
        options.separator = "<|end|>";
        options.shard_tokens = 400000;
        TEST_OK(bt_tokenize(&options, &report, &diag), diag);
        assert_true(report.shards > 20);
        char *got = read_set(prefix, &size);
        if (want) {
            assert_int_equal(size, want_size);
            assert_memory_equal(got, want, size);
            free(got);
        } else {
            want = got;
            want_size = size;
        }
    }
    free(want);
    for (size_t i = 0; i < 3; i++)
        free(paths[i]);
}

static void test_errors_stop_or_are_skipped(void **state)
{
    static const char text[] = "{\"text\":\"a\"}\n{\"text\":\"\\ud800\"}\n{\"txt\":1}\n{\"text\":\"b\"}\n";
    static const int32_t want[] = {256, 'a', 257, 256, 'b', 257};
    struct bt_tokenize_report report;
    struct bt_diag diag = {""};
    (void)state;
    assert_int_equal(tokenize_text(text, false, &report, &diag), BT_EINPUT);
    assert_non_null(strstr(diag.text, "a.jsonl: line 2, column"));
    assert_false(bt_file_exists(test_format("%s-000000.bin", prefix)));
    assert_false(bt_file_exists(test_format("%s-000000.bin.tmp", prefix)));
    TEST_OK(tokenize_text(text, true, &report, &diag), diag);
    expect_tokens(want, BT_ARRAY_LEN(want));
    assert_int_equal(report.skipped, 2);
    assert_non_null(strstr(report.first_skipped, "a.jsonl: line 2, column"));
    assert_int_equal(tokenize_text("{}\n", true, &report, &diag), BT_EINPUT);
    assert_non_null(strstr(diag.text, "no document could be read, 1 were skipped, the first: "));
    expect_tokens(want, BT_ARRAY_LEN(want)); /* what stood there stands */
}

static void test_cut_file_is_skipped(void **state)
{
    static const int32_t want[] = {256, 'x', 257};
    size_t size;
    unsigned char *gzip = test_gzip("{\"text\":\"lost\"}", 15, &size);
    char *cut = strdup(test_format("%s/cut.jsonl.gz", folder));
    const char *const inputs[] = {cut, input};
    struct bt_tokenize_options options = tokenize_world_options(inputs, 2, 1000000);
    struct bt_tokenize_report report;
    struct bt_diag diag = {""};
    (void)state;
    test_write_file(cut, gzip, size - 4);
    test_write_file(input, "{\"text\":\"x\"}", 12);
    assert_int_equal(bt_tokenize(&options, &report, &diag), BT_EINPUT);
    assert_non_null(strstr(diag.text, "cut.jsonl.gz"));
    options.skip = true;
    TEST_OK(bt_tokenize(&options, &report, &diag), diag);
    expect_tokens(want, 3);
    assert_int_equal(report.skipped, 1);
    options.inputs = (const char *const[]){input, test_format("%s/absent.txt", folder)};
    assert_int_equal(bt_tokenize(&options, &report, &diag), BT_EINPUT); /* a file that is not there is no document */
    free(cut);
    free(gzip);
}

static void expect_separators(const char *before, const char *after, int32_t want_before, int32_t want_after)
{
    struct bt_separators s;
    struct bt_diag diag = {""};
    TEST_OK(bt_separators_choose(folder, tokenizer, before, after, &s, &diag), diag);
    assert_int_equal(s.before, want_before);
    assert_int_equal(s.after, want_after);
}

static void test_separators(void **state)
{
    struct bt_separators s;
    struct bt_diag diag = {""};
    const char *config = test_format("%s/config.json", folder);
    (void)state;
    expect_separators(NULL, NULL, 256, 257); /* of tokenizer_config.json */
    expect_separators("none", NULL, BT_NO_TOKEN, 257);
    expect_separators("bos", "none", 256, BT_NO_TOKEN);
    expect_separators("7", "eos", 7, 257);
    test_write_file(config, "{\"bos_token_id\":3,\"eos_token_id\":[4,5]}", 39);
    expect_separators(NULL, NULL, 3, 4);
    test_write_file(config, "{\"bos_token_id\":3,\"eos_token_id\":3}", 35); /* one id for both: before */
    expect_separators(NULL, NULL, 3, BT_NO_TOKEN);
    expect_separators(NULL, "eos", BT_NO_TOKEN, 3);
    assert_int_equal(bt_separators_choose(folder, tokenizer, "bos", "eos", &s, &diag), BT_EUSAGE);
    assert_non_null(strstr(diag.text, "--before and --after are both the id 3"));
    assert_int_equal(bt_separators_choose(folder, tokenizer, "258", NULL, &s, &diag), BT_EUSAGE);
    assert_non_null(strstr(diag.text, "--before: the id 258 is not below the 258 ids"));
    assert_int_equal(bt_separators_choose(folder, tokenizer, NULL, "bos", &s, &diag), BT_EUSAGE);
    assert_non_null(strstr(diag.text, "--after: found \"bos\", expected a token id, eos or none"));
}

static enum bt_err tokenize_small(void *context)
{
    struct bt_tokenize_options options = tokenize_world_options(context, 1, 1000000);
    struct bt_tokenize_report report;
    const enum bt_err err = bt_separators_choose(folder, tokenizer, NULL, NULL, &options.separators, NULL);
    options.threads = 1; /* the allocations come in one order */
    return err ? err : bt_tokenize(&options, &report, NULL);
}

static void test_every_allocation(void **state)
{
    const char *inputs[] = {input};
    (void)state;
    test_write_file(input, "{\"text\":\"ab\"}\n{\"text\":\"c\"}\n", 27);
    test_every_allocation_fails(tokenize_small, inputs);
}

static void shared_shards_are_made_again(const char *name, size_t first, size_t count)
{
    const char *stories = test_shared("data/text/tinystories-v2-excerpt.jsonl");
    const char *model = test_shared("data/models/stories260K");
    struct bt_tokenizer *real;
    struct bt_tokenize_report report;
    struct bt_diag diag = {""};
    const char *const inputs[] = {input};
    size_t size, made_size, want_size;
    char *text = (char *)test_read_file(stories, &size), *begin = text, *end;
    for (; first > 0; first--)
        begin = strchr(begin, '\n') + 1;
    for (end = begin; count > 0 && *end; count--)
        end = strchr(end, '\n') + 1;
    test_write_file(input, begin, (size_t)(end - begin));
    TEST_OK(bt_tokenizer_open(model, &real, &diag), diag);
    struct bt_tokenize_options options = tokenize_world_options(inputs, 1, 1000000);
    options.tokenizer = real;
    TEST_OK(bt_separators_choose(model, real, NULL, "none", &options.separators, &diag), diag);
    TEST_OK(bt_tokenize(&options, &report, &diag), diag);
    unsigned char *made = test_read_file(test_format("%s-000000.bin", prefix), &made_size);
    unsigned char *want = test_read_file(test_shared(test_format("data/shards/%s", name)), &want_size);
    assert_int_equal(made_size, want_size);
    assert_memory_equal(made, want, want_size);
    bt_tokenizer_close(real);
    free(want);
    free(made);
    free(text);
}

static void test_shared_shards(void **state)
{
    (void)state;
    shared_shards_are_made_again("tinystories-stories260K-train.bin", 0, 1500);
    shared_shards_are_made_again("tinystories-stories260K-valid.bin", 1500, 228);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_ids_and_counts, tokenize_world_setup, tokenize_world_teardown),
        cmocka_unit_test_setup_teardown(test_manifest, tokenize_world_setup, tokenize_world_teardown),
        cmocka_unit_test_setup_teardown(test_manifest_is_found, tokenize_world_setup, tokenize_world_teardown),
        cmocka_unit_test_setup_teardown(test_threads_change_no_byte, tokenize_world_setup, tokenize_world_teardown),
        cmocka_unit_test_setup_teardown(test_errors_stop_or_are_skipped, tokenize_world_setup, tokenize_world_teardown),
        cmocka_unit_test_setup_teardown(test_cut_file_is_skipped, tokenize_world_setup, tokenize_world_teardown),
        cmocka_unit_test_setup_teardown(test_separators, tokenize_world_setup, tokenize_world_teardown),
        cmocka_unit_test_setup_teardown(test_every_allocation, tokenize_world_setup, tokenize_world_teardown),
        cmocka_unit_test_setup_teardown(test_shared_shards, tokenize_world_setup, tokenize_world_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
