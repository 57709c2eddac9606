/* text/tokenizer: files that are wrong in one place, cut off or spoiled anywhere, and memory that runs out. */
#include "support.h"

#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "small_tokenizer.h"

static void refuse_vocab(const char *vocab, const char *merges, const char *added, const char *part)
{
    char *text = NULL;
    struct bt_diag diag = {""};
    struct bt_tokenizer *tokenizer;
    text = bt_sprintf("{\"added_tokens\":[%s],\"model\":{\"type\":\"BPE\",\"vocab\":{%s},\"merges\":[%s]}}", added,
                      vocab, merges);
    assert_non_null(text);
    assert_int_equal(bt_tokenizer_parse(text, strlen(text), "t.json", &tokenizer, &diag), BT_EINPUT);
    if (!strstr(diag.text, part) || !strstr(diag.text, "t.json"))
        fail_msg("expected '%s' in: %s", part, diag.text);
    bt_free(text);
}

#define ADDED(id, content)                                                                                             \
    "{\"id\":" id ",\"content\":\"" content "\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,"              \
    "\"normalized\":false,\"special\":true}"

static void test_malformed(void **state)
{
    (void)state;
    refuse_vocab("", "", "", "model.vocab: there are no tokens");
    refuse_vocab("\"a\":0,\"b\":0", "", "", "the id 0 has two tokens");
    refuse_vocab("\"a\":0,\"b\":2", "", "", "'b' has the id 2, so of 2 tokens some id is missing");
    refuse_vocab("\"a\":-1", "", "", "'a' has no id");
    refuse_vocab("\"a\":\"0\"", "", "", "'a' has no id");
    refuse_vocab("\"a\":0,\"a\":1", "", "", "duplicate");
    refuse_vocab("\"a\":0", "\"a b\"", "", "model.merges[0]: 'b' is not a token");
    refuse_vocab("\"a\":0,\"b\":1", "\"a b\"", "", "model.merges[0]: 'ab' is not a token");
    refuse_vocab("\"a\":0", "\"a\"", "", "model.merges[0]: expected two tokens");
    refuse_vocab("\"a\":0", "\"a a a\"", "", "model.merges[0]: expected two tokens");
    refuse_vocab("\"a\":0", "[\"a\"]", "", "model.merges[0]: expected two tokens");
    refuse_vocab("\"a\":0", "7", "", "model.merges[0]: expected two tokens");
    refuse_vocab("\"a\":0", "", ADDED("2", "b"), "added_tokens[0]: the token 'b' has the id 2, expected 1");
    refuse_vocab("\"a\":0", "", ADDED("1", "a"), "the token 'a' has the id 1, expected 0");
    refuse_vocab("\"a\":0", "", ADDED("1", "b") "," ADDED("1", "b"), "added_tokens[1]: the token 'b' is added twice");
    refuse_vocab("\"a\":0", "", ADDED("1", ""), "added_tokens[0].content");
    refuse_vocab("\"a\":0", "", "{\"id\":1,\"content\":\"b\"}", "single_word: this is missing");
    refuse_vocab("\"a\":0", "", "5", "added_tokens[0]: expected an object");
}

static void test_wrong_parts(void **state)
{
    static const struct {
        const char *json, *part;
    } cases[] = {
        {"[]", "not a JSON object"},
        {"{}", "model: expected an object"},
        {"{\"model\":{\"type\":\"Unigram\"}}", "'Unigram'"},
        {"{\"model\":{\"type\":\"BPE\"}}", "model.vocab: this is missing, expected an object"},
        {"{\"model\":{\"vocab\":{\"a\":0}}}", "model.merges: this is missing, expected an array"},
        {"{\"model\":{\"vocab\":{\"a\":0},\"merges\":[],\"dropout\":0.1}}", "model.dropout"},
        {"{\"model\":{\"vocab\":{\"a\":0},\"merges\":[],\"end_of_word_suffix\":\"</w>\"}}", "end_of_word_suffix"},
        {"{\"model\":{\"vocab\":{\"a\":0},\"merges\":[],\"fuse_unk\":1}}", "model.fuse_unk: this is an integer"},
        {"{\"model\":{\"vocab\":{\"a\":0},\"merges\":[]},\"added_tokens\":{}}", "added_tokens: expected an array"},
        {"{\"model\":{\"vocab\":{\"a\":0},\"merges\":[]},\"normalizer\":[]}", "normalizer: this is an array"},
        {"{\"model\":{\"vocab\":{\"a\":0},\"merges\":[]},\"decoder\":{}}", "decoder.type: this is missing"},
        {"{\"model\":{\"vocab\":{\"a\":0},\"merges\":[]},\"decoder\":{\"type\":\"Strip\",\"content\":\" \",\"start\":1,"
         "\"stop\":1}}",
         "Strip is supported behind Fuse"},
    };
    struct bt_tokenizer *tokenizer;
    (void)state;
    for (size_t i = 0; i < BT_ARRAY_LEN(cases); i++) {
        struct bt_diag diag = {""};
        assert_int_equal(bt_tokenizer_parse(cases[i].json, strlen(cases[i].json), "t.json", &tokenizer, &diag),
                         BT_EINPUT);
        if (!strstr(diag.text, cases[i].part))
            fail_msg("expected '%s' in: %s", cases[i].part, diag.text);
    }
}

/* A file that has something of everything. */
static char *full_json(void)
{
    return small_json(&(struct small_file){
        .added = ADDED("0", "<unk>") "," ADDED(
            "11", "<s>") ",{\"id\":12,\"content\":\"x y\",\"single_word\":true,"
                         "\"lstrip\":true,\"rstrip\":true,\"normalized\":true,\"special\":false}",
        .normalizer =
            "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFC\"},{\"type\":\"Prepend\",\"prepend\":\"▁\"},"
            "{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"▁\"}]}",
        .pre =
            "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Metaspace\",\"replacement\":\"▁\",\"prepend_"
            "scheme\":"
            "\"first\",\"split\":false},{\"type\":\"Split\",\"pattern\":{\"Regex\":\"[^\\\\s▁]+|\\\\p{N}{1,3}\"},"
            "\"behavior\":\"MergedWithPrevious\",\"invert\":false},{\"type\":\"Digits\",\"individual_digits\":true}]}",
        .post =
            "{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"<s>\",\"type_id\":0}},"
            "{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}],\"special_tokens\":{\"<s>\":{\"id\":\"<s>\",\"ids\":[11]}}}",
        .decoder =
            "{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Replace\",\"pattern\":{\"String\":\"▁\"},\"content\":"
            "\" \"},{\"type\":\"ByteFallback\"},{\"type\":\"Fuse\"},{\"type\":\"Strip\",\"content\":\" \",\"start\":1,"
            "\"stop\":0}]}",
        .flags = "\"unk_token\":\"<unk>\",\"fuse_unk\":true,\"byte_fallback\":true,\"ignore_merges\":true,",
        .vocab = "<unk> a b ▁ ab <0xC3> <0xA9> 1 ▁a ba e",
        .merges = "\"a b\",[\"▁\",\"a\"],\"b a\""});
}

static const char full_text[] = "ab<s> x y e\u0301\u0323 12 b\u4e2dab\u00e9bababa";

/* All that can be done with an open tokenizer. */
static enum bt_err use(const struct bt_tokenizer *tokenizer, struct bt_diag *diag)
{
    struct bt_tokenizer_scratch *scratch;
    struct bt_ids ids = {0};
    char *text = NULL;
    size_t size;
    enum bt_err err = bt_tokenizer_scratch_create(tokenizer, &scratch, diag);
    if (err)
        return err;
    err = bt_tokenizer_encode(tokenizer, scratch, full_text, sizeof full_text - 1, true, &ids, diag);
    if (!err)
        err = bt_tokenizer_decode(tokenizer, ids.at, ids.count, false, &text, &size, diag);
    bt_free(text);
    bt_ids_finish(&ids);
    bt_tokenizer_scratch_destroy(scratch);
    return err;
}

/* The spoiled bytes in memory of just their size, so that a sanitizer sees a step beyond. */
static enum bt_err try(const char *json, size_t size)
{
    struct bt_diag diag = {""};
    struct bt_tokenizer *tokenizer;
    char *copy = malloc(size ? size : 1);
    assert_non_null(copy);
    memcpy(copy, json, size);
    enum bt_err err = bt_tokenizer_parse(copy, size, "t.json", &tokenizer, &diag);
    free(copy);
    assert_true(err == BT_OK || (err == BT_EINPUT && diag.text[0]));
    if (!err) {
        err = use(tokenizer, &diag);
        assert_true(err == BT_OK || err == BT_EINPUT);
        bt_tokenizer_close(tokenizer);
    }
    return err;
}

static void test_prefixes(void **state)
{
    char *json = full_json();
    const size_t size = strlen(json);
    (void)state;
    for (size_t n = 0; n < size; n++)
        assert_int_equal(try(json, n), BT_EINPUT);
    assert_int_equal(try(json, size), BT_OK);
    free(json);
}

static void test_corruptions(void **state)
{
    char *json = full_json();
    const size_t size = strlen(json);
    const uint64_t key = bt_rng_key(5, "corruptions");
    uint64_t at = 0;
    (void)state;
    for (size_t round = 0; round < 2500; round++) {
        char *spoiled = malloc(size);
        assert_non_null(spoiled);
        memcpy(spoiled, json, size);
        for (size_t k = 0; k <= round % 3; k++) {
            /* another byte of the file as often as any byte */
            const size_t place = bt_rng_below(key, at++, size);
            spoiled[place] = round % 2 ? json[bt_rng_below(key, at++, size)] : (char)bt_rng_below(key, at++, 256);
        }
        try(spoiled, size);
        free(spoiled);
    }
    free(json);
}

static enum bt_err whole_life(void *context)
{
    const char *json = context;
    struct bt_tokenizer *tokenizer;
    struct bt_token_stream *stream;
    struct bt_diag diag = {""};
    const char *piece;
    size_t size;
    enum bt_err err = bt_tokenizer_parse(json, strlen(json), "t.json", &tokenizer, &diag);
    if (err)
        return err;
    err = use(tokenizer, &diag);
    if (!err)
        err = bt_token_stream_create(tokenizer, false, &stream, &diag);
    if (!err) {
        for (int32_t id = 0; !err && id < bt_tokenizer_vocab_size(tokenizer); id++)
            err = bt_token_stream_push(stream, id, &piece, &size, &diag);
        if (!err)
            err = bt_token_stream_end(stream, &piece, &size, &diag);
        bt_token_stream_destroy(stream);
    }
    bt_tokenizer_close(tokenizer);
    return err;
}

static void test_no_memory(void **state)
{
    char *json = full_json();
    char *levels = small_json(&(struct small_file){.vocab = "a Ġ Ġa",
                                                   .flags = "\"ignore_merges\":true,",
                                                   .pre = "{\"type\":\"ByteLevel\",\"add_prefix_space\":true}",
                                                   .decoder = "{\"type\":\"ByteLevel\"}",
                                                   .merges = "\"Ġ a\""});
    (void)state;
    test_every_allocation_fails(whole_life, json);
    test_every_allocation_fails(whole_life, levels);
    free(json);
    free(levels);
}

static enum bt_err open_folder(void *context)
{
    struct bt_tokenizer *tokenizer;
    const enum bt_err err = bt_tokenizer_open(context, &tokenizer, NULL);
    if (!err)
        bt_tokenizer_close(tokenizer);
    return err;
}

static void test_open(void **state)
{
    char *folder = test_make_dir(), *json = full_json();
    struct bt_tokenizer *tokenizer;
    struct bt_diag diag = {""};
    (void)state;
    assert_int_equal(bt_tokenizer_open(folder, &tokenizer, &diag), BT_EINPUT);
    assert_non_null(strstr(diag.text, "tokenizer.json"));
    test_write_file(test_format("%s/tokenizer.json", folder), json, strlen(json));
    TEST_OK(bt_tokenizer_open(folder, &tokenizer, &diag), diag);
    const uint64_t hash = bt_tokenizer_hash(tokenizer);
    bt_tokenizer_close(tokenizer);
    TEST_OK(bt_tokenizer_open(test_format("%s/tokenizer.json", folder), &tokenizer, &diag), diag);
    assert_true(bt_tokenizer_hash(tokenizer) == hash);
    bt_tokenizer_close(tokenizer);
    bt_tokenizer_close(NULL);
    bt_tokenizer_scratch_destroy(NULL);
    bt_token_stream_destroy(NULL);
    test_every_allocation_fails(open_folder, folder);
    test_remove_dir(folder);
    free(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_malformed),   cmocka_unit_test(test_wrong_parts), cmocka_unit_test(test_prefixes),
        cmocka_unit_test(test_corruptions), cmocka_unit_test(test_no_memory),   cmocka_unit_test(test_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
