/* From text to ids: added tokens in the text as it is, normalising what lies between, added tokens in that, words,
 * byte-pair encoding. */
#include "base/mem.h"
#include "text/tokenizer_parts.h"
#include "text/utf8.h"

enum bt_err bt_tokenizer_scratch_create(const struct bt_tokenizer *tokenizer, struct bt_tokenizer_scratch **ret_scratch,
                                        struct bt_diag *diag)
{
    (void)tokenizer;
    struct bt_tokenizer_scratch *scratch = bt_zalloc(1, sizeof *scratch);
    if (!scratch)
        return bt_fail_nomem(diag);
    enum bt_err err = bt_matcher_create(&scratch->pre.matcher, diag);
    if (!err && !(scratch->bpe = bt_bpe_scratch_create()))
        err = bt_fail_nomem(diag);
    if (err)
        bt_tokenizer_scratch_destroy(scratch);
    else
        *ret_scratch = scratch;
    return err;
}

void bt_tokenizer_scratch_destroy(struct bt_tokenizer_scratch *scratch)
{
    if (!scratch)
        return;
    bt_normalizer_scratch_finish(&scratch->normalizer);
    bt_pre_scratch_finish(&scratch->pre);
    bt_bpe_scratch_destroy(scratch->bpe);
    bt_free(scratch);
}

void bt_ids_finish(struct bt_ids *ids)
{
    bt_free(ids->at);
    *ids = (struct bt_ids){0};
}

struct encoding {
    const struct bt_tokenizer *tokenizer;
    const struct bt_added_tree *added; /* (2) those that are looked for */
    struct bt_tokenizer_scratch *scratch;
    struct bt_ids *out;
    struct bt_diag *diag;
};

static enum bt_err encode_word(void *context, const char *word, size_t size, struct bt_diag *diag)
{
    const struct encoding *e = context;
    if (size > BT_BPE_MAX_WORD)
        return bt_fail(diag, BT_EINPUT, "a word has %zu bytes once it is normalised; up to %zu are supported", size,
                       BT_BPE_MAX_WORD);
    return bt_bpe_encode(&e->tokenizer->bpe, e->scratch->bpe, word, size, e->out) ? BT_OK : bt_fail_nomem(diag);
}

static enum bt_err encode_words(struct encoding *e, const char *text, size_t size, enum bt_text_place place)
{
    return bt_pre_tokenizer_run(&e->tokenizer->pre, &e->scratch->pre, text, size, place, encode_word, e, e->diag);
}

/* Ids for the tokens of a tree, and `rest` for what lies between them. */
static enum bt_err encode_around(struct encoding *e, const struct bt_added_tree *tree, const char *text, size_t size,
                                 enum bt_text_place place,
                                 enum bt_err (*rest)(struct encoding *, const char *, size_t, enum bt_text_place))
{
    struct bt_added_search search = {.tree = tree, .text = text, .size = size};
    const struct bt_added_token *token;
    enum bt_err err = BT_OK;
    size_t start, done = 0;
    while (!err && bt_added_search_next(&search, &start, &token)) {
        if (done < start)
            err = rest(e, text + done, start - done, done == 0 ? place : BT_PLACE_LATER);
        if (!err && !bt_ids_put(e->out, &token->id, 1))
            err = bt_fail_nomem(e->diag);
        done = search.done;
    }
    return !err && done < size ? rest(e, text + done, size - done, done == 0 ? place : BT_PLACE_LATER) : err;
}

static enum bt_err encode_piece(struct encoding *e, const char *text, size_t size, enum bt_text_place place)
{
    const enum bt_err err =
        bt_normalizer_run(&e->tokenizer->normalizer, &e->scratch->normalizer, text, size, place, &text, &size, e->diag);
    return err ? err : encode_around(e, &e->added[1], text, size, place, encode_words);
}

static enum bt_err check_text(const char *text, size_t size, struct bt_diag *diag)
{
    if (size > BT_TOKENIZER_MAX_TEXT)
        return bt_fail(diag, BT_EINPUT, "the text has %zu bytes; up to %zu are supported", size, BT_TOKENIZER_MAX_TEXT);
    const size_t valid = bt_utf8_valid(text, size);
    if (valid < size)
        return bt_fail(diag, BT_EINPUT, "byte %zu of the text, 0x%02X, is not UTF-8", valid,
                       (unsigned)(unsigned char)text[valid]);
    return BT_OK;
}

enum bt_err bt_tokenizer_encode(const struct bt_tokenizer *tokenizer, struct bt_tokenizer_scratch *scratch,
                                const char *text, size_t size, bool add_special, struct bt_ids *out,
                                struct bt_diag *diag)
{
    struct encoding e = {.tokenizer = tokenizer, .added = tokenizer->all, .scratch = scratch, .out = out, .diag = diag};
    const struct bt_token_template *special = &tokenizer->special;
    const size_t before = out->count;
    enum bt_err err = check_text(text, size, diag);
    if (!err && add_special && !bt_ids_put(out, special->before, special->before_count))
        err = bt_fail_nomem(diag);
    if (!err)
        err = encode_around(&e, &e.added[0], text, size, BT_PLACE_FRONT, encode_piece);
    if (!err && add_special && !bt_ids_put(out, special->behind, special->behind_count))
        err = bt_fail_nomem(diag);
    if (err)
        out->count = before;
    return err;
}

/* Merges, or a whole word that is in the vocabulary, could still make a special token; in no model that is known. */
static enum bt_err check_plain(const struct bt_tokenizer *t, const struct bt_ids *ids, size_t first,
                               struct bt_diag *diag)
{
    for (size_t i = first; i < ids->count; i++)
        if (bt_tokenizer_is_special(t, ids->at[i]) && ids->at[i] != t->bpe.unknown)
            return bt_fail(diag, BT_EINPUT,
                           "the text spells the special token \"%s\", which this tokenizer cannot write as plain text",
                           bt_tokenizer_token(t, ids->at[i]));
    return BT_OK;
}

enum bt_err bt_tokenizer_encode_plain(const struct bt_tokenizer *tokenizer, struct bt_tokenizer_scratch *scratch,
                                      const char *text, size_t size, enum bt_text_place place, struct bt_ids *out,
                                      struct bt_diag *diag)
{
    struct encoding e = {
        .tokenizer = tokenizer, .added = tokenizer->ordinary, .scratch = scratch, .out = out, .diag = diag};
    const size_t before = out->count;
    enum bt_err err = check_text(text, size, diag);
    if (!err)
        err = encode_around(&e, &e.added[0], text, size, place, encode_piece);
    if (!err)
        err = check_plain(tokenizer, out, before, diag);
    if (err)
        out->count = before;
    return err;
}
