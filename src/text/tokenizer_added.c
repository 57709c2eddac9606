/* The field "added_tokens" of a tokenizer file. */
#include <string.h>

#include "base/mem.h"
#include "text/tokenizer_parts.h"

static enum bt_err read_entry(const json_t *entry, const struct bt_where *where, struct bt_added_token *token,
                              struct bt_diag *diag)
{
    struct bt_json_text content;
    if (!json_is_object(entry))
        return bt_fail(diag, BT_EINPUT, "%s: expected an object", where->text);
    const struct {
        const char *key;
        bool *value;
    } flags[] = {{"single_word", &token->single_word},
                 {"lstrip", &token->lstrip},
                 {"rstrip", &token->rstrip},
                 {"normalized", &token->normalized},
                 {"special", &token->special}};
    enum bt_err err = bt_field_text(entry, "content", where, &content, diag);
    if (!err)
        err = bt_field_id(entry, "id", where, &token->id, diag);
    for (size_t i = 0; !err && i < sizeof flags / sizeof *flags; i++)
        err = bt_field_bool(entry, flags[i].key, where, flags[i].value, diag);
    if (err)
        return err;
    if (content.size == 0 || content.size > BT_ADDED_TOKEN_MAX)
        return bt_fail(diag, BT_EINPUT, "%s.content: this has %zu bytes, expected 1 to %d", where->text, content.size,
                       BT_ADDED_TOKEN_MAX);
    token->size = content.size;
    token->content = bt_strndup(content.at, content.size);
    return token->content ? BT_OK : bt_fail_nomem(diag);
}

/* A token that the model has keeps its id there; others are numbered on, in the order of the file, which is what
 * Hugging Face's library does whatever the file says. */
static enum bt_err number(struct bt_tokenizer *t, const struct bt_added_token *token, const struct bt_where *where,
                          struct bt_diag *diag)
{
    bool unused;
    int32_t id = bt_token_table_find(&t->tokens, token->content, token->size);
    if (id < 0) {
        id = t->tokens.count;
        bt_token_table_add(&t->tokens, token->content, token->size, &unused);
    } else if (t->flags[id] & BT_TOKEN_ADDED) {
        return bt_fail(diag, BT_EINPUT, "%s: the token '%.80s' is added twice", where->text, token->content);
    }
    if (id != token->id)
        return bt_fail(diag, BT_EINPUT, "%s: the token '%.80s' has the id %d, expected %d", where->text, token->content,
                       (int)token->id, (int)id);
    t->flags[id] = (unsigned char)(token->special ? BT_TOKEN_ADDED | BT_TOKEN_SPECIAL : BT_TOKEN_ADDED);
    return BT_OK;
}

/* A normalized token is decoded as what normalising makes of it. */
static enum bt_err keep_shown(struct bt_tokenizer *t, struct bt_added_token *token, const char *spelling, size_t size,
                              struct bt_diag *diag)
{
    if (size == token->size && !memcmp(spelling, token->content, size))
        return BT_OK;
    t->flags[token->id] |= BT_TOKEN_SHOWN;
    token->shown_size = size;
    token->shown = bt_strndup(spelling, size);
    return token->shown ? BT_OK : bt_fail_nomem(diag);
}

static enum bt_err plant(struct bt_tokenizer *t, struct bt_added_token *token, struct bt_normalizer_scratch *scratch,
                         const struct bt_where *where, struct bt_diag *diag)
{
    const char *spelling = token->content;
    size_t size = token->size;
    enum bt_err err = BT_OK;
    if (token->normalized)
        err = bt_normalizer_run(&t->normalizer, scratch, spelling, size, BT_PLACE_FRONT, &spelling, &size, diag);
    if (!err && size == 0)
        return bt_fail(diag, BT_EINPUT, "%s: nothing is left of the token '%.80s' by normalising it", where->text,
                       token->content);
    if (!err)
        err = keep_shown(t, token, spelling, size, diag);
    if (err)
        return err;
    const int tree = token->normalized;
    if (!bt_added_tree_add(&t->all[tree], spelling, size, token) ||
        (!token->special && !bt_added_tree_add(&t->ordinary[tree], spelling, size, token)))
        err = bt_fail_nomem(diag);
    return err;
}

/* Of equal spellings (after normalising) the first one counts; Hugging Face's library leaves that to chance. */
static enum bt_err plant_all(struct bt_tokenizer *t, const struct bt_where *where, struct bt_diag *diag)
{
    struct bt_normalizer_scratch scratch = {0};
    enum bt_err err = BT_OK;
    for (size_t i = 0; !err && i < t->added_count; i++)
        err = plant(t, &t->added[i], &scratch, where, diag);
    bt_normalizer_scratch_finish(&scratch);
    return err;
}

/* Hugging Face's library leaves out what is spelled, as it is shown, like a special token. */
static void mark_skipped(struct bt_tokenizer *t)
{
    for (size_t i = 0; i < t->added_count; i++) {
        const struct bt_added_token *token = &t->added[i];
        const int32_t same =
            token->shown ? bt_token_table_find(&t->tokens, token->shown, token->shown_size) : token->id;
        if (same >= 0 && (t->flags[same] & BT_TOKEN_SPECIAL))
            t->flags[token->id] |= BT_TOKEN_SKIPPED;
    }
}

static enum bt_err read_list(const json_t *list, const struct bt_where *where, struct bt_tokenizer *t,
                             struct bt_diag *diag)
{
    enum bt_err err = BT_OK;
    for (size_t i = 0; !err && i < json_array_size(list); i++) {
        struct bt_where place;
        bt_where_index(&place, where, i);
        err = read_entry(json_array_get(list, i), &place, &t->added[t->added_count++], diag);
        if (!err)
            err = number(t, &t->added[i], &place, diag);
    }
    return err;
}

enum bt_err bt_tokenizer_read_added(const json_t *root, const struct bt_where *file, struct bt_tokenizer *t,
                                    struct bt_diag *diag)
{
    const json_t *list = json_object_get(root, "added_tokens");
    struct bt_where where;
    bt_where_at(&where, file, "added_tokens");
    if (!bt_field_is_null(root, "added_tokens") && !json_is_array(list))
        return bt_fail(diag, BT_EINPUT, "%s: expected an array", where.text);
    t->flags = bt_zalloc((size_t)t->tokens.capacity, 1);
    t->added = bt_zalloc(json_array_size(list), sizeof *t->added);
    if (!t->flags || !t->added)
        return bt_fail_nomem(diag);
    enum bt_err err = read_list(list, &where, t, diag);
    if (!err)
        err = plant_all(t, &where, diag);
    if (!err)
        mark_skipped(t);
    return err;
}
