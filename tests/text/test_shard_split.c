/* text/shard_split: every document goes whole to exactly one part, the one that the text's split gives it, in order,
 * with its labels; the parts have the manifest of the whole. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "io/json.h"
#include "text/bytes.h"
#include "text/shard_mask.h"
#include "text/shard_set.h"
#include "text/shard_split.h"
#include "text/split.h"
#include "text/tokenize.h"

#define DOCUMENTS    200
#define SHARD_TOKENS 300
#define LONG         77 /* the number of the document that is longer than two shards */

static char *folder, *prefix, *jsonl, *inputs[64];
static size_t input_count;

/* The text of a document tells its number. */
static const char *document_text(int i)
{
    static char text[1000];
    snprintf(text, sizeof text, "%d%*s.", i, i == LONG ? 2 * SHARD_TOKENS + 50 : i % 17, "");
    return text;
}

static void write_text(void)
{
    FILE *file = fopen(jsonl, "w");
    assert_non_null(file);
    for (int i = 0; i < DOCUMENTS; i++)
        fprintf(file, "{\"text\":\"%s\"}\n", document_text(i));
    assert_int_equal(fclose(file), 0);
}

/* folder/all-000000.bin and so on, of the text in bytes. */
static void write_shards(void)
{
    struct bt_tokenizer *tokenizer;
    struct bt_tokenize_report report;
    struct bt_diag diag = {""};
    char *all = strdup(test_format("%s/all", folder));
    TEST_OK(bt_bytes_write_tokenizer(folder, &diag), diag);
    TEST_OK(bt_tokenizer_open(folder, &tokenizer, &diag), diag);
    const struct bt_tokenize_options options = {.tokenizer = tokenizer,
                                                .tokenizer_path = folder,
                                                .separators = {BT_BYTES_BOS, BT_BYTES_EOS},
                                                .inputs = (const char *const[]){jsonl},
                                                .input_count = 1,
                                                .key = "text",
                                                .prefix = all,
                                                .shard_tokens = SHARD_TOKENS,
                                                .threads = 1};
    TEST_OK(bt_tokenize(&options, &report, &diag), diag);
    bt_tokenizer_close(tokenizer);
    input_count = report.shards;
    assert_in_range(input_count, 5, BT_ARRAY_LEN(inputs));
    for (size_t i = 0; i < input_count; i++)
        inputs[i] = strdup(test_format("%s-%06zu.bin", all, i));
    free(all);
}

static int make_world(void **state)
{
    (void)state;
    folder = test_make_dir();
    prefix = strdup(test_format("%s/out/a", folder));
    jsonl = strdup(test_format("%s/a.jsonl", folder));
    write_text();
    write_shards();
    return 0;
}

static int finish_world(void **state)
{
    (void)state;
    test_remove_dir(folder);
    for (size_t i = 0; i < input_count; i++)
        free(inputs[i]);
    free(prefix);
    free(jsonl);
    return 0;
}

static struct bt_shard_split_options options_for(double share, uint64_t count)
{
    return (struct bt_shard_split_options){.inputs = (const char *const *)inputs,
                                           .input_count = input_count,
                                           .prefix = prefix,
                                           .seed = 42,
                                           .share = share,
                                           .count = count,
                                           .before = BT_NO_TOKEN,
                                           .after = BT_NO_TOKEN};
}

/* All tokens of a part's shards, in a row. */
static int32_t *read_part(const char *name, size_t shards, size_t *ret_count)
{
    int32_t *tokens = NULL;
    *ret_count = 0;
    for (size_t i = 0; i < shards; i++) {
        struct bt_shard shard;
        struct bt_diag diag;
        TEST_OK(bt_shard_open(test_format("%s-%s-%06zu.bin", prefix, name, i), BT_SHARD_LLMC, &shard, &diag), diag);
        tokens = realloc(tokens, (*ret_count + shard.count) * sizeof *tokens);
        assert_non_null(tokens);
        bt_shard_read(&shard, 0, shard.count, tokens + *ret_count);
        *ret_count += shard.count;
        bt_shard_close(&shard);
    }
    return tokens;
}

/* A part holds the documents for which in_part is 1, whole and in order. */
static void expect_documents(const char *name, size_t shards, const char *in_part)
{
    size_t count, at = 0;
    int32_t *tokens = read_part(name, shards, &count);
    for (int i = 0; i < DOCUMENTS; i++) {
        if (!in_part[i])
            continue;
        const char *text = document_text(i);
        assert_true(at + strlen(text) + 2 <= count);
        assert_int_equal(tokens[at++], BT_BYTES_BOS);
        for (; *text; text++)
            assert_int_equal(tokens[at++], (unsigned char)*text);
        assert_int_equal(tokens[at++], BT_BYTES_EOS);
    }
    assert_int_equal(at, count);
    free(tokens);
}

/* What the split of the text with the same seed holds out. */
static void split_text(const struct bt_shard_split_options *like, char held_out[DOCUMENTS])
{
    struct bt_split_report report;
    struct bt_diag diag;
    char *out = strdup(test_format("%s/text", folder));
    const struct bt_split_options options = {.inputs = (const char *const[]){jsonl},
                                             .input_count = 1,
                                             .key = "text",
                                             .prefix = out,
                                             .seed = like->seed,
                                             .share = like->share,
                                             .count = like->count};
    TEST_OK(bt_split_documents(&options, &report, &diag), diag);
    char *text = (char *)test_read_file(test_format("%s-validation.jsonl", out), NULL);
    for (int i = 0; i < DOCUMENTS; i++)
        held_out[i] = strstr(text, test_format("{\"text\":\"%s\"}\n", document_text(i))) != NULL;
    free(text);
    free(out);
}

static void expect_split(const struct bt_shard_split_options *options, struct bt_shard_split_report *report)
{
    char held_out[DOCUMENTS], kept[DOCUMENTS];
    uint64_t held = 0;
    struct bt_diag diag;
    TEST_OK(bt_shard_split(options, report, &diag), diag);
    split_text(options, held_out);
    for (int i = 0; i < DOCUMENTS; i++) {
        kept[i] = !held_out[i];
        held += (uint64_t)held_out[i];
    }
    assert_int_equal(report->validation.documents, held);
    assert_int_equal(report->train.documents, DOCUMENTS - held);
    expect_documents("train", report->train.shards, kept);
    expect_documents("validation", report->validation.shards, held_out);
}

static void test_same_documents_as_of_the_text(void **state)
{
    static const uint64_t counts[] = {1, 50, 100, DOCUMENTS - 1};
    struct bt_shard_split_report report;
    (void)state;
    for (size_t i = 0; i < BT_ARRAY_LEN(counts); i++) {
        const struct bt_shard_split_options options = options_for(0.0, counts[i]);
        expect_split(&options, &report);
        assert_int_equal(report.validation.documents, counts[i]);
    }
    struct bt_shard_split_options options = options_for(0.3, 0);
    expect_split(&options, &report);
    options.seed = 7;
    expect_split(&options, &report);
}

static json_t *read_manifest(const char *path)
{
    json_t *value = NULL;
    struct bt_diag diag;
    TEST_OK(bt_json_read(path, &value, &diag), diag);
    return value;
}

static void test_manifests(void **state)
{
    const struct bt_shard_split_options options = options_for(0.0, 40);
    struct bt_shard_split_report report;
    struct bt_shard_origin whole, part;
    struct bt_diag diag;
    (void)state;
    TEST_OK(bt_shard_split(&options, &report, &diag), diag);
    assert_true(report.manifests);
    TEST_OK(bt_manifest_find(inputs[0], &whole, &diag), diag);
    TEST_OK(bt_manifest_find(test_format("%s-validation-000000.bin", prefix), &part, &diag), diag);
    assert_true(part.known && part.tokenizer_hash == whole.tokenizer_hash && !part.masked);
    assert_int_equal(part.separators.before, BT_BYTES_BOS);
    json_t *value = read_manifest(test_format("%s-validation.json", prefix));
    json_t *source = read_manifest(test_format("%s/all.json", folder));
    const json_t *totals = json_object_get(value, "totals"), *split = json_object_get(value, "split");
    assert_int_equal(json_integer_value(json_object_get(totals, "documents")), 40);
    assert_int_equal(json_integer_value(json_object_get(totals, "tokens")), report.validation.tokens);
    assert_true(json_is_null(json_object_get(totals, "bytes")));
    assert_int_equal(json_array_size(json_object_get(value, "shards")), report.validation.shards);
    assert_true(json_equal(json_object_get(value, "inputs"), json_object_get(source, "inputs")));
    assert_true(json_equal(json_object_get(value, "options"), json_object_get(source, "options")));
    assert_string_equal(json_string_value(json_object_get(split, "part")), "validation");
    assert_int_equal(json_integer_value(json_object_get(split, "count")), 40);
    assert_int_equal(json_array_size(json_object_get(split, "shards")), input_count);
    json_decref(source);
    json_decref(value);
}

static void test_without_a_manifest(void **state)
{
    struct bt_shard_split_options options = options_for(0.0, 40);
    struct bt_shard_split_report report;
    struct bt_diag diag;
    (void)state;
    TEST_OK(bt_dir_remove(test_format("%s/all.json", folder), &diag), diag);
    assert_int_equal(bt_shard_split(&options, &report, &diag), BT_EUSAGE);
    assert_non_null(strstr(diag.text, "no manifest says where documents begin or end; --before ID or --after ID"));
    options.before = BT_BYTES_BOS;
    expect_split(&options, &report);
    options.before = BT_NO_TOKEN;
    options.after = BT_BYTES_EOS;
    expect_split(&options, &report);
    assert_false(report.manifests);
    assert_false(bt_file_exists(test_format("%s-train.json", prefix)));
}

/* A set with masks, in which only the mask knows where documents begin: token i of document d is d, and may be a label
 * when d + i is even. */
static void write_masked(const char *to, int documents)
{
    struct bt_shard_set *set;
    struct bt_diag diag;
    TEST_OK(bt_shard_set_open(to, 2, 50, &set, &diag), diag);
    for (int d = 0; d < documents; d++) {
        int32_t tokens[130];
        unsigned char labels[130];
        const size_t size = d == 3 ? 130 : 1 + (size_t)d % 9;
        for (size_t i = 0; i < size; i++) {
            tokens[i] = d;
            labels[i] = ((size_t)d + i) % 2 == 0;
        }
        TEST_OK(bt_shard_set_add(set, tokens, labels, size, 0, &diag), diag);
    }
    TEST_OK(bt_shard_set_finish(set, &diag), diag);
    size_t shards;
    bt_shard_set_entries(set, &shards);
    bt_shard_set_close(set);
    for (size_t i = 0; i < input_count; i++)
        free(inputs[i]);
    input_count = shards;
    for (size_t i = 0; i < shards; i++)
        inputs[i] = strdup(test_format("%s-%06zu.bin", to, i));
}

/* Counts the documents of a part, each whole and with its labels. */
static int check_masked_part(const char *name, size_t shards, char seen[60])
{
    int documents = 0;
    size_t place = 0;
    for (size_t s = 0; s < shards; s++) {
        const char *path = test_format("%s-%s-%06zu.bin", prefix, name, s);
        struct bt_shard shard;
        struct bt_mask mask = {0};
        struct bt_diag diag;
        TEST_OK(bt_shard_open(path, BT_SHARD_LLMC, &shard, &diag), diag);
        TEST_OK(bt_shard_mask_open(path, &shard, &mask, &diag), diag);
        assert_true(bt_mask_exists(&mask));
        for (size_t i = 0; i < shard.count; i++) {
            int32_t d;
            bt_shard_read(&shard, i, 1, &d);
            place = bt_mask_begins(&mask, i) ? 0 : place + 1;
            assert_int_equal(bt_mask_is_label(&mask, i), ((size_t)d + place) % 2 == 0);
            if (place)
                continue;
            assert_false(seen[d]);
            seen[d] = 1;
            documents++;
        }
        bt_mask_close(&mask);
        bt_shard_close(&shard);
    }
    return documents;
}

static void test_masks_go_along(void **state)
{
    char seen[60] = "", *all = strdup(test_format("%s/masked", folder));
    struct bt_shard_split_report report;
    struct bt_diag diag;
    (void)state;
    write_masked(all, 60);
    const struct bt_shard_split_options options = options_for(0.0, 20);
    TEST_OK(bt_shard_split(&options, &report, &diag), diag);
    assert_int_equal(check_masked_part("validation", report.validation.shards, seen), 20);
    assert_int_equal(check_masked_part("train", report.train.shards, seen), 40);
    TEST_OK(bt_dir_remove(test_format("%s-000001.mask", all), &diag), diag);
    assert_int_equal(bt_shard_split(&options, &report, &diag), BT_EINPUT);
    assert_non_null(strstr(diag.text, "one has a label mask and the other has none; split them one by one"));
    free(all);
}

static void test_refusals(void **state)
{
    struct bt_shard_split_options options = options_for(0.0, DOCUMENTS);
    struct bt_shard_split_report report;
    struct bt_diag diag;
    char *other = strdup(test_format("%s/other-000000.bin", folder)), *last = inputs[input_count - 1];
    (void)state;
    assert_int_equal(bt_shard_split(&options, &report, &diag), BT_EINPUT);
    assert_non_null(strstr(diag.text, "the inputs hold 200 documents: holding out 200 of them leaves none"));
    options = options_for(1e-9, 0);
    assert_int_equal(bt_shard_split(&options, &report, &diag), BT_EINPUT);
    assert_non_null(strstr(diag.text, "a-validation would hold no document (200 are there in all); give a count"));
    assert_false(bt_file_exists(test_format("%s-train-000000.bin", prefix)));
    assert_false(bt_file_exists(test_format("%s-train-000000.bin.tmp", prefix)));
    options = options_for(0.5, 0);
    TEST_OK(bt_file_copy(inputs[0], other, &diag), diag);
    inputs[input_count - 1] = other;
    assert_int_equal(bt_shard_split(&options, &report, &diag), BT_EINPUT);
    assert_non_null(strstr(diag.text, "other-000000.bin: they do not have one manifest; split them one by one"));
    inputs[input_count - 1] = last;
    free(prefix);
    prefix = strdup(test_format("%s/all", folder));
    TEST_OK(bt_file_rename(inputs[0], test_format("%s/all-train-000000.bin", folder), &diag), diag);
    options = options_for(0.5, 0);
    options.inputs = (const char *const[]){test_format("%s/all-train-000000.bin", folder)};
    options.input_count = 1;
    options.before = BT_BYTES_BOS;
    assert_int_equal(bt_shard_split(&options, &report, &diag), BT_EUSAGE);
    assert_non_null(strstr(diag.text, "all-train-000000.bin is an input; it would be overwritten"));
    free(other);
}

static enum bt_err split_all(void *context)
{
    struct bt_shard_split_report report;
    const struct bt_shard_split_options options = options_for(0.0, 3);
    (void)context;
    return bt_shard_split(&options, &report, NULL);
}

static void test_every_allocation(void **state)
{
    const size_t all_inputs = input_count;
    char *all = strdup(test_format("%s/masked", folder));
    (void)state;
    input_count = 2;
    test_every_allocation_fails(split_all, NULL);
    input_count = all_inputs;
    write_masked(all, 10);
    test_every_allocation_fails(split_all, NULL);
    free(all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_same_documents_as_of_the_text, make_world, finish_world),
        cmocka_unit_test_setup_teardown(test_manifests, make_world, finish_world),
        cmocka_unit_test_setup_teardown(test_without_a_manifest, make_world, finish_world),
        cmocka_unit_test_setup_teardown(test_masks_go_along, make_world, finish_world),
        cmocka_unit_test_setup_teardown(test_refusals, make_world, finish_world),
        cmocka_unit_test_setup_teardown(test_every_allocation, make_world, finish_world),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
