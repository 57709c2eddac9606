/* text/tokenizer against what other programs made of the same texts: every row of every golden file, its ids, its ids
 * with special tokens, and the text that comes back. And long runs of one thing, for each of the tokenizers. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "io/json.h"
#include "text/tokenizer.h"

struct golden {
    const char *file;
    struct bt_tokenizer *tokenizer;
    struct bt_tokenizer_scratch *scratch;
    size_t rows, ids_wrong, special_wrong, decoded_wrong;
};

/* Whether they differ; the first few differences are shown. */
static bool differs(const struct golden *g, const char *what, const json_t *want, const struct bt_ids *got)
{
    const size_t count = json_array_size(want);
    size_t i = 0;
    while (i < count && i < got->count && json_integer_value(json_array_get(want, i)) == got->at[i])
        i++;
    if (i == count && i == got->count)
        return false;
    if (g->ids_wrong + g->special_wrong < 5)
        print_message("%s: row %zu: %s: %zu ids, expected %zu; the first difference is number %zu\n", g->file, g->rows,
                      what, got->count, count, i);
    return true;
}

static void check_ids(struct golden *g, const json_t *row, const char *key, bool special, size_t *wrong)
{
    const json_t *text = json_object_get(row, "text"), *want = json_object_get(row, key);
    struct bt_diag diag = {""};
    struct bt_ids ids = {0};
    if (!want)
        return;
    TEST_OK(bt_tokenizer_encode(g->tokenizer, g->scratch, json_string_value(text), json_string_length(text), special,
                                &ids, &diag),
            diag);
    *wrong += differs(g, key, want, &ids);
    bt_ids_finish(&ids);
}

/* Where the file does not say what the ids give back, it is the text; but SentencePiece's spelling of spaces may lose
 * one. */
static void check_decoded(struct golden *g, const json_t *row)
{
    const json_t *decoded = json_object_get(row, "decoded"), *list = json_object_get(row, "ids");
    const json_t *want = decoded ? decoded : json_object_get(row, "text");
    struct bt_diag diag = {""};
    struct bt_ids ids = {0};
    char *text;
    size_t size;
    if (!decoded && bt_tokenizer_id(g->tokenizer, "\u2581") != BT_NO_TOKEN)
        return;
    ids.at = malloc((json_array_size(list) + 1) * sizeof *ids.at);
    assert_non_null(ids.at);
    for (; ids.count < json_array_size(list); ids.count++)
        ids.at[ids.count] = (int32_t)json_integer_value(json_array_get(list, ids.count));
    TEST_OK(bt_tokenizer_decode(g->tokenizer, ids.at, ids.count, false, &text, &size, &diag), diag);
    if (size != json_string_length(want) || memcmp(text, json_string_value(want), size) != 0) {
        if (g->decoded_wrong++ < 5)
            print_message("%s: row %zu: decoded '%s', expected '%s'\n", g->file, g->rows, text,
                          json_string_value(want));
    }
    bt_free(text);
    free(ids.at);
}

/* The rows whose ids may differ from sentencepiece's: there a special token in the text is plain text. */
static bool spells_special(const json_t *row)
{
    const char *text = json_string_value(json_object_get(row, "text"));
    return strstr(text, "<s>") || strstr(text, "</s>") || strstr(text, "<unk>");
}

static void check_file(const char *folder, const char *name, struct bt_tokenizer *tokenizer)
{
    struct bt_diag diag = {""};
    size_t size, others = 0, lines_left = 0;
    struct golden g = {.file = test_format("%s/%s", folder, name), .tokenizer = tokenizer};
    char *lines = (char *)test_read_file(test_shared(g.file), &size), *rest = lines, *line;
    TEST_OK(bt_tokenizer_scratch_create(tokenizer, &g.scratch, &diag), diag);
    for (size_t i = 0; i < size; i++)
        lines_left += lines[i] == '\n';
    for (; lines_left > 0; lines_left--) {
        line = strsep(&rest, "\n");
        json_t *row = json_loads(line, JSON_ALLOW_NUL, NULL); /* some texts have U+0000 */
        assert_non_null(row);
        if (strstr(name, "sentencepiece") && spells_special(row)) {
            others++;
        } else {
            check_ids(&g, row, "ids", false, &g.ids_wrong);
            check_ids(&g, row, "ids_with_special", true, &g.special_wrong);
            check_decoded(&g, row);
        }
        g.rows++;
        json_decref(row);
    }
    print_message("%s: %zu rows%s\n", g.file, g.rows - others, others ? ", and some with special tokens left out" : "");
    assert_true(g.rows > 30 && others <= 1);
    if (g.ids_wrong || g.special_wrong || g.decoded_wrong)
        fail_msg("%s: %zu rows differ in ids, %zu in ids with special tokens, %zu decoded", g.file, g.ids_wrong,
                 g.special_wrong, g.decoded_wrong);
    bt_tokenizer_scratch_destroy(g.scratch);
    free(lines);
}

/* ---- texts that are made to take long ---- */

/* A quarter of a megabyte of one thing as one text. What would take the square of its length would take hours; the
 * bound is far above what a busy machine and a sanitizer make of what does not. */
static void check_run(const struct bt_tokenizer *tokenizer, const char *folder, const char *unit)
{
    const size_t unit_size = strlen(unit), units = (1 << 18) / unit_size, size = units * unit_size;
    struct bt_tokenizer_scratch *scratch;
    struct bt_diag diag = {""};
    struct bt_ids ids = {0};
    char *text = malloc(size), *back;
    size_t back_size;
    assert_non_null(text);
    for (size_t i = 0; i < units; i++)
        memcpy(text + i * unit_size, unit, unit_size);
    TEST_OK(bt_tokenizer_scratch_create(tokenizer, &scratch, &diag), diag);
    const clock_t start = clock();
    TEST_OK(bt_tokenizer_encode(tokenizer, scratch, text, size, false, &ids, &diag), diag);
    TEST_OK(bt_tokenizer_decode(tokenizer, ids.at, ids.count, false, &back, &back_size, &diag), diag);
    const double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
    if (ids.count == 0 || back_size == 0 || !(seconds < 20.0))
        fail_msg("%s: \"%s\" again and again: %zu ids, %zu bytes decoded, %.1f s", folder, unit, ids.count, back_size,
                 seconds);
    bt_free(back);
    bt_ids_finish(&ids);
    bt_tokenizer_scratch_destroy(scratch);
    free(text);
}

static void check_long_runs(const struct bt_tokenizer *tokenizer, const char *folder)
{
    static const char *const units[] = {"a",
                                        "ab",
                                        " ",
                                        "a ",
                                        "\n",
                                        " \n",
                                        "1",
                                        "!",
                                        "'",
                                        "<",
                                        "\u0301",
                                        "\u0323\u0301\u0345\u0334",
                                        "\u3000",
                                        "\u4e2d",
                                        "\u1100\u1161",
                                        "\U0001F469\u200D",
                                        "\u2581"};
    for (size_t i = 0; i < BT_ARRAY_LEN(units); i++)
        check_run(tokenizer, folder, units[i]);
}

struct family {
    const char *folder;
    const char *files[5];
};

static void test_family(void **state)
{
    const struct family *family = *state;
    struct bt_diag diag = {""};
    struct bt_tokenizer *tokenizer;
    TEST_OK(bt_tokenizer_open(test_shared(family->folder), &tokenizer, &diag), diag);
    for (size_t i = 0; family->files[i]; i++)
        check_file(family->folder, family->files[i], tokenizer);
    check_long_runs(tokenizer, family->folder);
    bt_tokenizer_close(tokenizer);
    assert_int_equal(bt_alloc_live(), 0);
}

static struct family families[] = {
    {"data/tokenizers/gpt2",
     {"golden-hf.jsonl", "golden-llamacpp.jsonl", "golden-kitoken.jsonl", "golden-tattletale.jsonl"}},
    {"data/tokenizers/llama2",
     {"golden-hf.jsonl", "golden-llamacpp.jsonl", "golden-kitoken.jsonl", "golden-sentencepiece.jsonl"}},
    {"data/tokenizers/llama3",
     {"golden-hf.jsonl", "golden-llamacpp.jsonl", "golden-kitoken.jsonl", "golden-tattletale.jsonl"}},
    {"data/tokenizers/mistral-v0.1", {"golden-hf.jsonl", "golden-kitoken.jsonl"}},
    {"data/tokenizers/mistral-v0.3", {"golden-hf.jsonl", "golden-kitoken.jsonl"}},
    {"data/tokenizers/qwen3", {"golden-hf.jsonl", "golden-llamacpp.jsonl"}},
    {"data/tokenizers/smollm2", {"golden-hf.jsonl"}},
    {"data/models/stories260K", {"golden-hf.jsonl", "golden-sentencepiece.jsonl"}},
    {"data/models/babyllama-tok105", {"golden-hf.jsonl"}},
};

#define FAMILY(i)                                                                                                      \
    {                                                                                                                  \
        .name = "test_family_" #i, .test_func = test_family, .initial_state = &families[i]                             \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        FAMILY(0), FAMILY(1), FAMILY(2), FAMILY(3), FAMILY(4), FAMILY(5), FAMILY(6), FAMILY(7), FAMILY(8),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
