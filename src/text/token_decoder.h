/* text/token_decoder.h - a tokenizer file's "decoder": from the spellings of tokens, one after the other, to text. What
 * comes out is the same however many tokens are given before it is taken. */
#ifndef BT_TEXT_TOKEN_DECODER_H
#define BT_TEXT_TOKEN_DECODER_H

#include "text/buffer.h"
#include "text/json_field.h"

#define BT_DECODER_REPLACES 8

struct bt_token_decoder {
    enum bt_decoder_kind {
        BT_DECODE_JOIN,       /* no decoder: a space between tokens */
        BT_DECODE_BYTE_LEVEL, /* letters of byte-level BPE */
        BT_DECODE_METASPACE,  /* a mark for each space */
        BT_DECODE_PIECES,     /* replacing, byte tokens, stripping */
    } kind;
    struct bt_replace {
        char *from, *to; /* owned */
        size_t from_size, to_size;
    } replaces[BT_DECODER_REPLACES]; /* within each token */
    size_t replace_count;
    bool byte_fallback;            /* runs of tokens <0xHH> are bytes */
    bool fuse;                     /* what comes behind it sees all tokens as one */
    char strip[5];                 /* a character that is dropped at the front ... */
    size_t strip_size, strip_most; /* ... up to so many times */
    char mark[5];                  /* metaspace */
    size_t mark_size;
    bool mark_first_drops; /* metaspace: marks in the first token are dropped */
};

/* value: the field, or NULL or null. */
enum bt_err bt_token_decoder_read(const json_t *value, const struct bt_where *where, struct bt_token_decoder *decoder,
                                  struct bt_diag *diag);
void bt_token_decoder_finish(struct bt_token_decoder *decoder);

struct bt_decoding {           /* zeroed: nothing decoded yet */
    struct bt_buffer held;     /* bytes that are not characters yet */
    struct bt_buffer piece[2]; /* a token with its replacements */
    size_t stripped;
    bool started, strip_over;
};
void bt_decoding_finish(struct bt_decoding *decoding);

/* Appends what a token gives to out. False when memory is out. */
bool bt_token_decoder_put(const struct bt_token_decoder *decoder, struct bt_decoding *decoding, const char *token,
                          size_t size, struct bt_buffer *out);
/* Appends what was held back; the next token is the first of another text. */
bool bt_token_decoder_end(const struct bt_token_decoder *decoder, struct bt_decoding *decoding, struct bt_buffer *out);

#endif
