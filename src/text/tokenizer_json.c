#include "text/tokenizer_json.h"

#include "base/mem.h"
#include "io/file.h"
#include "text/buffer.h"
#include "text/utf8.h"

json_t *bt_tokenizer_json_byte_level(bool use_regex)
{
    return json_pack("{s:s, s:b, s:b, s:b}", "type", "ByteLevel", "add_prefix_space", 0, "trim_offsets", 0, "use_regex",
                     (int)use_regex);
}

json_t *bt_tokenizer_json_added(const char *content, int32_t id)
{
    return json_pack("{s:i, s:s, s:b, s:b, s:b, s:b, s:b}", "id", (int)id, "content", content, "single_word", 0,
                     "lstrip", 0, "rstrip", 0, "normalized", 0, "special", 1);
}

json_t *bt_tokenizer_json_letters(const char *bytes, size_t size)
{
    struct bt_buffer text = {0};
    bool ok = bt_buffer_reserve(&text, 2 * size);
    for (size_t i = 0; ok && i < size; i++) {
        char letter[4];
        ok = bt_buffer_put(&text, letter, bt_utf8_put(bt_byte_to_letter((unsigned char)bytes[i]), letter));
    }
    json_t *value = ok ? json_stringn(text.at, text.size) : NULL;
    bt_buffer_finish(&text);
    return value;
}

static json_t *make_template(const char *bos, int32_t id)
{
    if (!bos)
        return json_null();
    return json_pack("{s:s, s:[{s:{s:s, s:i}}, {s:{s:s, s:i}}],"
                     " s:[{s:{s:s, s:i}}, {s:{s:s, s:i}}, {s:{s:s, s:i}}, {s:{s:s, s:i}}],"
                     " s:{s:{s:s, s:[i], s:[s]}}}",
                     "type", "TemplateProcessing", "single", "SpecialToken", "id", bos, "type_id", 0, "Sequence", "id",
                     "A", "type_id", 0, "pair", "SpecialToken", "id", bos, "type_id", 0, "Sequence", "id", "A",
                     "type_id", 0, "SpecialToken", "id", bos, "type_id", 1, "Sequence", "id", "B", "type_id", 1,
                     "special_tokens", bos, "id", bos, "ids", (int)id, "tokens", bos);
}

json_t *bt_tokenizer_json(const struct bt_tokenizer_json_parts *parts)
{
    json_t *model =
        json_pack("{s:s, s:n, s:n, s:n, s:n, s:b, s:b, s:b, s:o, s:o}", "type", "BPE", "dropout", "unk_token",
                  "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", 0, "byte_fallback", 0, "ignore_merges",
                  (int)parts->ignore_merges, "vocab", parts->vocab, "merges", parts->merges);
    return json_pack("{s:s, s:n, s:n, s:o, s:n, s:o, s:o, s:o, s:o}", "version", "1.0", "truncation", "padding",
                     "added_tokens", parts->added, "normalizer", "pre_tokenizer", parts->pre_tokenizer,
                     "post_processor", make_template(parts->bos, parts->bos_id), "decoder",
                     bt_tokenizer_json_byte_level(false), "model", model);
}

json_t *bt_tokenizer_json_config(const char *bos, const char *eos)
{
    return json_pack("{s:s, s:s*, s:s*, s:b}", "tokenizer_class", "PreTrainedTokenizerFast", "bos_token", bos,
                     "eos_token", eos, "clean_up_tokenization_spaces", 0);
}

json_t *bt_tokenizer_json_generation(const char *bos, int32_t bos_id, const char *eos, int32_t eos_id)
{
    json_t *value = json_object();
    bool ok = value;
    if (ok && bos)
        ok = !json_object_set_new(value, "bos_token_id", json_integer(bos_id));
    if (ok && eos)
        ok = !json_object_set_new(value, "eos_token_id", json_integer(eos_id));
    if (ok)
        return value;
    json_decref(value);
    return NULL;
}

enum bt_err bt_tokenizer_json_write(const char *folder, const char *name, json_t *value, struct bt_diag *diag)
{
    char *path = bt_path_join(folder, name);
    const enum bt_err err = path && value ? bt_json_replace(path, value, diag) : bt_fail_nomem(diag);
    bt_free(path);
    json_decref(value);
    return err;
}
