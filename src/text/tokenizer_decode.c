/* From ids to text: all at once is the same as one by one. */
#include "base/mem.h"
#include "text/tokenizer_parts.h"

struct bt_token_stream {
    const struct bt_tokenizer *tokenizer;
    bool skip_special;
    struct bt_decoding decoding;
    struct bt_buffer out;
};

enum bt_err bt_token_stream_create(const struct bt_tokenizer *tokenizer, bool skip_special,
                                   struct bt_token_stream **ret_stream, struct bt_diag *diag)
{
    struct bt_token_stream *stream = bt_zalloc(1, sizeof *stream);
    if (!stream)
        return bt_fail_nomem(diag);
    stream->tokenizer = tokenizer;
    stream->skip_special = skip_special;
    *ret_stream = stream;
    return BT_OK;
}

void bt_token_stream_destroy(struct bt_token_stream *stream)
{
    if (!stream)
        return;
    bt_decoding_finish(&stream->decoding);
    bt_buffer_finish(&stream->out);
    bt_free(stream);
}

/* What a token gives to the decoder. */
static const char *shown(const struct bt_tokenizer *t, int32_t id, size_t *ret_size)
{
    for (size_t i = 0; (t->flags[id] & BT_TOKEN_SHOWN) && i < t->added_count; i++)
        if (t->added[i].id == id) {
            *ret_size = t->added[i].shown_size;
            return t->added[i].shown;
        }
    return bt_token_table_at(&t->tokens, id, ret_size);
}

static enum bt_err put_id(struct bt_token_stream *stream, int32_t id, struct bt_diag *diag)
{
    const struct bt_tokenizer *t = stream->tokenizer;
    size_t size;
    if (stream->skip_special && (t->flags[id] & BT_TOKEN_SKIPPED))
        return BT_OK;
    const char *token = shown(t, id, &size);
    return bt_token_decoder_put(&t->decoder, &stream->decoding, token, size, &stream->out) ? BT_OK
                                                                                           : bt_fail_nomem(diag);
}

/* Gives the text away, with a NUL behind it. */
static enum bt_err give(struct bt_token_stream *stream, const char **ret_piece, size_t *ret_size, struct bt_diag *diag)
{
    if (!bt_buffer_reserve(&stream->out, 1))
        return bt_fail_nomem(diag);
    stream->out.at[stream->out.size] = '\0';
    *ret_piece = stream->out.at;
    *ret_size = stream->out.size;
    return BT_OK;
}

static bool is_id(const struct bt_token_stream *stream, int32_t id)
{
    return id >= 0 && id < stream->tokenizer->tokens.count;
}

enum bt_err bt_token_stream_push(struct bt_token_stream *stream, int32_t id, const char **ret_piece, size_t *ret_size,
                                 struct bt_diag *diag)
{
    if (!is_id(stream, id))
        return bt_fail(diag, BT_EINPUT, "the id %d is not in the vocabulary, which has %d", (int)id,
                       (int)stream->tokenizer->tokens.count);
    stream->out.size = 0;
    const enum bt_err err = put_id(stream, id, diag);
    return err ? err : give(stream, ret_piece, ret_size, diag);
}

static enum bt_err end(struct bt_token_stream *stream, struct bt_diag *diag)
{
    return bt_token_decoder_end(&stream->tokenizer->decoder, &stream->decoding, &stream->out) ? BT_OK
                                                                                              : bt_fail_nomem(diag);
}

enum bt_err bt_token_stream_end(struct bt_token_stream *stream, const char **ret_piece, size_t *ret_size,
                                struct bt_diag *diag)
{
    stream->out.size = 0;
    const enum bt_err err = end(stream, diag);
    return err ? err : give(stream, ret_piece, ret_size, diag);
}

enum bt_err bt_tokenizer_decode(const struct bt_tokenizer *tokenizer, const int32_t *ids, size_t n, bool skip_special,
                                char **ret_text, size_t *ret_size, struct bt_diag *diag)
{
    struct bt_token_stream stream = {.tokenizer = tokenizer, .skip_special = skip_special};
    const char *text;
    enum bt_err err = BT_OK;
    for (size_t i = 0; !err && i < n; i++) {
        if (!is_id(&stream, ids[i]))
            err = bt_fail(diag, BT_EINPUT, "the id %d, number %zu of %zu, is not in the vocabulary, which has %d",
                          (int)ids[i], i, n, (int)tokenizer->tokens.count);
        else
            err = put_id(&stream, ids[i], diag);
    }
    if (!err)
        err = end(&stream, diag);
    if (!err)
        err = give(&stream, &text, ret_size, diag);
    if (!err) {
        *ret_text = stream.out.at;
        stream.out = (struct bt_buffer){0};
    }
    bt_decoding_finish(&stream.decoding);
    bt_buffer_finish(&stream.out);
    return err;
}
