#include "text/token_template.h"

#include <string.h>

struct reading {
    int32_t vocab_size;
    struct bt_token_template *found;
    const struct bt_where *where; /* of the TemplateProcessing */
    const json_t *special_tokens;
    bool seen_text;
};

static enum bt_err put_id(struct reading *r, int32_t id, struct bt_diag *diag)
{
    struct bt_token_template *found = r->found;
    size_t *count = r->seen_text ? &found->behind_count : &found->before_count;
    if (*count == BT_TEMPLATE_IDS)
        return bt_fail(diag, BT_EINPUT, "%s: more than %d special tokens on a side are not supported", r->where->text,
                       BT_TEMPLATE_IDS);
    (r->seen_text ? found->behind : found->before)[(*count)++] = id;
    return BT_OK;
}

static enum bt_err put_special(struct reading *r, const json_t *piece, struct bt_diag *diag)
{
    struct bt_where place, list;
    struct bt_json_text name;
    json_t *entry, *ids;
    bt_where_key(&place, r->where, "single.SpecialToken");
    enum bt_err err = bt_field_text(piece, "id", &place, &name, diag);
    if (err)
        return err;
    bt_where_key(&place, r->where, "special_tokens");
    if ((err = bt_field_object(r->special_tokens, name.at, &place, &entry, diag)))
        return err;
    bt_where_key(&list, &place, name.at);
    err = bt_field_array(entry, "ids", &list, &ids, diag);
    for (size_t i = 0; !err && i < json_array_size(ids); i++) {
        int32_t id;
        if (!bt_json_is_id(json_array_get(ids, i), &id) || id >= r->vocab_size)
            return bt_fail(diag, BT_EINPUT, "%s.ids[%zu]: this is not an id of the vocabulary, which has %d", list.text,
                           i, (int)r->vocab_size);
        err = put_id(r, id, diag);
    }
    return err;
}

static enum bt_err read_piece(void *reader, const json_t *piece, const struct bt_where *place, struct bt_diag *diag)
{
    struct reading *r = reader;
    const json_t *special = json_object_get(piece, "SpecialToken");
    const json_t *sequence = json_object_get(piece, "Sequence");
    struct bt_json_text name;
    if (json_is_object(special))
        return put_special(r, special, diag);
    if (!json_is_object(sequence))
        return bt_fail(diag, BT_EINPUT, "%s: expected an object with SpecialToken or Sequence", place->text);
    const enum bt_err err = bt_field_text(sequence, "id", place, &name, diag);
    if (err)
        return err;
    if (r->seen_text || strcmp(name.at, "A") != 0)
        return bt_fail(diag, BT_EINPUT, "%s: expected the sequence A once", place->text);
    r->seen_text = true;
    return BT_OK;
}

static enum bt_err read_template(struct reading *r, const json_t *value, const struct bt_where *where,
                                 struct bt_diag *diag)
{
    json_t *special_tokens;
    if (r->found->read)
        return bt_fail(diag, BT_EINPUT, "%s: a second TemplateProcessing is not supported", where->text);
    r->found->read = true;
    r->where = where;
    enum bt_err err = bt_field_object(value, "special_tokens", where, &special_tokens, diag);
    if (err)
        return err;
    r->special_tokens = special_tokens;
    err = bt_field_each(value, "single", where, read_piece, r, diag);
    if (!err && !r->seen_text)
        return bt_fail(diag, BT_EINPUT, "%s.single: the sequence A is missing", where->text);
    return err;
}

static enum bt_err read_step(void *reader, const json_t *value, const struct bt_where *where, struct bt_diag *diag)
{
    const char *type;
    const enum bt_err err = bt_json_type(value, where, &type, diag);
    if (err)
        return err;
    if (!strcmp(type, "ByteLevel")) /* corrects offsets into the text, which nobody asks for here */
        return BT_OK;
    if (!strcmp(type, "TemplateProcessing"))
        return read_template(reader, value, where, diag);
    return bt_fail_type(diag, where, type, "Sequence, TemplateProcessing and ByteLevel");
}

enum bt_err bt_token_template_read(const json_t *value, const struct bt_where *where, int32_t vocab_size,
                                   struct bt_token_template *ret_template, struct bt_diag *diag)
{
    struct reading reading = {.vocab_size = vocab_size, .found = ret_template};
    return bt_json_steps(value, "processors", where, read_step, &reading, diag);
}
