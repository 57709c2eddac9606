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
    bt_matcher_destroy(scratch->pre.matcher);
    for (size_t i = 0; i < BT_PRE_STEPS; i++)
        bt_buffer_finish(&scratch->pre.texts[i]);
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

static enum bt_err encode_words(struct encoding *e, const char *text, size_t size, bool first)
{
    return bt_pre_tokenizer_run(&e->tokenizer->pre, &e->scratch->pre, text, size, first, encode_word, e, e->diag);
}

static enum bt_err encode_piece(struct encoding *e, const char *text, size_t size, bool first);

/* Ids for the tokens of a tree, and `rest` for what lies between them. */
static enum bt_err encode_around(struct encoding *e, const struct bt_added_tree *tree, const char *text, size_t size,
                                 bool first, enum bt_err (*rest)(struct encoding *, const char *, size_t, bool))
{
    struct bt_added_search search = {.tree = tree, .text = text, .size = size};
    const struct bt_added_token *token;
    enum bt_err err = BT_OK;
    size_t start, done = 0;
    while (!err && bt_added_search_next(&search, &start, &token)) {
        if (done < start)
            err = rest(e, text + done, start - done, first && done == 0);
        if (!err && !bt_ids_put(e->out, &token->id, 1))
            err = bt_fail_nomem(e->diag);
        done = search.done;
    }
    return !err && done < size ? rest(e, text + done, size - done, first && done == 0) : err;
}

static enum bt_err encode_piece(struct encoding *e, const char *text, size_t size, bool first)
{
    const enum bt_err err =
        bt_normalizer_run(&e->tokenizer->normalizer, &e->scratch->normalizer, text, size, &text, &size, e->diag);
    return err ? err : encode_around(e, &e->tokenizer->normalized, text, size, first, encode_words);
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
    struct encoding e = {.tokenizer = tokenizer, .scratch = scratch, .out = out, .diag = diag};
    const struct bt_token_template *special = &tokenizer->special;
    const size_t before = out->count;
    enum bt_err err = check_text(text, size, diag);
    if (!err && add_special && !bt_ids_put(out, special->before, special->before_count))
        err = bt_fail_nomem(diag);
    if (!err)
        err = encode_around(&e, &tokenizer->raw, text, size, true, encode_piece);
    if (!err && add_special && !bt_ids_put(out, special->behind, special->behind_count))
        err = bt_fail_nomem(diag);
    if (err)
        out->count = before;
    return err;
}
