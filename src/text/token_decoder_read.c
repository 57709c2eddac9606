/* The field "decoder" of a tokenizer file. */
#include <string.h>

#include "base/mem.h"
#include "text/token_decoder.h"

static enum bt_err read_replace(const json_t *value, const struct bt_where *where, struct bt_token_decoder *decoder,
                                struct bt_diag *diag)
{
    struct bt_json_text from, to;
    const enum bt_err err = bt_field_replace(value, where, &from, &to, diag);
    if (err)
        return err;
    if (decoder->replace_count == BT_DECODER_REPLACES)
        return bt_fail(diag, BT_EINPUT, "%s: more than %d Replace are not supported", where->text, BT_DECODER_REPLACES);
    struct bt_replace *replace = &decoder->replaces[decoder->replace_count++];
    *replace = (struct bt_replace){.from = bt_strndup(from.at, from.size),
                                   .to = bt_strndup(to.at, to.size),
                                   .from_size = from.size,
                                   .to_size = to.size};
    return replace->from && replace->to ? BT_OK : bt_fail_nomem(diag);
}

static enum bt_err read_strip(const json_t *value, const struct bt_where *where, struct bt_token_decoder *decoder,
                              struct bt_diag *diag)
{
    int32_t start, stop;
    struct bt_json_text stripped;
    enum bt_err err = bt_field_character(value, "content", where, &stripped, diag);
    if (!err)
        err = bt_field_id(value, "start", where, &start, diag);
    if (!err)
        err = bt_field_id(value, "stop", where, &stop, diag);
    if (err)
        return err;
    if (stop != 0 || !decoder->fuse)
        return bt_fail(diag, BT_EINPUT, "%s: Strip is supported behind Fuse and with stop 0 only", where->text);
    memcpy(decoder->strip, stripped.at, stripped.size);
    decoder->strip_size = stripped.size;
    decoder->strip_most = (size_t)start;
    return BT_OK;
}

static enum bt_err read_metaspace(const json_t *value, const struct bt_where *where, struct bt_token_decoder *decoder,
                                  struct bt_diag *diag)
{
    bool prefix;
    struct bt_json_text mark;
    enum bt_err err = bt_field_character(value, "replacement", where, &mark, diag);
    if (!err)
        err = bt_field_bool_or(value, "add_prefix_space", true, where, &prefix, diag);
    if (err)
        return err;
    const json_t *scheme = json_object_get(value, "prepend_scheme");
    decoder->kind = BT_DECODE_METASPACE;
    memcpy(decoder->mark, mark.at, mark.size);
    decoder->mark_size = mark.size;
    decoder->mark_first_drops = prefix && !(json_is_string(scheme) && !strcmp(json_string_value(scheme), "never"));
    return BT_OK;
}

/* The steps that a Sequence may have, in this order. */
static const char *const piece_types[] = {"Replace", "ByteFallback", "Fuse", "Strip"};

struct pieces {
    struct bt_token_decoder *decoder;
    size_t rank; /* of the newest step */
};

static enum bt_err read_piece_step(void *reader, const json_t *value, const struct bt_where *where,
                                   struct bt_diag *diag)
{
    struct pieces *pieces = reader;
    struct bt_token_decoder *decoder = pieces->decoder;
    const char *type;
    const enum bt_err err = bt_json_type(value, where, &type, diag);
    if (err)
        return err;
    size_t found = 0;
    while (found < 4 && strcmp(type, piece_types[found]) != 0)
        found++;
    if (found == 4)
        return bt_fail_type(diag, where, type,
                            "ByteLevel, Metaspace, and Sequence of Replace, ByteFallback, Fuse and Strip");
    if (found < pieces->rank || (found == pieces->rank && found == 3 && decoder->strip_size))
        return bt_fail(diag, BT_EINPUT,
                       "%s: %s in this place is not supported; the order is Replace, ByteFallback, "
                       "Fuse, Strip",
                       where->text, type);
    pieces->rank = found;
    decoder->kind = BT_DECODE_PIECES;
    decoder->byte_fallback |= found == 1;
    decoder->fuse |= found == 2;
    if (found == 0)
        return read_replace(value, where, decoder, diag);
    return found == 3 ? read_strip(value, where, decoder, diag) : BT_OK;
}

static enum bt_err read_sequence(const json_t *value, const struct bt_where *where, struct bt_token_decoder *decoder,
                                 struct bt_diag *diag)
{
    json_t *steps;
    struct bt_where list, place;
    const enum bt_err err = bt_field_array(value, "decoders", where, &steps, diag);
    if (err)
        return err;
    bt_where_key(&list, where, "decoders");
    bt_where_index(&place, &list, 0);
    if (json_array_size(steps) == 1)
        return bt_token_decoder_read(json_array_get(steps, 0), &place, decoder, diag);
    struct pieces pieces = {.decoder = decoder};
    decoder->kind = BT_DECODE_PIECES; /* no steps at all: the tokens as they are */
    return bt_field_each(value, "decoders", where, read_piece_step, &pieces, diag);
}

enum bt_err bt_token_decoder_read(const json_t *value, const struct bt_where *where, struct bt_token_decoder *decoder,
                                  struct bt_diag *diag)
{
    const char *type;
    if (!value || json_is_null(value))
        return BT_OK;
    const enum bt_err err = bt_json_type(value, where, &type, diag);
    if (err)
        return err;
    if (!strcmp(type, "ByteLevel")) {
        decoder->kind = BT_DECODE_BYTE_LEVEL;
        return BT_OK;
    }
    if (!strcmp(type, "Metaspace"))
        return read_metaspace(value, where, decoder, diag);
    if (!strcmp(type, "Sequence"))
        return read_sequence(value, where, decoder, diag);
    return read_piece_step(&(struct pieces){.decoder = decoder}, value, where, diag);
}

void bt_token_decoder_finish(struct bt_token_decoder *decoder)
{
    for (size_t i = 0; i < decoder->replace_count; i++) {
        bt_free(decoder->replaces[i].from);
        bt_free(decoder->replaces[i].to);
    }
    *decoder = (struct bt_token_decoder){0};
}
