/* Printing JSON. jansson prints all reals with one number of digits, too many (0.10000000000000001) or too few; this
 * prints each with the fewest that read back as the same double, laid out as Python does. */
#include "io/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct text {
    char *at;
    size_t length, capacity;
    size_t indent; /* spaces a level; 0: all on one line */
    bool failed;
};

static void put(struct text *text, const char *bytes, size_t n)
{
    if (n >= text->capacity - text->length && !text->failed) { /* one byte stays free for the NUL */
        const size_t capacity = 2 * text->capacity + n + 64;
        char *larger = bt_realloc(text->at, capacity, 1);
        text->failed = !larger;
        if (larger) {
            text->at = larger;
            text->capacity = capacity;
        }
    }
    if (text->failed)
        return;
    memcpy(text->at + text->length, bytes, n);
    text->length += n;
    text->at[text->length] = '\0';
}

static void put_text(struct text *text, const char *bytes)
{
    put(text, bytes, strlen(bytes));
}

static void put_escape(struct text *text, unsigned char c)
{
    static const char *const names[128] = {
        ['\b'] = "\\b", ['\f'] = "\\f", ['\n'] = "\\n", ['\r'] = "\\r", ['\t'] = "\\t", ['"'] = "\\\"", ['\\'] = "\\\\",
    };
    char code[8];
    snprintf(code, sizeof code, "\\u%04x", c);
    put_text(text, names[c] ? names[c] : code);
}

static void put_string(struct text *text, const char *bytes, size_t n)
{
    put(text, "\"", 1);
    size_t plain = 0; /* start of what needs no escape */
    for (size_t i = 0; i < n; i++) {
        const unsigned char c = (unsigned char)bytes[i];
        if (c >= ' ' && c != '"' && c != '\\')
            continue;
        put(text, bytes + plain, i - plain);
        put_escape(text, c);
        plain = i + 1;
    }
    put(text, bytes + plain, n - plain);
    put(text, "\"", 1);
}

/* The fewest significant digits, at most 17, that read back as value; the decimal exponent goes to ret_exponent. */
static int shortest_precision(double value, int *ret_exponent)
{
    char digits[32];
    int precision = 0;
    do
        snprintf(digits, sizeof digits, "%.*e", precision++, value);
    while (precision < 17 && strtod(digits, NULL) != value);
    *ret_exponent = atoi(strchr(digits, 'e') + 1);
    return precision;
}

static void put_real(struct text *text, double value)
{
    char number[64];
    int exponent;
    const int precision = shortest_precision(value, &exponent);
    if (exponent < -4 || exponent >= 16) {
        snprintf(number, sizeof number, "%.*e", precision - 1, value);
    } else {
        const int decimals = precision - 1 - exponent;
        snprintf(number, sizeof number, "%.*f", decimals > 0 ? decimals : 1, value); /* 2.0 stays a real */
    }
    put_text(text, number);
}

static void put_line_break(struct text *text, size_t depth)
{
    if (text->indent == 0)
        return;
    put(text, "\n", 1);
    for (size_t i = 0; i < depth * text->indent; i++)
        put(text, " ", 1);
}

static void put_value(struct text *text, const json_t *value, size_t depth);

static void put_array(struct text *text, const json_t *array, size_t depth)
{
    put(text, "[", 1);
    for (size_t i = 0; i < json_array_size(array); i++) {
        if (i > 0)
            put(text, ",", 1);
        put_line_break(text, depth + 1);
        put_value(text, json_array_get(array, i), depth + 1);
    }
    if (json_array_size(array))
        put_line_break(text, depth);
    put(text, "]", 1);
}

static void put_object(struct text *text, const json_t *object, size_t depth)
{
    put(text, "{", 1);
    json_t *mutable_object = (json_t *)(uintptr_t)object; /* jansson's iterators are not const */
    void *first = json_object_iter(mutable_object);
    for (void *at = first; at; at = json_object_iter_next(mutable_object, at)) {
        if (at != first)
            put(text, ",", 1);
        put_line_break(text, depth + 1);
        const char *key = json_object_iter_key(at);
        put_string(text, key, strlen(key));
        put_text(text, text->indent ? ": " : ":");
        put_value(text, json_object_iter_value(at), depth + 1);
    }
    if (first)
        put_line_break(text, depth);
    put(text, "}", 1);
}

static void put_value(struct text *text, const json_t *value, size_t depth)
{
    char number[32];
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        put_object(text, value, depth);
        break;
    case JSON_ARRAY:
        put_array(text, value, depth);
        break;
    case JSON_STRING:
        put_string(text, json_string_value(value), json_string_length(value));
        break;
    case JSON_INTEGER:
        snprintf(number, sizeof number, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        put_text(text, number);
        break;
    case JSON_REAL:
        put_real(text, json_real_value(value));
        break;
    case JSON_TRUE:
        put_text(text, "true");
        break;
    case JSON_FALSE:
        put_text(text, "false");
        break;
    case JSON_NULL:
        put_text(text, "null");
        break;
    }
}

char *bt_json_text(const json_t *value, size_t flags)
{
    struct text text = {.indent = flags & JSON_MAX_INDENT};
    put_value(&text, value, 0);
    if (text.failed) {
        bt_free(text.at);
        return NULL;
    }
    return text.at;
}
