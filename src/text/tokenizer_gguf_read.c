/* The tokenizer keys of a GGUF file as a tokenizer.json: bt_tokenizer_gguf_read. Whatever the keys leave open is then
 * judged by the reader of such files. */
#include <string.h>

#include "base/mem.h"
#include "text/tokenizer_gguf.h"
#include "text/tokenizer_gguf_forms.h"
#include "text/tokenizer_json.h"
#include "text/utf8.h"

enum { TYPE_NORMAL = 1, TYPE_UNKNOWN, TYPE_CONTROL, TYPE_USER_DEFINED, TYPE_UNUSED, TYPE_BYTE };

struct reader {
    const struct bt_gguf *file;
    const struct bt_gguf_value *texts, *types, *merges;
    char **tokens;      /* (count) with NULs; owned */
    size_t count;       /* up to the last one that is not unused */
    size_t model_count; /* those that belong to the BPE model, whether added or not */
    bool sentencepiece;
    bool ignore_merges;
    bool add_bos, add_eos, space_prefix;
    uint32_t bos, eos, unknown; /* UINT32_MAX: none */
    struct bt_gguf_text pre;
    struct bt_gguf_text own_form; /* BT_GGUF_OWN_FORM; empty: none */
    struct bt_diag *diag;
};

#define FAIL(r, ...) bt_fail((r)->diag, BT_EINPUT, __VA_ARGS__)

static int32_t type_of(const struct reader *r, size_t id)
{
    int32_t type;
    memcpy(&type, r->types->data + id * sizeof type, sizeof type);
    return type;
}

/* ---- keys ---- */

static enum bt_err read_model(struct reader *r, const struct bt_gguf_text *model)
{
    enum bt_err err = BT_OK;
    r->sentencepiece = model->size == 5 && !memcmp(model->at, "llama", 5);
    if (!r->sentencepiece && !(model->size == 4 && !memcmp(model->at, "gpt2", 4)))
        return FAIL(r, "%s: tokenizer.ggml.model is \"%.*s\"; gpt2, llama and no_vocab are supported",
                    bt_gguf_path(r->file), model->size < 80 ? (int)model->size : 80, model->at);
    if (!r->sentencepiece)
        err = bt_gguf_get_text(r->file, "tokenizer.ggml.pre", true, &r->pre, r->diag);
    return err;
}

static enum bt_err read_arrays(struct reader *r)
{
    enum bt_err err = bt_gguf_get_array(r->file, "tokenizer.ggml.tokens", BT_GGUF_TEXT, true, &r->texts, r->diag);
    if (!err)
        err = bt_gguf_get_array(r->file, "tokenizer.ggml.token_type", BT_GGUF_I32, true, &r->types, r->diag);
    if (!err)
        err = bt_gguf_get_array(r->file, "tokenizer.ggml.merges", BT_GGUF_TEXT, true, &r->merges, r->diag);
    if (!err && r->types->count != r->texts->count)
        err = FAIL(r, "%s: tokenizer.ggml.token_type has %llu elements, tokenizer.ggml.tokens %llu",
                   bt_gguf_path(r->file), (unsigned long long)r->types->count, (unsigned long long)r->texts->count);
    return err;
}

static enum bt_err read_flags(struct reader *r)
{
    static const char *const flag_keys[] = {"tokenizer.ggml.add_bos_token", "tokenizer.ggml.add_eos_token",
                                            "tokenizer.ggml.add_space_prefix"};
    static const char *const id_keys[] = {"tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id",
                                          "tokenizer.ggml.unknown_token_id"};
    bool *flags[] = {&r->add_bos, &r->add_eos, &r->space_prefix};
    uint32_t *ids[] = {&r->bos, &r->eos, &r->unknown};
    r->add_bos = r->space_prefix = r->sentencepiece; /* llama.cpp's defaults */
    enum bt_err err = bt_gguf_get_text(r->file, BT_GGUF_OWN_FORM, false, &r->own_form, r->diag);
    for (size_t i = 0; i < 3 && !err; i++) {
        *ids[i] = UINT32_MAX;
        err = bt_gguf_get_bool(r->file, flag_keys[i], false, flags[i], r->diag);
        if (!err)
            err = bt_gguf_get_u32(r->file, id_keys[i], false, ids[i], r->diag);
    }
    return err;
}

/* The first token that the model itself has not is behind its last ordinary one. */
static void count_tokens(struct reader *r)
{
    for (size_t id = 0; id < r->texts->count; id++) {
        const int32_t type = type_of(r, id);
        if (type != TYPE_UNUSED)
            r->count = id + 1;
        if (type == TYPE_NORMAL || type == TYPE_BYTE || type == TYPE_UNKNOWN)
            r->model_count = id + 1;
    }
    if (r->model_count == 0)
        r->model_count = r->count;
}

static enum bt_err read_tokens(struct reader *r)
{
    const unsigned char *at = r->texts->data;
    count_tokens(r);
    r->tokens = bt_zalloc(r->count, sizeof *r->tokens);
    if (!r->tokens)
        return bt_fail_nomem(r->diag);
    for (size_t id = 0; id < r->count; id++) {
        const struct bt_gguf_text text = bt_gguf_next_text(&at);
        if (memchr(text.at, 0, text.size) || bt_utf8_valid(text.at, text.size) != text.size)
            return FAIL(r, "%s: tokenizer.ggml.tokens[%zu] is not UTF-8, or has a NUL in it", bt_gguf_path(r->file),
                        id);
        if (!(r->tokens[id] = bt_strndup(text.at, text.size)))
            return bt_fail_nomem(r->diag);
    }
    return BT_OK;
}

/* ---- parts of a tokenizer.json; NULL when memory is out, which whoever takes them notices ---- */

static json_t *make_vocab(const struct reader *r)
{
    json_t *vocab = json_object();
    for (size_t id = 0; id < r->model_count; id++) {
        if (json_object_set_new_nocheck(vocab, r->tokens[id], json_integer((json_int_t)id))) {
            json_decref(vocab);
            return NULL;
        }
    }
    return vocab;
}

static json_t *make_merges(const struct reader *r)
{
    json_t *list = json_array();
    const unsigned char *at = r->merges->data;
    for (uint64_t i = 0; i < r->merges->count; i++) {
        const struct bt_gguf_text text = bt_gguf_next_text(&at);
        json_t *merge = bt_utf8_valid(text.at, text.size) == text.size ? json_stringn_nocheck(text.at, text.size)
                                                                       : json_null(); /* refused by its number */
        if (json_array_append_new(list, merge)) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static const char *token_at(const struct reader *r, uint32_t id)
{
    return id < r->count ? r->tokens[id] : NULL;
}

static json_t *make_model(const struct reader *r)
{
    return json_pack("{s:s, s:s?, s:b, s:b, s:b, s:o, s:o}", "type", "BPE", "unk_token", token_at(r, r->unknown),
                     "fuse_unk", r->sentencepiece, "byte_fallback", r->sentencepiece, "ignore_merges", r->ignore_merges,
                     "vocab", make_vocab(r), "merges", make_merges(r));
}

static json_t *make_added(const struct reader *r)
{
    json_t *list = json_array();
    for (size_t id = 0; id < r->count; id++) {
        const int32_t type = type_of(r, id);
        const bool ordinary = type == TYPE_NORMAL || type == TYPE_BYTE || type == TYPE_UNUSED;
        if (ordinary && id < r->model_count)
            continue;
        json_t *token = json_pack("{s:I, s:s, s:b, s:b, s:b, s:b, s:b}", "id", (json_int_t)id, "content", r->tokens[id],
                                  "single_word", 0, "lstrip", 0, "rstrip", 0, "normalized", 0, "special",
                                  type != TYPE_USER_DEFINED);
        if (json_array_append_new(list, token)) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static json_t *special_piece(const char *token)
{
    return json_pack("{s:{s:s, s:i}}", "SpecialToken", "id", token, "type_id", 0);
}

static bool add_special(json_t *single, json_t *map, const char *token, uint32_t id)
{
    json_t *entry = json_pack("{s:s, s:[I], s:[s]}", "id", token, "ids", (json_int_t)id, "tokens", token);
    const bool failed = json_array_append_new(single, special_piece(token));
    return !json_object_set_new(map, token, entry) && !failed;
}

static json_t *make_template(const struct reader *r)
{
    json_t *single = json_array(), *map = json_object();
    bool fine = true;
    if (r->add_bos)
        fine = add_special(single, map, token_at(r, r->bos), r->bos);
    fine &= !json_array_append_new(single, json_pack("{s:{s:s, s:i}}", "Sequence", "id", "A", "type_id", 0));
    if (r->add_eos)
        fine &= add_special(single, map, token_at(r, r->eos), r->eos);
    if (!fine) {
        json_decref(single);
        json_decref(map);
        return NULL;
    }
    return json_pack("{s:s, s:o, s:[], s:o}", "type", "TemplateProcessing", "single", single, "pair", "special_tokens",
                     map);
}

static json_t *make_decoder(const struct reader *r)
{
    if (r->sentencepiece)
        return bt_gguf_sentencepiece_decoder(r->space_prefix);
    return bt_tokenizer_json_byte_level(true);
}

/* ---- all of it ---- */

static enum bt_err check_special(const struct reader *r)
{
    if ((r->add_bos && r->bos >= r->count) || (r->add_eos && r->eos >= r->count))
        return FAIL(r, "%s: the token that goes in front of a text or behind it (tokenizer.ggml.add_bos_token) is none",
                    bt_gguf_path(r->file));
    if (r->unknown != UINT32_MAX && r->unknown >= r->count)
        return FAIL(r, "%s: tokenizer.ggml.unknown_token_id is %lu, of %zu tokens", bt_gguf_path(r->file),
                    (unsigned long)r->unknown, r->count);
    return BT_OK;
}

static bool is_own_form(const struct reader *r, const char *form)
{
    return r->own_form.at && r->own_form.size == strlen(form) && !memcmp(r->own_form.at, form, r->own_form.size);
}

static const char *metaspace_scheme(const struct reader *r)
{
    return is_own_form(r, "first") ? "first" : is_own_form(r, "always") ? "always" : NULL;
}

static json_t *make_normalizer(const struct reader *r)
{
    if (!r->sentencepiece)
        return is_own_form(r, "nfc") ? json_pack("{s:s}", "type", "NFC") : json_null();
    return metaspace_scheme(r) ? json_null() : bt_gguf_sentencepiece_normalizer(r->space_prefix);
}

static json_t *make_pre_tokenizer(struct reader *r, bool *ret_known)
{
    if (!r->sentencepiece)
        return bt_gguf_pre_steps(r->pre.at, r->pre.size, &r->ignore_merges, ret_known);
    return metaspace_scheme(r) ? bt_gguf_metaspace(metaspace_scheme(r)) : json_null();
}

static enum bt_err make_root(struct reader *r, json_t **ret_tokenizer)
{
    bool known = true;
    json_t *pre = make_pre_tokenizer(r, &known);
    if (!known)
        return FAIL(r, "%s: tokenizer.ggml.pre is \"%.*s\"; gpt-2, llama-bpe, dbrx, qwen2 and smollm are supported",
                    bt_gguf_path(r->file), r->pre.size < 80 ? (int)r->pre.size : 80, r->pre.at);
    json_t *root = json_pack("{s:s, s:n, s:n, s:o, s:o, s:o, s:o, s:o, s:o}", "version", "1.0", "truncation", "padding",
                             "added_tokens", make_added(r), "normalizer", make_normalizer(r), "pre_tokenizer", pre,
                             "post_processor", r->add_bos || r->add_eos ? make_template(r) : json_null(), "decoder",
                             make_decoder(r), "model", make_model(r));
    if (!root)
        return bt_fail_nomem(r->diag);
    *ret_tokenizer = root;
    return BT_OK;
}

enum bt_err bt_tokenizer_gguf_read(const struct bt_gguf *file, json_t **ret_tokenizer, struct bt_diag *diag)
{
    struct reader r = {.file = file, .diag = diag};
    struct bt_gguf_text model = {0};
    enum bt_err err = bt_gguf_get_text(file, "tokenizer.ggml.model", true, &model, diag);
    if (err)
        return err;
    if (model.size == 8 && !memcmp(model.at, "no_vocab", 8)) {
        *ret_tokenizer = NULL;
        return BT_OK;
    }
    err = read_model(&r, &model);
    if (!err)
        err = read_arrays(&r);
    if (!err)
        err = read_flags(&r);
    if (!err)
        err = read_tokens(&r);
    if (!err)
        err = check_special(&r);
    if (!err)
        err = make_root(&r, ret_tokenizer);
    for (size_t id = 0; r.tokens && id < r.count; id++)
        bt_free(r.tokens[id]);
    bt_free(r.tokens);
    return err;
}
