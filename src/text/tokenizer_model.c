/* The vocabulary of a tokenizer file: "model", a BPE, and "added_tokens". */
#include <string.h>

#include "base/mem.h"
#include "text/tokenizer_parts.h"

/* ---- the model's tokens ---- */

struct spelling { /* of an id; text NULL: none yet */
    const char *text;
    size_t size;
};

static enum bt_err fail_twice(struct bt_diag *diag, const struct bt_where *where, int32_t id, const char *one,
                              const char *other)
{
    return bt_fail(diag, BT_EINPUT, "%s: the id %d has two tokens, '%.80s' and '%.80s'", where->text, (int)id, one,
                   other);
}

/* The spellings by id. As many ids as tokens, each below their number and none twice: so none is missing. */
static enum bt_err sort_vocab(json_t *vocab, const struct bt_where *where, struct spelling *by_id, size_t *ret_bytes,
                              struct bt_diag *diag)
{
    const size_t count = json_object_size(vocab);
    const char *key;
    json_t *value;
    *ret_bytes = 0;
    json_object_foreach(vocab, key, value)
    {
        int32_t id;
        if (!bt_json_is_id(value, &id))
            return bt_fail(diag, BT_EINPUT, "%s: the token '%.80s' has no id that is a number from 0 on", where->text,
                           key);
        if ((size_t)id >= count)
            return bt_fail(diag, BT_EINPUT, "%s: the token '%.80s' has the id %d, so of %zu tokens some id is missing",
                           where->text, key, (int)id, count);
        if (by_id[id].text)
            return fail_twice(diag, where, id, by_id[id].text, key);
        by_id[id] = (struct spelling){key, strlen(key)};
        *ret_bytes += by_id[id].size;
    }
    return BT_OK;
}

/* Bytes and number of the added tokens, for which the table needs room as well. */
static void measure_added(const json_t *root, size_t *count, size_t *bytes)
{
    const json_t *list = json_object_get(root, "added_tokens");
    *count += json_array_size(list);
    for (size_t i = 0; i < json_array_size(list); i++)
        *bytes += json_string_length(json_object_get(json_array_get(list, i), "content"));
}

static enum bt_err read_vocab(const json_t *root, const json_t *model, const struct bt_where *where,
                              struct bt_tokenizer *t, struct bt_diag *diag)
{
    json_t *vocab;
    struct bt_where place;
    enum bt_err err = bt_field_object(model, "vocab", where, &vocab, diag);
    if (err)
        return err;
    bt_where_key(&place, where, "vocab");
    size_t count = json_object_size(vocab), bytes;
    if (count == 0)
        return bt_fail(diag, BT_EINPUT, "%s: there are no tokens", place.text);
    struct spelling *by_id = bt_zalloc(count, sizeof *by_id);
    if (!by_id)
        return bt_fail_nomem(diag);
    err = sort_vocab(vocab, &place, by_id, &bytes, diag);
    t->bpe.count = (int32_t)count;
    measure_added(root, &count, &bytes);
    if (!err && !bt_token_table_init(&t->tokens, count, bytes))
        err = bt_fail_nomem(diag);
    for (int32_t id = 0; !err && id < t->bpe.count; id++) {
        bool unused;
        bt_token_table_add(&t->tokens, by_id[id].text, by_id[id].size, &unused);
    }
    bt_free(by_id);
    return err;
}

/* ---- merges ---- */

struct halves {
    struct bt_json_text left, right;
};

/* ["a", "b"], or "a b". */
static bool split_merge(const json_t *merge, struct halves *ret)
{
    if (json_is_array(merge)) {
        const json_t *left = json_array_get(merge, 0), *right = json_array_get(merge, 1);
        if (json_array_size(merge) != 2 || !json_is_string(left) || !json_is_string(right))
            return false;
        ret->left = (struct bt_json_text){json_string_value(left), json_string_length(left)};
        ret->right = (struct bt_json_text){json_string_value(right), json_string_length(right)};
        return true;
    }
    const char *text = json_string_value(merge);
    const char *space = text ? strchr(text, ' ') : NULL;
    if (!space || strchr(space + 1, ' '))
        return false;
    ret->left = (struct bt_json_text){text, (size_t)(space - text)};
    ret->right = (struct bt_json_text){space + 1, strlen(space + 1)};
    return true;
}

static enum bt_err fail_merge(struct bt_diag *diag, const struct bt_where *where, size_t index, const char *text,
                              size_t size)
{
    return bt_fail(diag, BT_EINPUT, "%s.merges[%zu]: '%.*s' is not a token of the vocabulary", where->text, index,
                   (int)(size < 80 ? size : 80), text);
}

static enum bt_err read_merge(const json_t *merge, size_t index, const struct bt_where *where, struct bt_buffer *joined,
                              struct bt_bpe *bpe, struct bt_diag *diag)
{
    struct halves halves;
    if (!split_merge(merge, &halves))
        return bt_fail(diag, BT_EINPUT, "%s.merges[%zu]: expected two tokens, as in \"a b\" or [\"a\", \"b\"]",
                       where->text, index);
    joined->size = 0;
    if (!bt_buffer_put(joined, halves.left.at, halves.left.size) ||
        !bt_buffer_put(joined, halves.right.at, halves.right.size))
        return bt_fail_nomem(diag);
    const int32_t left = bt_bpe_find(bpe, halves.left.at, halves.left.size);
    const int32_t right = bt_bpe_find(bpe, halves.right.at, halves.right.size);
    const int32_t id = bt_bpe_find(bpe, joined->at, joined->size);
    if (left < 0)
        return fail_merge(diag, where, index, halves.left.at, halves.left.size);
    if (right < 0)
        return fail_merge(diag, where, index, halves.right.at, halves.right.size);
    if (id < 0)
        return fail_merge(diag, where, index, joined->at, joined->size);
    bt_bpe_add_merge(bpe, left, right, (uint32_t)index, id);
    return BT_OK;
}

static enum bt_err read_merges(const json_t *model, const struct bt_where *where, struct bt_bpe *bpe,
                               struct bt_diag *diag)
{
    json_t *merges;
    struct bt_buffer joined = {0};
    enum bt_err err = bt_field_array(model, "merges", where, &merges, diag);
    if (err)
        return err;
    if (!bt_bpe_reserve_merges(bpe, json_array_size(merges)))
        return bt_fail_nomem(diag);
    for (size_t i = 0; !err && i < json_array_size(merges); i++)
        err = read_merge(json_array_get(merges, i), i, where, &joined, bpe, diag);
    bt_buffer_finish(&joined);
    return err;
}

/* ---- the rest of the model ---- */

/* What would have to be done to every word, and no supported model asks for. */
static enum bt_err refuse_options(const json_t *model, const struct bt_where *where, struct bt_diag *diag)
{
    static const char *const keys[] = {"continuing_subword_prefix", "end_of_word_suffix"};
    for (size_t i = 0; i < 2; i++) {
        const json_t *value = json_object_get(model, keys[i]);
        if (!bt_field_is_null(model, keys[i]) && !(json_is_string(value) && json_string_length(value) == 0))
            return bt_fail(diag, BT_EINPUT, "%s.%s: this is not supported, expected null or \"\"", where->text,
                           keys[i]);
    }
    const json_t *dropout = json_object_get(model, "dropout");
    if (!bt_field_is_null(model, "dropout") && !(json_is_number(dropout) && json_number_value(dropout) == 0.0))
        return bt_fail(diag, BT_EINPUT, "%s.dropout: this is not supported, expected null", where->text);
    return BT_OK;
}

static enum bt_err read_flags(const json_t *model, const struct bt_where *where, struct bt_bpe *bpe,
                              struct bt_diag *diag)
{
    struct bt_json_text unknown;
    enum bt_err err = bt_field_bool_or(model, "fuse_unk", false, where, &bpe->fuse_unknown, diag);
    if (!err)
        err = bt_field_bool_or(model, "byte_fallback", false, where, &bpe->byte_fallback, diag);
    if (!err)
        err = bt_field_bool_or(model, "ignore_merges", false, where, &bpe->ignore_merges, diag);
    bpe->unknown = BT_TOKEN_ABSENT;
    if (err || bt_field_is_null(model, "unk_token"))
        return err;
    if ((err = bt_field_text(model, "unk_token", where, &unknown, diag)))
        return err;
    bpe->unknown = bt_bpe_find(bpe, unknown.at, unknown.size);
    return bpe->unknown >= 0 ? BT_OK
                             : bt_fail(diag, BT_EINPUT, "%s.unk_token: '%.80s' is not a token of the vocabulary",
                                       where->text, unknown.at);
}

/* Old files leave the model's type out. */
static enum bt_err check_type(const json_t *model, const struct bt_where *where, struct bt_diag *diag)
{
    struct bt_json_text type;
    if (!json_object_get(model, "type"))
        return BT_OK;
    const enum bt_err err = bt_field_text(model, "type", where, &type, diag);
    if (err)
        return err;
    return strcmp(type.at, "BPE") == 0 ? BT_OK : bt_fail_type(diag, where, type.at, "BPE");
}

enum bt_err bt_tokenizer_read_model(const json_t *root, const struct bt_where *file, struct bt_tokenizer *t,
                                    struct bt_diag *diag)
{
    json_t *model = json_object_get(root, "model");
    struct bt_where where;
    bt_where_at(&where, file, "model");
    if (!json_is_object(model))
        return bt_fail(diag, BT_EINPUT, "%s: expected an object", where.text);
    t->bpe.tokens = &t->tokens;
    t->bpe.letters = t->pre.byte_level;
    enum bt_err err = check_type(model, &where, diag);
    if (!err)
        err = refuse_options(model, &where, diag);
    if (!err)
        err = read_vocab(root, model, &where, t, diag);
    if (!err)
        err = read_flags(model, &where, &t->bpe, diag);
    if (!err)
        err = read_merges(model, &where, &t->bpe, diag);
    if (!err && !bt_bpe_prepare(&t->bpe))
        err = bt_fail_nomem(diag);
    return err;
}
