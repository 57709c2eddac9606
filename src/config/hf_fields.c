#include "config/hf_fields.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

void bt_hf_refuse(const struct bt_hf_fields *f, const char *key, const char *format, ...)
{
    char why[512];
    va_list args;
    if (f->fault->err)
        return;
    va_start(args, format);
    vsnprintf(why, sizeof why, format, args);
    va_end(args);
    for (char *p = why; *p; p++) /* it may quote anything, and a sentence is one line */
        if ((unsigned char)*p < ' ')
            *p = ' ';
    f->fault->err = bt_fail(f->fault->diag, BT_EINPUT, "%s: %s%s: %s", f->fault->what, f->prefix, key, why);
}

void bt_hf_no_memory(const struct bt_hf_fields *f)
{
    if (!f->fault->err)
        f->fault->err = bt_fail_nomem(f->fault->diag);
}

static void describe(const json_t *value, char *out, size_t size)
{
    switch (json_typeof(value)) {
    case JSON_STRING:
        snprintf(out, size, "the string \"%.80s\"", json_string_value(value));
        break;
    case JSON_INTEGER:
        snprintf(out, size, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        break;
    case JSON_REAL:
        snprintf(out, size, "the real number %.17g", json_real_value(value));
        break;
    case JSON_ARRAY:
    case JSON_OBJECT:
        snprintf(out, size, "%s", json_is_array(value) ? "a list" : "an object");
        break;
    default:
        snprintf(out, size, "%s", json_is_null(value) ? "null" : json_is_true(value) ? "true" : "false");
    }
}

void bt_hf_wrong(const struct bt_hf_fields *f, const char *key, const json_t *found, const char *expected)
{
    char text[128];
    describe(found, text, sizeof text);
    bt_hf_refuse(f, key, "found %s, expected %s", text, expected);
}

const json_t *bt_hf_find(const struct bt_hf_fields *f, const char *key)
{
    const json_t *value = f->fault->err ? NULL : json_object_get(f->object, key);
    return json_is_null(value) ? NULL : value;
}

bool bt_hf_is_named(const struct bt_hf_fields *f, const char *key)
{
    return json_object_get(f->object, key);
}

uint64_t bt_hf_size(const struct bt_hf_fields *f, const char *key)
{
    const json_t *value = bt_hf_find(f, key);
    if (!value)
        bt_hf_refuse(f, key, "missing, expected an integer from 1 to 2147483647");
    else if (!json_is_integer(value) || json_integer_value(value) < 1 || json_integer_value(value) > BT_HF_SIZE_MAX)
        bt_hf_wrong(f, key, value, "an integer from 1 to 2147483647");
    else
        return (uint64_t)json_integer_value(value);
    return 1;
}

uint64_t bt_hf_size_or(const struct bt_hf_fields *f, const char *key, uint64_t absent)
{
    const json_t *value = bt_hf_find(f, key);
    if (!value)
        return absent;
    if (json_is_integer(value) && json_integer_value(value) >= 0 && json_integer_value(value) <= BT_HF_SIZE_MAX)
        return (uint64_t)json_integer_value(value);
    bt_hf_wrong(f, key, value, "an integer from 0 to 2147483647");
    return absent;
}

double bt_hf_positive_or(const struct bt_hf_fields *f, const char *key, double absent)
{
    const json_t *value = bt_hf_find(f, key);
    if (!value)
        return absent;
    const double number = json_number_value(value); /* 0 for what is no number */
    if (number > 0.0 && isfinite(number))
        return number;
    bt_hf_wrong(f, key, value, "a number above 0");
    return absent;
}

double bt_hf_positive(const struct bt_hf_fields *f, const char *key)
{
    if (!bt_hf_find(f, key))
        bt_hf_refuse(f, key, "missing, expected a number above 0");
    return bt_hf_positive_or(f, key, 1.0);
}

double bt_hf_number_or(const struct bt_hf_fields *f, const char *key, double absent)
{
    const json_t *value = bt_hf_find(f, key);
    if (!value)
        return absent;
    if (json_is_number(value) && isfinite(json_number_value(value)))
        return json_number_value(value);
    bt_hf_wrong(f, key, value, "a number");
    return absent;
}

bool bt_hf_bool_or(const struct bt_hf_fields *f, const char *key, bool absent)
{
    const json_t *value = bt_hf_find(f, key);
    if (!value)
        return absent;
    if (json_is_boolean(value))
        return json_is_true(value);
    bt_hf_wrong(f, key, value, "true or false");
    return absent;
}

const char *bt_hf_string_or(const struct bt_hf_fields *f, const char *key, const char *absent)
{
    const json_t *value = bt_hf_find(f, key);
    if (!value)
        return absent;
    if (json_is_string(value))
        return json_string_value(value);
    bt_hf_wrong(f, key, value, "a string");
    return absent;
}

static bool is_token(const json_t *value)
{
    return json_is_integer(value) && json_integer_value(value) >= 0 && json_integer_value(value) <= INT32_MAX;
}

int64_t bt_hf_token_or(const struct bt_hf_fields *f, const char *key, int64_t absent)
{
    const json_t *value = bt_hf_find(f, key);
    if (!value)
        return bt_hf_is_named(f, key) ? -1 : absent;
    bool fine = is_token(value) || json_array_size(value) > 0;
    for (size_t i = 0; i < json_array_size(value); i++)
        fine = fine && is_token(json_array_get(value, i));
    if (fine)
        return json_integer_value(json_is_array(value) ? json_array_get(value, 0) : value);
    bt_hf_wrong(f, key, value, "a token id, a list of token ids or null");
    return -1;
}
