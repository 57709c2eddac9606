#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "small_tokenizer.h"

static const char *or_null(const char *json)
{
    return json ? json : "null";
}

char *small_json(const struct small_file *file)
{
    char *text = NULL, *vocab = strdup(file->vocab), *rest = vocab, *token;
    size_t size, id = 0;
    FILE *out = open_memstream(&text, &size);
    assert_true(out && vocab);
    fprintf(out, "{\"added_tokens\":[%s],\"normalizer\":%s,\"pre_tokenizer\":%s,\"post_processor\":%s,\"decoder\":%s,",
            file->added ? file->added : "", or_null(file->normalizer), or_null(file->pre), or_null(file->post),
            or_null(file->decoder));
    fprintf(out, "\"model\":{\"type\":\"BPE\",%s\"vocab\":{", file->flags ? file->flags : "");
    while ((token = strsep(&rest, " ")))
        fprintf(out, "%s\"%s\":%zu", id ? "," : "", token, id), id++;
    fprintf(out, "},\"merges\":[%s]}}", file->merges ? file->merges : "");
    assert_int_equal(fclose(out), 0);
    free(vocab);
    return text;
}

void small_open(struct small_tokenizer *small, const struct small_file *file)
{
    struct bt_diag diag = {""};
    char *json = small_json(file);
    TEST_OK(bt_tokenizer_parse(json, strlen(json), "small", &small->tokenizer, &diag), diag);
    TEST_OK(bt_tokenizer_scratch_create(small->tokenizer, &small->scratch, &diag), diag);
    free(json);
}

void small_close(struct small_tokenizer *small)
{
    bt_tokenizer_scratch_destroy(small->scratch);
    bt_tokenizer_close(small->tokenizer);
}

static void expect(const struct small_tokenizer *small, const char *text, bool special, const char *want)
{
    struct bt_diag diag = {""};
    struct bt_ids ids = {0};
    char got[4096] = "";
    /* twice: the second time out of the cache */
    for (int round = 0; round < 2; round++) {
        ids.count = 0;
        TEST_OK(bt_tokenizer_encode(small->tokenizer, small->scratch, text, strlen(text), special, &ids, &diag), diag);
        got[0] = '\0';
        for (size_t i = 0; i < ids.count; i++) {
            strncat(got, i ? " " : "", sizeof got - strlen(got) - 1);
            strncat(got, bt_tokenizer_token(small->tokenizer, ids.at[i]), sizeof got - strlen(got) - 1);
        }
        assert_string_equal(got, want);
    }
    bt_ids_finish(&ids);
}

void small_expect(const struct small_tokenizer *small, const char *text, const char *want)
{
    expect(small, text, false, want);
}

void small_expect_special(const struct small_tokenizer *small, const char *text, const char *want)
{
    expect(small, text, true, want);
}

void small_check(const struct small_file *file, const char *text, const char *want)
{
    struct small_tokenizer small;
    small_open(&small, file);
    small_expect(&small, text, want);
    small_close(&small);
}

void small_refuse(const struct small_file *file, const char *part)
{
    struct bt_diag diag = {""};
    struct bt_tokenizer *tokenizer;
    char *json = small_json(file);
    assert_int_equal(bt_tokenizer_parse(json, strlen(json), "small", &tokenizer, &diag), BT_EINPUT);
    if (!strstr(diag.text, part))
        fail_msg("expected '%s' in: %s", part, diag.text);
    free(json);
}
