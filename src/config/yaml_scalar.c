#include "config/yaml_scalar.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *skip_digits(const char *p)
{
    while (*p >= '0' && *p <= '9')
        p++;
    return p;
}

/* BT_SCALAR_INTEGER, BT_SCALAR_REAL, or BT_SCALAR_STRING for what is no number. A leading zero is none: YAML 1.1 reads
 * 010 as eight, YAML 1.2 as ten. */
static enum bt_scalar_type number_type(const char *p)
{
    p += *p == '+' || *p == '-';
    const char *start = p;
    p = skip_digits(p);
    const size_t whole = (size_t)(p - start);
    if (whole > 1 && *start == '0')
        return BT_SCALAR_STRING;
    if (!*p)
        return whole ? BT_SCALAR_INTEGER : BT_SCALAR_STRING;
    size_t fraction = 0;
    if (*p == '.') {
        start = ++p;
        p = skip_digits(p);
        fraction = (size_t)(p - start);
    }
    if (!whole && !fraction)
        return BT_SCALAR_STRING;
    if (*p == 'e' || *p == 'E') {
        p++;
        p += *p == '+' || *p == '-';
        start = p;
        p = skip_digits(p);
        if (p == start)
            return BT_SCALAR_STRING;
    }
    return *p ? BT_SCALAR_STRING : BT_SCALAR_REAL;
}

static bool is_one_of(const char *text, const char *const *words)
{
    while (*words && strcmp(text, *words))
        words++;
    return *words;
}

static enum bt_scalar_type plain_type(const char *text)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
    static const char *const bools[] = {"true", "false", NULL};
    if (is_one_of(text, nulls))
        return BT_SCALAR_NULL;
    if (is_one_of(text, bools))
        return BT_SCALAR_BOOL;
    return number_type(text);
}

enum bt_scalar_type bt_scalar_type(const struct bt_yaml_node *scalar)
{
    return scalar->plain ? plain_type(scalar->text) : BT_SCALAR_STRING;
}

bool bt_yaml_is_null(const struct bt_yaml_node *node)
{
    return node->kind == BT_YAML_SCALAR && bt_scalar_type(node) == BT_SCALAR_NULL;
}

struct bt_yaml_words bt_yaml_describe(const struct bt_yaml_node *node)
{
    struct bt_yaml_words words;
    const char *more = strlen(node->text) > 60 ? "..." : "";
    if (node->kind == BT_YAML_MAPPING)
        snprintf(words.text, sizeof words.text, "a mapping");
    else if (node->kind == BT_YAML_SEQUENCE && node->count)
        snprintf(words.text, sizeof words.text, "a list of %zu", node->count);
    else if (node->kind == BT_YAML_SEQUENCE)
        snprintf(words.text, sizeof words.text, "an empty list");
    else if (bt_scalar_type(node) == BT_SCALAR_STRING)
        snprintf(words.text, sizeof words.text, "the string \"%.60s%s\"", node->text, more);
    else if (bt_scalar_type(node) == BT_SCALAR_BOOL || bt_scalar_type(node) == BT_SCALAR_NULL)
        snprintf(words.text, sizeof words.text, "%s", *node->text ? node->text : "nothing");
    else
        snprintf(words.text, sizeof words.text, "the number %.60s%s", node->text, more);
    return words;
}

/* Reads one character of UTF-8. YAML text is valid by the time it gets here; anything else counts byte by byte. */
static size_t decode(const char *text, uint32_t *ret_char)
{
    const unsigned char *p = (const unsigned char *)text;
    const size_t length = *p < 0xc0 ? 1 : *p < 0xe0 ? 2 : *p < 0xf0 ? 3 : 4;
    uint32_t c = length == 1 ? *p : *p & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            *ret_char = *p;
            return 1;
        }
        c = c << 6 | (p[i] & 0x3fu);
    }
    *ret_char = c;
    return length;
}

/* What may stand in double quotes as it is: printable for YAML, and neither a quote nor any kind of line break. */
static bool stands_as_it_is(uint32_t c)
{
    if (c < 0x7f)
        return c >= ' ' && c != '"' && c != '\\';
    if (c == 0x2028 || c == 0x2029 || c == 0xfeff)
        return false;
    return (c > 0xa0 && c < 0xd800) || (c >= 0xe000 && c <= 0xfffd) || (c >= 0x10000 && c <= 0x10ffff);
}

static void write_quoted(struct bt_text_buf *out, const char *text)
{
    bt_text_add(out, "\"");
    while (*text) {
        uint32_t c;
        const size_t length = decode(text, &c);
        if (stands_as_it_is(c))
            bt_text_add(out, "%.*s", (int)length, text);
        else if (c == '"' || c == '\\')
            bt_text_add(out, "\\%c", (int)c);
        else if (c <= 0xff)
            bt_text_add(out, "\\x%02X", (unsigned)c);
        else
            bt_text_add(out, "\\u%04X", (unsigned)c);
        text += length;
    }
    bt_text_add(out, "\"");
}

/* Narrow on purpose: letters, digits and what paths are made of, beginning with a letter, "/", "_" or ".", and nothing
 * that some reader of YAML takes for a bool, a null or a number. */
static bool reads_back_plain(const char *text)
{
    static const char *const words[] = {"y", "n", "yes", "no", "on", "off", "true", "false", "null", NULL};
    char lower[8] = "";
    if (!isascii(*text) || (!isalpha(*text) && !strchr("/_.", *text)))
        return false;
    for (const char *p = text; *p; p++)
        if (!isascii(*p) || (!isalnum(*p) && !strchr("/_.-", *p)))
            return false;
    for (size_t i = 0; i < sizeof lower - 1 && text[i]; i++)
        lower[i] = (char)tolower(text[i]);
    if (*lower == '.' && (lower[1] == 'i' || lower[1] == 'n')) /* .inf, .nan */
        return false;
    return !is_one_of(lower, words) && plain_type(text) == BT_SCALAR_STRING;
}

void bt_yaml_write_string(struct bt_text_buf *out, const char *text)
{
    if (*text && reads_back_plain(text))
        bt_text_add(out, "%s", text);
    else
        write_quoted(out, text);
}

void bt_yaml_write_real(struct bt_text_buf *out, double value)
{
    char digits[40];
    for (int precision = 1; precision <= 17; precision++) {
        snprintf(digits, sizeof digits, "%.*g", precision, value);
        if (strtod(digits, NULL) == value)
            break;
    }
    const char *exponent = strchr(digits, 'e');
    const int mantissa = exponent ? (int)(exponent - digits) : (int)strlen(digits);
    bt_text_add(out, "%.*s%s%s", mantissa, digits, memchr(digits, '.', (size_t)mantissa) ? "" : ".0",
                exponent ? exponent : "");
}

static void write_scalar(struct bt_text_buf *out, const struct bt_yaml_node *scalar)
{
    const enum bt_scalar_type type = bt_scalar_type(scalar);
    if (type == BT_SCALAR_STRING)
        bt_yaml_write_string(out, scalar->text);
    else
        bt_text_add(out, "%s", type == BT_SCALAR_NULL ? "null" : scalar->text);
}

void bt_yaml_write_node(struct bt_text_buf *out, const struct bt_yaml_node *node)
{
    const bool mapping = node->kind == BT_YAML_MAPPING;
    if (node->kind == BT_YAML_SCALAR) {
        write_scalar(out, node);
        return;
    }
    bt_text_add(out, mapping ? "{" : "[");
    for (const struct bt_yaml_node *child = node->first; child; child = child->next) {
        if (mapping) {
            bt_yaml_write_string(out, child->key);
            bt_text_add(out, ": ");
        }
        bt_yaml_write_node(out, child);
        bt_text_add(out, child->next ? ", " : "");
    }
    bt_text_add(out, mapping ? "}" : "]");
}
