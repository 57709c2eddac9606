#include "text/tokenizer_gguf_forms.h"

#include <string.h>

#include "text/bpe.h"
#include "text/word_pattern.h"

static const struct form {
    const char *name;   /* tokenizer.ggml.pre */
    const char *family; /* of text/word_pattern.h */
    bool ignore_merges; /* goes with the name */
} forms[] = {
    {"gpt-2", "gpt2", false},  {"smollm", "smollm", false}, {"llama-bpe", "llama3", true},
    {"dbrx", "llama3", false}, {"qwen2", "qwen2", false},
};

static bool has_text(const json_t *object, const char *key, const char *text)
{
    const char *value = json_string_value(json_object_get(object, key));
    return value && !strcmp(value, text);
}

static bool is_type(const json_t *step, const char *type)
{
    return has_text(step, "type", type);
}

static bool is_true(const json_t *object, const char *key, bool otherwise)
{
    const json_t *value = json_object_get(object, key);
    return json_is_boolean(value) ? json_is_true(value) : otherwise;
}

/* ---- byte-level BPE ---- */

/* The i-th of `count` steps, whether they stand in a Sequence or one stands alone. */
static const json_t *step_of(const json_t *pre, size_t i, size_t *ret_count)
{
    const json_t *list = is_type(pre, "Sequence") ? json_object_get(pre, "pretokenizers") : NULL;
    *ret_count = list ? json_array_size(list) : 1;
    return list ? json_array_get(list, i) : pre;
}

/* The step in front of ByteLevel. */
static bool is_front(const json_t *step, const struct bt_word_pattern *pattern)
{
    if (bt_word_pattern_cuts_digits(pattern))
        return is_type(step, "Digits") && is_true(step, "individual_digits", false);
    return is_type(step, "Split") && has_text(step, "behavior", "Isolated") && !is_true(step, "invert", false) &&
           has_text(json_object_get(step, "pattern"), "Regex", bt_word_pattern_split(pattern));
}

static bool is_form(const json_t *tokenizer, const struct form *form)
{
    const struct bt_word_pattern *pattern = bt_word_pattern_find(form->family);
    const json_t *pre = json_object_get(tokenizer, "pre_tokenizer"), *model = json_object_get(tokenizer, "model");
    const bool split = bt_word_pattern_split(pattern), front = split || bt_word_pattern_cuts_digits(pattern);
    size_t count;
    const json_t *first = step_of(pre, 0, &count), *last = step_of(pre, front, &count);
    return count == 1 + (size_t)front && (!front || is_front(first, pattern)) && is_type(last, "ByteLevel") &&
           !is_true(last, "add_prefix_space", true) && is_true(last, "use_regex", true) == !split &&
           is_true(model, "ignore_merges", false) == form->ignore_merges;
}

/* Where nothing is merged, it does not matter how texts are cut. */
static bool is_bytes(const json_t *tokenizer)
{
    const json_t *model = json_object_get(tokenizer, "model");
    size_t count;
    const json_t *step = step_of(json_object_get(tokenizer, "pre_tokenizer"), 0, &count);
    return count == 1 && is_type(step, "ByteLevel") && !is_true(step, "add_prefix_space", true) &&
           json_array_size(json_object_get(model, "merges")) == 0 && !is_true(model, "ignore_merges", false);
}

const char *bt_gguf_pre_name(const json_t *tokenizer)
{
    const json_t *normalizer = json_object_get(tokenizer, "normalizer");
    if (normalizer && !json_is_null(normalizer) && !is_type(normalizer, "NFC"))
        return NULL;
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (is_form(tokenizer, &forms[i]))
            return forms[i].name;
    return is_bytes(tokenizer) ? forms[0].name : NULL;
}

json_t *bt_gguf_pre_steps(const char *name, size_t size, bool *ret_ignore_merges, bool *ret_known)
{
    *ret_known = false;
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        if (strlen(forms[i].name) != size || memcmp(forms[i].name, name, size) != 0)
            continue;
        *ret_known = true;
        *ret_ignore_merges = forms[i].ignore_merges;
        return bt_word_pattern_json(bt_word_pattern_find(forms[i].family));
    }
    return NULL;
}

/* ---- SentencePiece ---- */

static bool is_mark_for_space(const json_t *step)
{
    return is_type(step, "Replace") && has_text(json_object_get(step, "pattern"), "String", " ") &&
           has_text(step, "content", BT_BPE_MARK);
}

static bool is_prepended_mark(const json_t *step)
{
    return is_type(step, "Prepend") && has_text(step, "prepend", BT_BPE_MARK);
}

/* Llama 2's own files: the normalizer does it. */
static bool is_old_form(const json_t *normalizer, bool *ret_space_prefix)
{
    const json_t *list = json_object_get(normalizer, "normalizers");
    *ret_space_prefix = is_type(normalizer, "Sequence") && json_array_size(list) == 2 &&
                        is_prepended_mark(json_array_get(list, 0)) && is_mark_for_space(json_array_get(list, 1));
    return *ret_space_prefix || is_mark_for_space(normalizer);
}

/* Newer ones: a Metaspace step that does not cut. */
static bool is_new_form(const json_t *pre, bool *ret_space_prefix)
{
    const bool never = has_text(pre, "prepend_scheme", "never") ||
                       (!json_object_get(pre, "prepend_scheme") && !is_true(pre, "add_prefix_space", true));
    *ret_space_prefix = !never;
    return is_type(pre, "Metaspace") && has_text(pre, "replacement", BT_BPE_MARK) && !is_true(pre, "split", true);
}

static bool is_absent(const json_t *value)
{
    return !value || json_is_null(value);
}

bool bt_gguf_is_sentencepiece(const json_t *tokenizer, bool *ret_space_prefix)
{
    const json_t *normalizer = json_object_get(tokenizer, "normalizer");
    const json_t *pre = json_object_get(tokenizer, "pre_tokenizer");
    if (!is_true(json_object_get(tokenizer, "model"), "byte_fallback", false))
        return false;
    return is_absent(pre) ? is_old_form(normalizer, ret_space_prefix)
                          : is_absent(normalizer) && is_new_form(pre, ret_space_prefix);
}

const char *bt_gguf_own_form(const json_t *tokenizer)
{
    const json_t *pre = json_object_get(tokenizer, "pre_tokenizer");
    bool space_prefix = false;
    if (is_type(json_object_get(tokenizer, "normalizer"), "NFC"))
        return "nfc";
    if (!is_new_form(pre, &space_prefix) || !space_prefix)
        return NULL;
    return has_text(pre, "prepend_scheme", "first") ? "first" : "always";
}

json_t *bt_gguf_metaspace(const char *scheme)
{
    return json_pack("{s:s, s:s, s:s, s:b}", "type", "Metaspace", "replacement", BT_BPE_MARK, "prepend_scheme", scheme,
                     "split", 0);
}

json_t *bt_gguf_sentencepiece_normalizer(bool space_prefix)
{
    json_t *replace =
        json_pack("{s:s, s:{s:s}, s:s}", "type", "Replace", "pattern", "String", " ", "content", BT_BPE_MARK);
    if (!space_prefix)
        return replace;
    return json_pack("{s:s, s:[{s:s, s:s}, o]}", "type", "Sequence", "normalizers", "type", "Prepend", "prepend",
                     BT_BPE_MARK, replace);
}

json_t *bt_gguf_sentencepiece_decoder(bool space_prefix)
{
    json_t *list = json_pack("[{s:s, s:{s:s}, s:s}, {s:s}, {s:s}]", "type", "Replace", "pattern", "String", BT_BPE_MARK,
                             "content", " ", "type", "ByteFallback", "type", "Fuse");
    if (space_prefix && json_array_append_new(list, json_pack("{s:s, s:s, s:i, s:i}", "type", "Strip", "content", " ",
                                                              "start", 1, "stop", 0))) {
        json_decref(list);
        return NULL;
    }
    return json_pack("{s:s, s:o}", "type", "Sequence", "decoders", list);
}
