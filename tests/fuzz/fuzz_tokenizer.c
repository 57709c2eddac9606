/* A tokenizer.json, a NUL byte, and a text that it is to encode. What comes out must be ids of the vocabulary, and
 * decoding them at once and one by one must give the same text. */
#include "fuzz.h"

#include <string.h>

#include "base/mem.h"
#include "text/tokenizer.h"

/* Of the streamed text, `at` bytes at the front are dealt with. */
static void check_piece(const char *text, size_t size, size_t *at, const char *piece, size_t piece_size)
{
    FUZZ_CHECK(piece_size <= size - *at && (piece_size == 0 || !memcmp(text + *at, piece, piece_size)));
    *at += piece_size;
}

static enum bt_err stream(const struct bt_tokenizer *tokenizer, const struct bt_ids *ids, const char *text, size_t size,
                          struct bt_diag *diag)
{
    struct bt_token_stream *stream = NULL;
    const char *piece;
    size_t piece_size, at = 0;
    enum bt_err err = bt_token_stream_create(tokenizer, false, &stream, diag);
    for (size_t i = 0; !err && i < ids->count; i++)
        if (!(err = bt_token_stream_push(stream, ids->at[i], &piece, &piece_size, diag)))
            check_piece(text, size, &at, piece, piece_size);
    if (!err && !(err = bt_token_stream_end(stream, &piece, &piece_size, diag))) {
        check_piece(text, size, &at, piece, piece_size);
        FUZZ_CHECK(at == size);
    }
    bt_token_stream_destroy(stream);
    return err;
}

static enum bt_err decode(const struct bt_tokenizer *tokenizer, const struct bt_ids *ids, struct bt_diag *diag)
{
    char *text = NULL;
    size_t size;
    for (size_t i = 0; i < ids->count; i++)
        FUZZ_CHECK(ids->at[i] >= 0 && ids->at[i] < bt_tokenizer_vocab_size(tokenizer));
    enum bt_err err = bt_tokenizer_decode(tokenizer, ids->at, ids->count, false, &text, &size, diag);
    if (!err)
        err = stream(tokenizer, ids, text, size, diag);
    bt_free(text);
    return err;
}

enum bt_err fuzz_read(const uint8_t *data, size_t size, struct bt_diag *diag)
{
    struct bt_tokenizer *tokenizer = NULL;
    struct bt_tokenizer_scratch *scratch = NULL;
    struct bt_ids ids = {0};
    const uint8_t *end = size ? memchr(data, 0, size) : NULL;
    const size_t json = end ? (size_t)(end - data) : size, text = end ? json + 1 : size;
    enum bt_err err = bt_tokenizer_parse((const char *)data, json, "tokenizer.json", &tokenizer, diag);
    if (!err)
        err = bt_tokenizer_scratch_create(tokenizer, &scratch, diag);
    if (!err)
        err = bt_tokenizer_encode(tokenizer, scratch, (const char *)data + text, size - text, true, &ids, diag);
    if (!err)
        err = decode(tokenizer, &ids, diag);
    bt_ids_finish(&ids);
    bt_tokenizer_scratch_destroy(scratch);
    bt_tokenizer_close(tokenizer);
    return err;
}
