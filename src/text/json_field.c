#include "text/json_field.h"

#include <stdio.h>
#include <string.h>

#include "text/utf8.h"

void bt_where_at(struct bt_where *where, const struct bt_where *file, const char *key)
{
    snprintf(where->text, sizeof where->text, "%.240s: %.100s", file->text, key);
}

void bt_where_key(struct bt_where *where, const struct bt_where *parent, const char *key)
{
    struct bt_where longer;
    snprintf(longer.text, sizeof longer.text, "%.400s.%.100s", parent->text, key);
    *where = longer;
}

void bt_where_index(struct bt_where *where, const struct bt_where *parent, size_t index)
{
    struct bt_where longer;
    snprintf(longer.text, sizeof longer.text, "%.480s[%zu]", parent->text, index);
    *where = longer;
}

static const char *kind_of(const json_t *value)
{
    static const char *const names[] = {
        [JSON_OBJECT] = "an object",   [JSON_ARRAY] = "an array",     [JSON_STRING] = "a string",
        [JSON_INTEGER] = "an integer", [JSON_REAL] = "a real number", [JSON_TRUE] = "true",
        [JSON_FALSE] = "false",        [JSON_NULL] = "null",
    };
    return value ? names[json_typeof(value)] : "missing";
}

static enum bt_err wrong(struct bt_diag *diag, const struct bt_where *where, const char *key, const json_t *found,
                         const char *expected)
{
    return bt_fail(diag, BT_EINPUT, "%s.%s: this is %s, expected %s", where->text, key, kind_of(found), expected);
}

enum bt_err bt_field_text(const json_t *object, const char *key, const struct bt_where *where,
                          struct bt_json_text *ret_text, struct bt_diag *diag)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_string(value))
        return wrong(diag, where, key, value, "a string");
    *ret_text = (struct bt_json_text){json_string_value(value), json_string_length(value)};
    return BT_OK;
}

enum bt_err bt_field_character(const json_t *object, const char *key, const struct bt_where *where,
                               struct bt_json_text *ret_text, struct bt_diag *diag)
{
    struct bt_json_text text;
    uint32_t code;
    const enum bt_err err = bt_field_text(object, key, where, &text, diag);
    if (err)
        return err;
    if (text.size == 0 || bt_utf8_take(text.at, &code) != text.size)
        return bt_fail(diag, BT_EINPUT, "%s.%s: '%.80s' is not one character", where->text, key, text.at);
    *ret_text = text;
    return BT_OK;
}

enum bt_err bt_field_bool(const json_t *object, const char *key, const struct bt_where *where, bool *ret_value,
                          struct bt_diag *diag)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_boolean(value))
        return wrong(diag, where, key, value, "true or false");
    *ret_value = json_is_true(value);
    return BT_OK;
}

enum bt_err bt_field_bool_or(const json_t *object, const char *key, bool otherwise, const struct bt_where *where,
                             bool *ret_value, struct bt_diag *diag)
{
    if (!bt_field_is_null(object, key))
        return bt_field_bool(object, key, where, ret_value, diag);
    *ret_value = otherwise;
    return BT_OK;
}

bool bt_json_is_id(const json_t *value, int32_t *ret_id)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0 || json_integer_value(value) > INT32_MAX)
        return false;
    *ret_id = (int32_t)json_integer_value(value);
    return true;
}

enum bt_err bt_field_id(const json_t *object, const char *key, const struct bt_where *where, int32_t *ret_id,
                        struct bt_diag *diag)
{
    const json_t *value = json_object_get(object, key);
    return bt_json_is_id(value, ret_id) ? BT_OK : wrong(diag, where, key, value, "an id from 0 to 2147483647");
}

enum bt_err bt_field_array(const json_t *object, const char *key, const struct bt_where *where, json_t **ret_array,
                           struct bt_diag *diag)
{
    json_t *value = json_object_get(object, key);
    if (!json_is_array(value))
        return wrong(diag, where, key, value, "an array");
    *ret_array = value;
    return BT_OK;
}

enum bt_err bt_field_object(const json_t *object, const char *key, const struct bt_where *where, json_t **ret_object,
                            struct bt_diag *diag)
{
    json_t *value = json_object_get(object, key);
    if (!json_is_object(value))
        return wrong(diag, where, key, value, "an object");
    *ret_object = value;
    return BT_OK;
}

bool bt_field_is_null(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return !value || json_is_null(value);
}

enum bt_err bt_json_type(const json_t *value, const struct bt_where *where, const char **ret_type, struct bt_diag *diag)
{
    struct bt_json_text type;
    if (!json_is_object(value))
        return bt_fail(diag, BT_EINPUT, "%s: this is %s, expected an object", where->text, kind_of(value));
    const enum bt_err err = bt_field_text(value, "type", where, &type, diag);
    if (!err)
        *ret_type = type.at;
    return err;
}

enum bt_err bt_field_each(const json_t *object, const char *key, const struct bt_where *where, bt_element_fn *each,
                          void *reader, struct bt_diag *diag)
{
    json_t *array;
    struct bt_where list, place;
    enum bt_err err = bt_field_array(object, key, where, &array, diag);
    bt_where_key(&list, where, key);
    for (size_t i = 0; !err && i < json_array_size(array); i++) {
        bt_where_index(&place, &list, i);
        err = each(reader, json_array_get(array, i), &place, diag);
    }
    return err;
}

enum bt_err bt_json_steps(const json_t *value, const char *key, const struct bt_where *where, bt_element_fn *each,
                          void *reader, struct bt_diag *diag)
{
    const char *type;
    if (!value || json_is_null(value))
        return BT_OK;
    const enum bt_err err = bt_json_type(value, where, &type, diag);
    if (err)
        return err;
    return strcmp(type, "Sequence") != 0 ? each(reader, value, where, diag)
                                         : bt_field_each(value, key, where, each, reader, diag);
}

enum bt_err bt_fail_type(struct bt_diag *diag, const struct bt_where *where, const char *type, const char *supported)
{
    return bt_fail(diag, BT_EINPUT, "%s: the type '%.80s' is not supported here; supported are %s", where->text, type,
                   supported);
}

enum bt_err bt_field_replace(const json_t *value, const struct bt_where *where, struct bt_json_text *ret_from,
                             struct bt_json_text *ret_to, struct bt_diag *diag)
{
    json_t *pattern;
    struct bt_where inner;
    enum bt_err err = bt_field_text(value, "content", where, ret_to, diag);
    if (!err)
        err = bt_field_object(value, "pattern", where, &pattern, diag);
    if (err)
        return err;
    bt_where_key(&inner, where, "pattern");
    if (json_object_get(pattern, "Regex"))
        return bt_fail(diag, BT_EINPUT, "%s: Replace with a Regex is not supported here, only with a String",
                       inner.text);
    if ((err = bt_field_text(pattern, "String", &inner, ret_from, diag)))
        return err;
    if (ret_from->size == 0)
        return bt_fail(diag, BT_EINPUT, "%s.String: this is empty, expected what is to be replaced", inner.text);
    return BT_OK;
}
