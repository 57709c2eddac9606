/* Tokenizers through the keys of a GGUF file: the same ids behind it, and the same bytes when it is written again. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "text/bytes.h"
#include "text/tokenizer_gguf.h"

/* Writes the keys of the tokenizer at `from`, with three rows of the embedding more than it needs. */
static enum bt_err write_keys(const char *from, const char *to, size_t *ret_notes, struct bt_diag *diag)
{
    const struct bt_gguf_special special = {1, 2, BT_NO_TOKEN};
    const char *notes[BT_GGUF_TOKENIZER_NOTES];
    struct bt_tokenizer_source source = {0};
    struct bt_tokenizer *t = NULL;
    struct bt_gguf_out *out = NULL;
    enum bt_err err = bt_tokenizer_source_read(from, &source, diag);
    if (!err)
        err = bt_tokenizer_source_open(&source, &t, diag);
    if (!err)
        err = bt_gguf_out_open(to, &out, diag);
    if (!err)
        err = bt_tokenizer_gguf_write(&source, &special, (uint64_t)bt_tokenizer_vocab_size(t) + 3, out, notes,
                                      ret_notes, diag);
    bt_tokenizer_close(t);
    bt_tokenizer_source_finish(&source);
    if (!err)
        return bt_gguf_out_close(out, NULL, diag);
    bt_gguf_out_abandon(out);
    return err;
}

struct both {
    struct bt_tokenizer *tokenizer[2];
    struct bt_tokenizer_scratch *scratch[2];
    size_t rows;
};

static void compare_text(struct both *b, const char *text, size_t size)
{
    struct bt_ids ids[2] = {{0}, {0}};
    struct bt_diag diag = {""};
    for (int i = 0; i < 2; i++)
        TEST_OK(bt_tokenizer_encode(b->tokenizer[i], b->scratch[i], text, size, true, &ids[i], &diag), diag);
    if (ids[0].count != ids[1].count || memcmp(ids[0].at, ids[1].at, ids[0].count * sizeof *ids[0].at) != 0)
        fail_msg("row %zu, \"%.60s\": %zu ids, expected %zu, or others", b->rows, text, ids[1].count, ids[0].count);
    bt_ids_finish(&ids[0]);
    bt_ids_finish(&ids[1]);
    b->rows++;
}

static void compare_rows(struct both *b, const char *golden)
{
    size_t size;
    char *lines = (char *)test_read_file(golden, &size), *rest = lines, *line;
    while ((line = strsep(&rest, "\n")) && *line) {
        json_t *row = json_loads(line, JSON_ALLOW_NUL, NULL);
        const json_t *text = json_object_get(row, "text");
        compare_text(b, json_string_value(text), json_string_length(text));
        json_decref(row);
    }
    free(lines);
}

static void compare_files(const char *from, const char *gguf, const char *golden)
{
    struct both b = {0};
    struct bt_diag diag = {""};
    const char *const paths[2] = {from, gguf};
    for (int i = 0; i < 2; i++) {
        TEST_OK(bt_tokenizer_open(paths[i], &b.tokenizer[i], &diag), diag);
        TEST_OK(bt_tokenizer_scratch_create(b.tokenizer[i], &b.scratch[i], &diag), diag);
    }
    assert_int_equal(bt_tokenizer_vocab_size(b.tokenizer[0]), bt_tokenizer_vocab_size(b.tokenizer[1]));
    for (int32_t id = 0; id < bt_tokenizer_vocab_size(b.tokenizer[0]); id++) {
        assert_string_equal(bt_tokenizer_token(b.tokenizer[0], id), bt_tokenizer_token(b.tokenizer[1], id));
        assert_int_equal(bt_tokenizer_is_special(b.tokenizer[0], id), bt_tokenizer_is_special(b.tokenizer[1], id));
    }
    compare_rows(&b, golden);
    assert_true(b.rows > 300);
    for (int i = 0; i < 2; i++) {
        bt_tokenizer_scratch_destroy(b.scratch[i]);
        bt_tokenizer_close(b.tokenizer[i]);
    }
}

static void every_family_comes_back(void **state)
{
    static const struct {
        const char *folder;
        size_t notes;
    } families[] = {{"data/tokenizers/gpt2", 0},
                    {"data/tokenizers/smollm2", 0},
                    {"data/tokenizers/mistral-v0.3", 1},
                    {"data/models/stories260K", 0}};
    const char *one = test_format("%s/one.gguf", (const char *)*state);
    const char *two = test_format("%s/two.gguf", (const char *)*state);
    for (size_t i = 0; i < BT_ARRAY_LEN(families); i++) {
        const char *from = test_shared(families[i].folder);
        struct bt_diag diag = {""};
        size_t notes, again;
        print_message("%s\n", families[i].folder);
        TEST_OK(write_keys(from, one, &notes, &diag), diag);
        TEST_OK(write_keys(one, two, &again, &diag), diag);
        test_same_bytes(one, two);
        assert_int_equal(notes, families[i].notes);
        assert_int_equal(again, notes);
        compare_files(from, one, test_format("%s/golden-hf.jsonl", from));
    }
}

static void the_byte_tokenizer_comes_back(void **state)
{
    const char *folder = *state, *one = test_format("%s/one.gguf", folder), *two = test_format("%s/two.gguf", folder);
    struct bt_tokenizer *t = NULL;
    struct bt_diag diag = {""};
    size_t notes;
    TEST_OK(bt_bytes_write_tokenizer(folder, &diag), diag);
    TEST_OK(write_keys(folder, one, &notes, &diag), diag);
    TEST_OK(write_keys(one, two, &notes, &diag), diag);
    test_same_bytes(one, two);
    TEST_OK(bt_tokenizer_open(one, &t, &diag), diag);
    assert_int_equal(bt_tokenizer_vocab_size(t), BT_BYTES_VOCAB);
    assert_int_equal(bt_tokenizer_bos(t), BT_BYTES_BOS);
    bt_tokenizer_close(t);
}

/* The template of a chat goes along, from either place that a folder has for it, and is there when it is read back. */
static void chat_templates_go_along(void **state)
{
    static const char list[] = "{\"chat_template\": [{\"name\": \"tool\", \"template\": \"no\"},"
                               " {\"name\": \"default\", \"template\": \"a {{ b }}\"}]}";
    static const char *const configs[] = {"{\"chat_template\": \"a {{ b }}\"}", list, "{}"};
    const char *folder = *state, *one = test_format("%s/one.gguf", folder);
    const char *config = test_format("%s/tokenizer_config.json", folder);
    struct bt_diag diag = {""};
    size_t notes;
    TEST_OK(bt_bytes_write_tokenizer(folder, &diag), diag);
    for (size_t i = 0; i < BT_ARRAY_LEN(configs); i++) {
        struct bt_tokenizer_source source = {0};
        test_write_file(config, configs[i], strlen(configs[i]));
        if (i == 2)
            test_write_file(test_format("%s/chat_template.jinja", folder), "a {{ b }}", 9);
        TEST_OK(write_keys(folder, one, &notes, &diag), diag);
        TEST_OK(bt_tokenizer_source_read(one, &source, &diag), diag);
        assert_string_equal(source.chat_template, "a {{ b }}");
        bt_tokenizer_source_finish(&source);
    }
}

/* A tokenizer of two letters and one merge, whose pre_tokenizer is told. */
static void write_small(const char *folder, const char *pre, const char *more)
{
    const char *text =
        test_format("{\"normalizer\": null, \"pre_tokenizer\": %s, \"decoder\": null, \"model\": {%s"
                    "\"type\": \"BPE\", \"vocab\": {\"a\": 0, \"b\": 1, \"ab\": 2}, \"merges\": [\"a b\"]}}",
                    pre, more);
    test_write_file(test_format("%s/tokenizer.json", folder), text, strlen(text));
}

#define SPLIT(pattern)                                                                                                 \
    "{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Split\", \"pattern\": {\"Regex\": \"" pattern           \
    "\"}, \"behavior\": \"Isolated\", \"invert\": false}, {\"type\": \"ByteLevel\", \"add_prefix_space\": false,"      \
    " \"use_regex\": false}]}"
#define FRONT "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}"
#define REST  "| ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+"

static void every_way_of_cutting_has_its_name(void **state)
{
    static const struct {
        const char *pre, *more, *name;
    } cases[] = {
        {"{\"type\": \"ByteLevel\", \"add_prefix_space\": false}", "", "gpt-2"},
        {"{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Digits\", \"individual_digits\": true},"
         " {\"type\": \"ByteLevel\", \"add_prefix_space\": false}]}",
         "", "smollm"},
        {SPLIT(FRONT "{1,3}" REST), "\"ignore_merges\": true, ", "llama-bpe"},
        {SPLIT(FRONT "{1,3}" REST), "", "dbrx"},
        {SPLIT(FRONT REST), "", "qwen2"},
    };
    const char *folder = *state, *one = test_format("%s/one.gguf", folder), *two = test_format("%s/two.gguf", folder);
    for (size_t i = 0; i < BT_ARRAY_LEN(cases); i++) {
        struct bt_diag diag = {""};
        struct bt_gguf *file = NULL;
        struct bt_gguf_text name = {0};
        size_t notes;
        write_small(folder, cases[i].pre, cases[i].more);
        TEST_OK(write_keys(folder, one, &notes, &diag), diag);
        TEST_OK(write_keys(one, two, &notes, &diag), diag);
        test_same_bytes(one, two);
        TEST_OK(bt_gguf_open(one, &file, &diag), diag);
        TEST_OK(bt_gguf_get_text(file, "tokenizer.ggml.pre", true, &name, &diag), diag);
        assert_int_equal(name.size, strlen(cases[i].name));
        assert_memory_equal(name.at, cases[i].name, name.size);
        bt_gguf_close(file);
    }
}

/* llama.cpp knows no NFC, which is told; read back here, the tokenizer has it again. */
static void normalising_is_kept_for_us(void **state)
{
    static const char text[] = "{\"normalizer\": {\"type\": \"NFC\"}, \"pre_tokenizer\": {\"type\": \"ByteLevel\", "
                               "\"add_prefix_space\": false},"
                               " \"decoder\": null, \"model\": {\"type\": \"BPE\", \"vocab\": {\"e\": 0, \"\\u00cc\": "
                               "1, \"\\u0123\": 2, \"\\u00c3\":"
                               " 3, \"\\u00a9\": 4}, \"merges\": []}}";
    const char *folder = *state, *one = test_format("%s/one.gguf", folder);
    struct bt_tokenizer *t = NULL;
    struct bt_tokenizer_scratch *scratch = NULL;
    struct bt_ids ids = {0};
    struct bt_diag diag = {""};
    size_t notes;
    test_write_file(test_format("%s/tokenizer.json", folder), text, sizeof text - 1);
    TEST_OK(write_keys(folder, one, &notes, &diag), diag);
    assert_int_equal(notes, 1);
    TEST_OK(bt_tokenizer_open(one, &t, &diag), diag);
    TEST_OK(bt_tokenizer_scratch_create(t, &scratch, &diag), diag);
    TEST_OK(bt_tokenizer_encode(t, scratch, "e\xCC\x81", 3, false, &ids, &diag), diag);
    assert_int_equal(ids.count, 2); /* the two bytes of U+00E9 */
    assert_int_equal(ids.at[0], 3);
    assert_int_equal(ids.at[1], 4);
    bt_ids_finish(&ids);
    bt_tokenizer_scratch_destroy(scratch);
    bt_tokenizer_close(t);
}

static void what_has_no_name_is_refused(void **state)
{
    static const struct {
        const char *pre, *more, *sentence;
    } cases[] = {
        {"null", "", "it is neither byte-level BPE nor SentencePiece's BPE with byte fallback"},
        {"{\"type\": \"ByteLevel\", \"add_prefix_space\": true}", "", "llama.cpp has no name for how"},
        {"{\"type\": \"ByteLevel\", \"add_prefix_space\": false}", "\"ignore_merges\": true, ", "has no name"},
        {"{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Digits\", \"individual_digits\": false},"
         " {\"type\": \"ByteLevel\", \"add_prefix_space\": false}]}",
         "", "has no name"},
        {"{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Split\", \"pattern\": {\"Regex\": \"x\"},"
         " \"behavior\": \"Isolated\", \"invert\": false}, {\"type\": \"ByteLevel\", \"add_prefix_space\": false,"
         " \"use_regex\": false}]}",
         "", "has no name"},
    };
    const char *folder = *state, *one = test_format("%s/one.gguf", folder);
    for (size_t i = 0; i < BT_ARRAY_LEN(cases); i++) {
        struct bt_diag diag = {""};
        size_t notes;
        write_small(folder, cases[i].pre, cases[i].more);
        assert_int_equal(write_keys(folder, one, &notes, &diag), BT_EUSAGE);
        if (!strstr(diag.text, cases[i].sentence))
            fail_msg("case %zu: %s", i, diag.text);
    }
}

static enum bt_err there_and_back(void *context)
{
    const char *folder = context, *one = test_format("%s/one.gguf", folder);
    struct bt_tokenizer *t = NULL;
    size_t notes;
    enum bt_err err = write_keys(folder, one, &notes, NULL);
    if (!err)
        err = bt_tokenizer_open(one, &t, NULL);
    bt_tokenizer_close(t);
    return err;
}

static void every_allocation_may_fail(void **state)
{
    static const char text[] =
        "{\"added_tokens\": [{\"id\": 0, \"content\": \"<s>\", \"single_word\": false, \"lstrip\": false, \"rstrip\": "
        "false,"
        " \"normalized\": false, \"special\": true}, {\"id\": 6, \"content\": \"<x>\", \"single_word\": false, "
        "\"lstrip\":"
        " true, \"rstrip\": false, \"normalized\": false, \"special\": false}],"
        " \"normalizer\": {\"type\": \"Sequence\", \"normalizers\": [{\"type\": \"Prepend\", \"prepend\": \"\\u2581\"},"
        " {\"type\": \"Replace\", \"pattern\": {\"String\": \" \"}, \"content\": \"\\u2581\"}]}, \"pre_tokenizer\": "
        "null,"
        " \"post_processor\": {\"type\": \"TemplateProcessing\", \"single\": [{\"SpecialToken\": {\"id\": \"<s>\","
        " \"type_id\": 0}}, {\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}], \"pair\": [], \"special_tokens\": "
        "{\"<s>\":"
        " {\"id\": \"<s>\", \"ids\": [0], \"tokens\": [\"<s>\"]}}}, \"decoder\": null, \"model\": {\"type\": \"BPE\","
        " \"unk_token\": \"<u>\", \"byte_fallback\": true, \"vocab\": {\"<s>\": 0, \"<u>\": 1, \"<0x0A>\": 2, \"a\": 3,"
        " \"b\": 4, \"ab\": 5}, \"merges\": [[\"a\", \"b\"]]}}";
    void *folder = *state;
    test_write_file(test_format("%s/tokenizer.json", (const char *)folder), text, sizeof text - 1);
    test_every_allocation_fails(there_and_back, folder);
    write_small(folder,
                "{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Digits\", \"individual_digits\": true},"
                " {\"type\": \"ByteLevel\", \"add_prefix_space\": false}]}",
                "");
    test_every_allocation_fails(there_and_back, folder);
}

#define IN_DIR(test) cmocka_unit_test_setup_teardown(test, test_dir_setup, test_dir_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_DIR(every_family_comes_back),    IN_DIR(the_byte_tokenizer_comes_back),
        IN_DIR(chat_templates_go_along),    IN_DIR(every_way_of_cutting_has_its_name),
        IN_DIR(normalising_is_kept_for_us), IN_DIR(what_has_no_name_is_refused),
        IN_DIR(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
