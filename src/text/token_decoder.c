#include "text/token_decoder.h"

#include <string.h>

#include "text/utf8.h"

#define REPLACEMENT "\xEF\xBF\xBD" /* U+FFFD */

/* Moves whole characters from held to out, and U+FFFD for what cannot become one; at_end: nor for want of bytes. */
static bool put_characters(struct bt_buffer *held, bool at_end, struct bt_buffer *out)
{
    size_t at = 0;
    while (at < held->size) {
        enum bt_utf8_kind kind;
        const size_t length = bt_utf8_step(held->at + at, held->size - at, &kind);
        if (kind == BT_UTF8_CUT && !at_end)
            break;
        if (kind == BT_UTF8_WHOLE ? !bt_buffer_put(out, held->at + at, length) : !bt_buffer_put(out, REPLACEMENT, 3))
            return false;
        at += length;
    }
    if (at < held->size)
        memmove(held->at, held->at + at, held->size - at);
    held->size -= at;
    return true;
}

/* A token with a character that is not of the alphabet is taken as it is. */
static bool put_byte_level(struct bt_buffer *held, const char *token, size_t size)
{
    const size_t before = held->size;
    for (size_t at = 0; at < size;) {
        uint32_t code;
        at += bt_utf8_take(token + at, &code);
        const int byte = bt_letter_to_byte(code);
        if (byte < 0) {
            held->size = before;
            return bt_buffer_put(held, token, size);
        }
        if (!bt_buffer_put(held, &(char){(char)byte}, 1))
            return false;
    }
    return true;
}

static bool put_metaspace(const struct bt_token_decoder *decoder, bool first, const char *token, size_t size,
                          struct bt_buffer *out)
{
    const bool drop = first && decoder->mark_first_drops;
    return bt_buffer_replace(out, token, size, decoder->mark, decoder->mark_size, " ", drop ? 0 : 1);
}

/* The end of the way of PIECES: drops what is to be stripped at the front. */
static bool put_stripped(const struct bt_token_decoder *decoder, struct bt_decoding *decoding, const char *text,
                         size_t size, struct bt_buffer *out)
{
    while (size > 0 && !decoding->strip_over) {
        if (decoding->stripped < decoder->strip_most && size >= decoder->strip_size &&
            !memcmp(text, decoder->strip, decoder->strip_size)) {
            decoding->stripped++;
            text += decoder->strip_size;
            size -= decoder->strip_size;
        } else {
            decoding->strip_over = true;
        }
    }
    return bt_buffer_put(out, text, size);
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* <0xHH> in either case. Rust's reading of numbers takes a plus sign, so <0x+H> is one too. -1: not a byte token. */
static int byte_of(const char *token, size_t size)
{
    if (size != 6 || memcmp(token, "<0x", 3) != 0 || token[5] != '>' || hex_digit(token[4]) < 0)
        return -1;
    const int high = token[3] == '+' ? 0 : hex_digit(token[3]);
    return high < 0 ? -1 : high * 16 + hex_digit(token[4]);
}

/* A run of byte tokens is one piece of UTF-8, or else a U+FFFD for every byte of it. */
static bool put_byte_run(const struct bt_token_decoder *decoder, struct bt_decoding *decoding, struct bt_buffer *out)
{
    struct bt_buffer *held = &decoding->held;
    bool ok = true;
    if (bt_utf8_valid(held->at, held->size) == held->size) {
        ok = put_stripped(decoder, decoding, held->at, held->size, out);
    } else {
        for (size_t i = 0; ok && i < held->size; i++)
            ok = put_stripped(decoder, decoding, REPLACEMENT, 3, out);
    }
    held->size = 0;
    return ok;
}

static bool put_piece(const struct bt_token_decoder *decoder, struct bt_decoding *decoding, const char *token,
                      size_t size, struct bt_buffer *out)
{
    for (size_t i = 0; i < decoder->replace_count; i++) {
        const struct bt_replace *replace = &decoder->replaces[i];
        struct bt_buffer *to = &decoding->piece[i % 2];
        to->size = 0;
        if (!bt_buffer_replace(to, token, size, replace->from, replace->from_size, replace->to, replace->to_size))
            return false;
        token = to->at;
        size = to->size;
    }
    const int byte = decoder->byte_fallback ? byte_of(token, size) : -1;
    if (byte >= 0)
        return bt_buffer_put(&decoding->held, &(char){(char)byte}, 1);
    return put_byte_run(decoder, decoding, out) && put_stripped(decoder, decoding, token, size, out);
}

bool bt_token_decoder_put(const struct bt_token_decoder *decoder, struct bt_decoding *decoding, const char *token,
                          size_t size, struct bt_buffer *out)
{
    const bool first = !decoding->started;
    decoding->started = true;
    switch (decoder->kind) {
    case BT_DECODE_BYTE_LEVEL:
        return put_byte_level(&decoding->held, token, size) && put_characters(&decoding->held, false, out);
    case BT_DECODE_METASPACE:
        return put_metaspace(decoder, first, token, size, out);
    case BT_DECODE_PIECES:
        return put_piece(decoder, decoding, token, size, out);
    case BT_DECODE_JOIN:
        break;
    }
    return (first || bt_buffer_put(out, " ", 1)) && bt_buffer_put(out, token, size);
}

bool bt_token_decoder_end(const struct bt_token_decoder *decoder, struct bt_decoding *decoding, struct bt_buffer *out)
{
    const bool ok = decoder->kind == BT_DECODE_PIECES ? put_byte_run(decoder, decoding, out)
                                                      : put_characters(&decoding->held, true, out);
    decoding->held.size = decoding->stripped = 0;
    decoding->started = decoding->strip_over = false;
    return ok;
}

void bt_decoding_finish(struct bt_decoding *decoding)
{
    bt_buffer_finish(&decoding->held);
    bt_buffer_finish(&decoding->piece[0]);
    bt_buffer_finish(&decoding->piece[1]);
}
