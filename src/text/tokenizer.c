/* Opening a tokenizer file, and what can be asked of an open one. */
#include "text/tokenizer.h"

#include <stdio.h>
#include <string.h>

#include <xxhash.h>

#include "base/mem.h"
#include "io/file.h"
#include "text/tokenizer_gguf.h"
#include "text/tokenizer_parts.h"

void bt_tokenizer_close(struct bt_tokenizer *t)
{
    if (!t)
        return;
    bt_normalizer_finish(&t->normalizer);
    bt_pre_tokenizer_finish(&t->pre);
    bt_bpe_finish(&t->bpe);
    bt_token_decoder_finish(&t->decoder);
    for (int i = 0; i < 2; i++) {
        bt_added_tree_finish(&t->all[i]);
        bt_added_tree_finish(&t->ordinary[i]);
    }
    for (size_t i = 0; i < t->added_count; i++) {
        bt_free(t->added[i].content);
        bt_free(t->added[i].shown);
    }
    bt_free(t->added);
    bt_free(t->flags);
    bt_token_table_finish(&t->tokens);
    bt_free(t);
}

/* Hugging Face's library asks which character of the input a piece began with. Where a normalizer deletes, that is none
 * at the front any more; behind a prepended character, it is the front a second time. No model has either, so here the
 * front is simply where a text begins. */
static enum bt_err check_first(const struct bt_tokenizer *t, const struct bt_where *where, struct bt_diag *diag)
{
    bool prepends = false, deletes = false;
    for (size_t i = 0; i < t->normalizer.count; i++) {
        const struct bt_normalizer_step *step = &t->normalizer.steps[i];
        prepends |= step->kind == BT_NORMALIZE_PREPEND;
        deletes |= step->kind == BT_NORMALIZE_REPLACE && step->to_size == 0;
    }
    for (size_t i = 0; i < t->pre.count; i++)
        if (t->pre.steps[i].kind == BT_PRE_METASPACE && t->pre.steps[i].prepend == BT_PREPEND_FIRST &&
            (deletes || (prepends && i > 0)))
            return bt_fail(diag, BT_EINPUT,
                           "%s: Metaspace with prepend_scheme first is not supported with a normalizer that deletes "
                           "characters, nor behind another step with one that prepends some",
                           where->text);
    return BT_OK;
}

/* The vocabulary needs to know the normalizer (for added tokens) and the pre_tokenizer (for the alphabet); the
 * template needs to know the vocabulary. */
static enum bt_err read_root(const json_t *root, const char *what, struct bt_tokenizer *t, struct bt_diag *diag)
{
    struct bt_where top, where;
    if (!json_is_object(root))
        return bt_fail(diag, BT_EINPUT, "%.240s: this is not a JSON object, as tokenizer files are", what);
    snprintf(top.text, sizeof top.text, "%.240s", what);
    bt_where_at(&where, &top, "normalizer");
    enum bt_err err = bt_normalizer_read(json_object_get(root, "normalizer"), &where, &t->normalizer, diag);
    bt_where_at(&where, &top, "pre_tokenizer");
    if (!err)
        err = bt_pre_tokenizer_read(json_object_get(root, "pre_tokenizer"), &where, &t->pre, diag);
    if (!err)
        err = check_first(t, &where, diag);
    if (!err)
        err = bt_tokenizer_read_model(root, &top, t, diag);
    if (!err)
        err = bt_tokenizer_read_added(root, &top, t, diag);
    bt_where_at(&where, &top, "post_processor");
    if (!err)
        err =
            bt_token_template_read(json_object_get(root, "post_processor"), &where, t->tokens.count, &t->special, diag);
    bt_where_at(&where, &top, "decoder");
    if (!err)
        err = bt_token_decoder_read(json_object_get(root, "decoder"), &where, &t->decoder, diag);
    return err;
}

enum bt_err bt_tokenizer_parse(const char *json, size_t size, const char *what, struct bt_tokenizer **ret_tokenizer,
                               struct bt_diag *diag)
{
    json_t *root = NULL;
    struct bt_tokenizer *t = bt_zalloc(1, sizeof *t);
    if (!t)
        return bt_fail_nomem(diag);
    enum bt_err err = bt_json_parse(json, size, what, &root, diag);
    if (!err)
        err = read_root(root, what, t, diag);
    json_decref(root);
    if (err) {
        bt_tokenizer_close(t);
        return err;
    }
    t->hash = XXH3_64bits(json, size);
    *ret_tokenizer = t;
    return BT_OK;
}

static enum bt_err open_gguf(const char *path, struct bt_tokenizer **ret_tokenizer, struct bt_diag *diag)
{
    struct bt_tokenizer_source source = {0};
    enum bt_err err = bt_tokenizer_source_read(path, &source, diag);
    if (!err)
        err = bt_tokenizer_source_open(&source, ret_tokenizer, diag);
    bt_tokenizer_source_finish(&source);
    return err;
}

enum bt_err bt_tokenizer_open(const char *path, struct bt_tokenizer **ret_tokenizer, struct bt_diag *diag)
{
    char *text = NULL;
    size_t size;
    if (bt_gguf_is_file(path))
        return open_gguf(path, ret_tokenizer, diag);
    char *file = bt_dir_exists(path) ? bt_path_join(path, "tokenizer.json") : bt_strdup(path);
    if (!file)
        return bt_fail_nomem(diag);
    enum bt_err err = bt_file_read(file, &text, &size, diag);
    if (!err)
        err = bt_tokenizer_parse(text, size, file, ret_tokenizer, diag);
    bt_free(text);
    bt_free(file);
    return err;
}

static bool has_id(const struct bt_tokenizer *t, int32_t id)
{
    return id >= 0 && id < t->tokens.count;
}

int32_t bt_tokenizer_vocab_size(const struct bt_tokenizer *t)
{
    return t->tokens.count;
}

int32_t bt_tokenizer_id(const struct bt_tokenizer *t, const char *token)
{
    return bt_token_table_find(&t->tokens, token, strlen(token));
}

const char *bt_tokenizer_token(const struct bt_tokenizer *t, int32_t id)
{
    size_t size;
    return has_id(t, id) ? bt_token_table_at(&t->tokens, id, &size) : NULL;
}

bool bt_tokenizer_is_special(const struct bt_tokenizer *t, int32_t id)
{
    return has_id(t, id) && (t->flags[id] & BT_TOKEN_SPECIAL);
}

bool bt_tokenizer_is_byte(const struct bt_tokenizer *t, int32_t id)
{
    for (size_t byte = 0; byte < 256; byte++)
        if (id >= 0 && t->bpe.byte_token[byte] == id)
            return true;
    return false;
}

int32_t bt_tokenizer_unknown_id(const struct bt_tokenizer *t)
{
    return t->bpe.unknown;
}

int32_t bt_tokenizer_bos(const struct bt_tokenizer *t)
{
    return t->special.before_count ? t->special.before[0] : BT_NO_TOKEN;
}

int32_t bt_tokenizer_eos(const struct bt_tokenizer *t)
{
    return t->special.behind_count ? t->special.behind[t->special.behind_count - 1] : BT_NO_TOKEN;
}

uint64_t bt_tokenizer_hash(const struct bt_tokenizer *t)
{
    return t->hash;
}
