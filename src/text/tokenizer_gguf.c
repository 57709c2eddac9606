/* A tokenizer as the keys of a GGUF file: bt_tokenizer_gguf_write. */
#include "text/tokenizer_gguf.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "text/tokenizer_gguf_forms.h"
#include "text/tokenizer_parts.h"

/* tokenizer.ggml.token_type, in llama.cpp's numbers. */
enum { TYPE_NORMAL = 1, TYPE_UNKNOWN, TYPE_CONTROL, TYPE_USER_DEFINED, TYPE_UNUSED, TYPE_BYTE };

struct writer {
    const struct bt_tokenizer_source *source;
    const struct bt_tokenizer *t;
    struct bt_gguf_out *out;
    uint64_t vocab;
    bool sentencepiece, space_prefix;
    const char *pre;      /* otherwise: how texts are cut */
    const char *own_form; /* or NULL */
    struct bt_diag *diag;
};

static const json_t *merges_of(const struct writer *w)
{
    return json_object_get(json_object_get(w->source->tokenizer, "model"), "merges");
}

/* ---- what cannot be said ---- */

static enum bt_err fail_form(const struct writer *w, const char *reason)
{
    return bt_fail(w->diag, BT_EUSAGE,
                   "%s: GGUF cannot hold this tokenizer: %s; without tokenizer.json the model is written without a "
                   "vocabulary",
                   w->source->what, reason);
}

static enum bt_err choose_form(struct writer *w)
{
    const struct bt_token_template *special = &w->t->special;
    const uint64_t tokens = (uint64_t)w->t->tokens.count;
    w->sentencepiece = bt_gguf_is_sentencepiece(w->source->tokenizer, &w->space_prefix);
    w->own_form = bt_gguf_own_form(w->source->tokenizer);
    w->pre = w->t->pre.byte_level ? bt_gguf_pre_name(w->source->tokenizer) : NULL;
    if (tokens > w->vocab)
        return bt_fail(w->diag, BT_EINPUT, "%s: it has %" PRIu64 " tokens, and the model's embedding %" PRIu64 " rows",
                       w->source->what, tokens, w->vocab);
    if (special->before_count > 1 || special->behind_count > 1)
        return fail_form(w, "its post_processor puts more than one token around a text");
    if (w->t->pre.byte_level && !w->pre)
        return fail_form(w, "llama.cpp has no name for how its pre_tokenizer cuts texts; those of GPT-2, Llama 3, Qwen "
                            "and SmolLM2 have one");
    if (!w->t->pre.byte_level && !w->sentencepiece)
        return fail_form(w, "it is neither byte-level BPE nor SentencePiece's BPE with byte fallback");
    return BT_OK;
}

static bool has_odd_added(const struct bt_tokenizer *t)
{
    for (size_t i = 0; i < t->added_count; i++)
        if (t->added[i].lstrip || t->added[i].rstrip || t->added[i].single_word)
            return true;
    return false;
}

static void note_differences(const struct writer *w, const char **notes, size_t *count)
{
    *count = 0;
    if (w->t->normalizer.nfc)
        notes[(*count)++] = "llama.cpp does not normalise texts to NFC: one that is not in that form has other tokens";
    if (has_odd_added(w->t))
        notes[(*count)++] = "llama.cpp does not know lstrip, rstrip and single_word of added tokens";
    if (w->sentencepiece && w->own_form)
        notes[(*count)++] =
            "llama.cpp puts a space in front of every text, also of one that begins with a space and of "
            "one behind a special token";
}

/* ---- tokens ---- */

static void put_pad(struct bt_gguf_out *out, uint64_t id)
{
    char text[32];
    const int size = snprintf(text, sizeof text, "[PAD%" PRIu64 "]", id);
    bt_gguf_add_text(out, text, (size_t)size);
}

/* Rows of the embedding that no token has still need one each, and no two the same. */
static enum bt_err check_pads(const struct writer *w)
{
    for (uint64_t id = (uint64_t)w->t->tokens.count; id < w->vocab; id++) {
        char text[32];
        const int size = snprintf(text, sizeof text, "[PAD%" PRIu64 "]", id);
        if (bt_token_table_find(&w->t->tokens, text, (size_t)size) >= 0)
            return fail_form(w, "it has a token of the name that an unused row of the embedding gets");
    }
    return BT_OK;
}

static void put_tokens(const struct writer *w)
{
    bt_gguf_put_array(w->out, "tokenizer.ggml.tokens", BT_GGUF_TEXT, w->vocab);
    for (int32_t id = 0; id < w->t->tokens.count; id++) {
        size_t size;
        const char *text = bt_token_table_at(&w->t->tokens, id, &size);
        bt_gguf_add_text(w->out, text, size);
    }
    for (uint64_t id = (uint64_t)w->t->tokens.count; id < w->vocab; id++)
        put_pad(w->out, id);
}

static bool is_byte(const struct bt_tokenizer *t, int32_t id, const char *text, size_t size)
{
    unsigned byte;
    return t->bpe.byte_fallback && size == 6 && sscanf(text, "<0x%2X>", &byte) == 1 && t->bpe.byte_token[byte] == id;
}

static int32_t type_of(const struct bt_tokenizer *t, int32_t id)
{
    size_t size;
    const char *text = bt_token_table_at(&t->tokens, id, &size);
    if (id == t->bpe.unknown)
        return TYPE_UNKNOWN;
    if (t->flags[id] & BT_TOKEN_SPECIAL)
        return TYPE_CONTROL;
    if (t->flags[id] & BT_TOKEN_ADDED)
        return TYPE_USER_DEFINED;
    return is_byte(t, id, text, size) ? TYPE_BYTE : TYPE_NORMAL;
}

static void put_types(const struct writer *w)
{
    bt_gguf_put_array(w->out, "tokenizer.ggml.token_type", BT_GGUF_I32, w->vocab);
    for (uint64_t id = 0; id < w->vocab; id++)
        bt_gguf_add_i32(w->out, id < (uint64_t)w->t->tokens.count ? type_of(w->t, (int32_t)id) : TYPE_UNUSED);
}

/* Earlier merges first: minus the place of the first merge that gives the token. What no merge gives is never asked. */
static enum bt_err put_scores(const struct writer *w)
{
    const struct bt_bpe *bpe = &w->t->bpe;
    uint32_t *first = bt_alloc((size_t)w->t->tokens.count * sizeof *first);
    if (!first)
        return bt_fail_nomem(w->diag);
    memset(first, 0xff, (size_t)w->t->tokens.count * sizeof *first);
    for (size_t i = 0; i <= bpe->merge_mask; i++) {
        const struct bt_merge *merge = &bpe->merges[i];
        if (merge->pair && merge->rank < first[merge->id])
            first[merge->id] = merge->rank;
    }
    bt_gguf_put_array(w->out, "tokenizer.ggml.scores", BT_GGUF_F32_VALUE, w->vocab);
    for (uint64_t id = 0; id < w->vocab; id++) {
        const bool merged = id < (uint64_t)w->t->tokens.count && first[id] != UINT32_MAX;
        bt_gguf_add_f32(w->out, merged ? -(float)first[id] : 0.0f);
    }
    bt_free(first);
    return BT_OK;
}

/* "left right", which the file has so or as a pair. */
static enum bt_err put_merge(const struct writer *w, const json_t *merge)
{
    const char *left = json_string_value(json_array_get(merge, 0)),
               *right = json_string_value(json_array_get(merge, 1));
    if (json_is_string(merge)) {
        bt_gguf_add_text(w->out, json_string_value(merge), json_string_length(merge));
        return BT_OK;
    }
    if (strchr(left, ' ') || strchr(right, ' '))
        return fail_form(w, "a merge of tokens with a space in them");
    char *text = bt_sprintf("%s %s", left, right);
    if (!text)
        return bt_fail_nomem(w->diag);
    bt_gguf_add_text(w->out, text, strlen(text));
    bt_free(text);
    return BT_OK;
}

/* llama.cpp asks for them of byte-level BPE alone; with them SentencePiece's can be read back exactly. */
static enum bt_err put_merges(const struct writer *w)
{
    const json_t *merges = merges_of(w);
    enum bt_err err = BT_OK;
    bt_gguf_put_array(w->out, "tokenizer.ggml.merges", BT_GGUF_TEXT, json_array_size(merges));
    for (size_t i = 0; i < json_array_size(merges) && !err; i++)
        err = put_merge(w, json_array_get(merges, i));
    return err;
}

/* ---- the rest ---- */

static void put_id(const struct writer *w, const char *key, int32_t id)
{
    if (id >= 0 && (uint64_t)id < w->vocab)
        bt_gguf_put_u32(w->out, key, (uint32_t)id);
}

/* Where byte-level BPE has no bos or eos, llama.cpp would take 11, so a text's end stands for its beginning. */
static void put_special(const struct writer *w, const struct bt_gguf_special *special)
{
    const struct bt_token_template *around = &w->t->special;
    const int32_t eos = around->behind_count ? around->behind[0] : special->eos;
    const int32_t own_bos = around->before_count ? around->before[0] : special->bos;
    put_id(w, "tokenizer.ggml.bos_token_id", own_bos >= 0 ? own_bos : eos);
    put_id(w, "tokenizer.ggml.eos_token_id", eos);
    put_id(w, "tokenizer.ggml.unknown_token_id", w->t->bpe.unknown);
    put_id(w, "tokenizer.ggml.padding_token_id", special->pad);
    bt_gguf_put_bool(w->out, "tokenizer.ggml.add_bos_token", around->before_count);
    bt_gguf_put_bool(w->out, "tokenizer.ggml.add_eos_token", around->behind_count);
    if (w->sentencepiece)
        bt_gguf_put_bool(w->out, "tokenizer.ggml.add_space_prefix", w->space_prefix);
    if (w->own_form)
        bt_gguf_put_text(w->out, BT_GGUF_OWN_FORM, w->own_form, strlen(w->own_form));
    if (w->source->chat_template)
        bt_gguf_put_text(w->out, "tokenizer.chat_template", w->source->chat_template, strlen(w->source->chat_template));
}

static enum bt_err put_all(const struct writer *w, const struct bt_gguf_special *special)
{
    enum bt_err err = check_pads(w);
    if (err)
        return err;
    const char *model = w->sentencepiece ? "llama" : "gpt2";
    bt_gguf_put_text(w->out, "tokenizer.ggml.model", model, strlen(model));
    if (w->pre)
        bt_gguf_put_text(w->out, "tokenizer.ggml.pre", w->pre, strlen(w->pre));
    put_tokens(w);
    put_types(w);
    if (w->sentencepiece)
        err = put_scores(w);
    if (!err)
        err = put_merges(w);
    if (!err)
        put_special(w, special);
    return err;
}

enum bt_err bt_tokenizer_gguf_write(const struct bt_tokenizer_source *source, const struct bt_gguf_special *special,
                                    uint64_t vocab, struct bt_gguf_out *out, const char **notes, size_t *ret_notes,
                                    struct bt_diag *diag)
{
    struct bt_tokenizer *t = NULL;
    size_t count = 0;
    if (!source->tokenizer) {
        bt_gguf_put_text(out, "tokenizer.ggml.model", "no_vocab", strlen("no_vocab"));
        *ret_notes = 0;
        return BT_OK;
    }
    enum bt_err err = bt_tokenizer_source_open(source, &t, diag);
    if (err)
        return err;
    struct writer w = {.source = source, .t = t, .out = out, .vocab = vocab, .diag = diag};
    err = choose_form(&w);
    if (!err)
        err = put_all(&w, special);
    if (!err)
        note_differences(&w, notes, &count);
    bt_tokenizer_close(t);
    if (!err)
        *ret_notes = count;
    return err;
}
