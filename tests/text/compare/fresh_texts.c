#include "fresh_texts.h"

#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "support.h"
#include "text/utf8.h"

/* First and last character of stretches in which one script, or one kind of sign, is written. */
static const uint32_t scripts[][2] = {
    {0x21, 0x7E},       {0xA0, 0x24F},      {0x250, 0x2FF},     {0x370, 0x3FF},     {0x400, 0x52F},
    {0x531, 0x58A},     {0x591, 0x5F4},     {0x600, 0x6FF},     {0x700, 0x74F},     {0x780, 0x7B1},
    {0x900, 0x97F},     {0x980, 0x9FE},     {0xA01, 0xA76},     {0xB82, 0xBFA},     {0xC00, 0xC7F},
    {0xD00, 0xD7F},     {0xD81, 0xDF4},     {0xE01, 0xE5B},     {0xE81, 0xEDF},     {0xF00, 0xFDA},
    {0x1000, 0x109F},   {0x10A0, 0x10FF},   {0x1100, 0x11FF},   {0x1200, 0x139F},   {0x13A0, 0x13FD},
    {0x1400, 0x167F},   {0x16A0, 0x16F8},   {0x1780, 0x17F9},   {0x1800, 0x18AA},   {0x1C90, 0x1CBF},
    {0x1D00, 0x1DBF},   {0x1E00, 0x1FFE},   {0x2000, 0x206F},   {0x2070, 0x209C},   {0x20A0, 0x20C0},
    {0x2100, 0x218B},   {0x2190, 0x23FF},   {0x2460, 0x24FF},   {0x2500, 0x27BF},   {0x2C00, 0x2C5F},
    {0x2E80, 0x2FD5},   {0x3000, 0x303F},   {0x3041, 0x30FF},   {0x3131, 0x318E},   {0x3200, 0x33FF},
    {0x3400, 0x4DBF},   {0x4E00, 0x9FFF},   {0xA000, 0xA4C6},   {0xA640, 0xA6F7},   {0xA720, 0xA7FF},
    {0xAC00, 0xD7A3},   {0xF900, 0xFAD9},   {0xFB00, 0xFDFF},   {0xFE50, 0xFEFC},   {0xFF01, 0xFFEE},
    {0x10000, 0x100FA}, {0x10330, 0x1034A}, {0x10400, 0x1044F}, {0x10A00, 0x10A58}, {0x11000, 0x11075},
    {0x11080, 0x110C2}, {0x12000, 0x12399}, {0x13000, 0x1342E}, {0x1D100, 0x1D1E8}, {0x1D400, 0x1D7FF},
    {0x1E900, 0x1E95F}, {0x1F000, 0x1F2FF}, {0x1F300, 0x1FAFF}, {0x20000, 0x2A6DF}, {0xE000, 0xE0FF},
    {0xE0020, 0xE007F},
};

static const char *const spaces[] = {
    " ",      " ",        " ",      "  ",           "\n",     "\n",     "\r\n",   "\t",     "\r",         "\v",
    "\f",     "\xC2\x85", "\u00A0", "\u1680",       "\u2003", "\u2009", "\u2028", "\u2029", "\u202F",     "\u205F",
    "\u3000", "\u200B",   "\u180E", "\xEF\xBB\xBF", "\u200C", "\u2060", "\x1C",   "\x1F",   "          ", "\n\n\n"};

static const char *const emoji[] = {
    "\U0001F600", "\U0001F469", "\U0001F468", "\U0001F467", "\u200D",     "\u200D",     "\uFE0F",
    "\uFE0E",     "\U0001F3FB", "\U0001F3FF", "\u2764",     "\U0001F1E9", "\U0001F1EA", "\U0001F1EB",
    "\u20E3",     "#",          "7",          "\U0001F3F4", "\U000E0067", "\U000E007F", "\U0001F9D1",
};

static const char *const code_words[] = {
    "int ",  "for (", "i++)",  "{\n",    "}\n\n",    "    ",         "        ",  "\t\t",       "return ", "self.",
    "'s",    "'S",    "'LL",   "'re",    "'Ve",      "'\xC5\xBF",    "don't",     "I'M",        "''d",     "==",
    "!=",    "->",    "/* ",   " */",    "// ",      "\\n",          "\"x\"",     "0x7fFF",     "1e-5",    "3.14159",
    "a_b_c", "__",    "<0x0A", "<0x0A>", "\xC4\xA0", "\xC4\x8A",     "<unk>",     "</s>",       "<s>",     "$$",
    "@",     "#!",    "?!?!",  "...",    "\u2581",   "\u2581\u2581", "camelCase", "HTTPServer", "%20",     "&nbsp;",
};

/* Hangul parts, letters with marks in several orders, characters that NFC takes apart or replaces. */
static const char *const marks[] = {
    "a",      "e",      "o",      "\u0301", "\u0300", "\u0323", "\u0327", "\u0302", "\u0308", "\u0345",
    "\u1100", "\u1161", "\u11A8", "\uAC00", "\u212B", "\u2126", "\u0958", "\u09C7", "\u09BE", "\u0F73",
    "\u0344", "\u1E9B", "\u0344", "\uFB2C", "\u3099", "\u304B", "\u0B47", "\u0B3E", "\u2ADC", "\U0001D15E",
};

static const char *const odd[] = {"\x01",   "\x7F",   "\xC2\x80", "\xC2\xAD",   "\uFFFD",     "\uFFFE",
                                  "\uFFFF", "\uFEFF", "\uE000",   "\U0010FFFF", "\U000F0000", "\uD7FF",
                                  "\u202E", "\u034F", "\u061C",   "\u2FFB",     "\u3164"};

size_t fresh_below(struct fresh_texts *fresh, size_t n)
{
    return (size_t)bt_rng_below(fresh->key, fresh->drawn++, n);
}

/* ---- pieces ---- */

static void put(struct bt_buffer *out, const char *text, size_t size)
{
    assert_true(bt_buffer_put(out, text, size));
}

static void put_code(struct bt_buffer *out, uint32_t code)
{
    char text[4];
    put(out, text, bt_utf8_put(code, text));
}

static void put_some(struct fresh_texts *fresh, struct bt_buffer *out, const char *const *list, size_t count)
{
    for (size_t n = 1 + fresh_below(fresh, 8); n > 0; n--) {
        const char *text = list[fresh_below(fresh, count)];
        put(out, text, strlen(text));
    }
}

static bool is_in(const struct code_list *list, uint32_t code)
{
    size_t low = 0, high = list->count;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        if (list->at[middle] < code)
            low = middle + 1;
        else
            high = middle;
    }
    return low < list->count && list->at[low] == code;
}

static void put_script(struct fresh_texts *fresh, struct bt_buffer *out)
{
    const uint32_t *script = scripts[fresh_below(fresh, BT_ARRAY_LEN(scripts))];
    for (size_t n = 1 + fresh_below(fresh, 12); n > 0; n--) {
        const uint32_t code = script[0] + (uint32_t)fresh_below(fresh, script[1] - script[0] + 1);
        if (is_in(&fresh->known, code))
            put_code(out, code);
    }
}

static void put_listed(struct fresh_texts *fresh, struct bt_buffer *out, const struct code_list *list)
{
    for (size_t n = 1 + fresh_below(fresh, 5); n > 0; n--)
        put_code(out, list->at[fresh_below(fresh, list->count)]);
}

static void put_digits(struct fresh_texts *fresh, struct bt_buffer *out)
{
    static const uint32_t zeros[] = {'0', '0', '0', '0', 0x660, 0x966, 0xFF10, 0x1D7CE, 0x2160, 0xB2, 0x2460, 0x3021};
    const uint32_t zero = zeros[fresh_below(fresh, BT_ARRAY_LEN(zeros))];
    for (size_t n = 1 + fresh_below(fresh, 12); n > 0; n--)
        put_code(out, zero + (uint32_t)fresh_below(fresh, zero == 0xB2 ? 2 : 9));
}

static void put_slice(struct fresh_texts *fresh, struct bt_buffer *out)
{
    if (fresh->real_count == 0)
        return;
    const struct real_text *real = &fresh->real[fresh_below(fresh, fresh->real_count)];
    const size_t longest = fresh_below(fresh, 50) == 0 ? 4000 : 100;
    const size_t length = 1 + fresh_below(fresh, longest);
    size_t start = bt_utf8_before(real->at, 1 + fresh_below(fresh, real->size));
    size_t end = start + length < real->size ? bt_utf8_before(real->at, start + length + 1) : real->size;
    put(out, real->at + start, end - start);
}

static void put_token(struct fresh_texts *fresh, struct bt_buffer *out)
{
    if (fresh->token_count == 0)
        return;
    const char *token = fresh->tokens[fresh_below(fresh, fresh->token_count)];
    const size_t size = strlen(token);
    /* at times without its last character */
    put(out, token, fresh_below(fresh, 10) == 0 ? bt_utf8_before(token, size) : size);
}

static void put_piece(struct fresh_texts *fresh, struct bt_buffer *out)
{
    switch (fresh_below(fresh, 13)) {
    case 0:
    case 1:
        put_script(fresh, out);
        break;
    case 2:
        put_listed(fresh, out, &fresh->known);
        break;
    case 3:
    case 4:
        put_some(fresh, out, spaces, BT_ARRAY_LEN(spaces));
        break;
    case 5:
        put_digits(fresh, out);
        break;
    case 6:
        put_some(fresh, out, emoji, BT_ARRAY_LEN(emoji));
        break;
    case 7:
        put_some(fresh, out, code_words, BT_ARRAY_LEN(code_words));
        break;
    case 8:
        put_some(fresh, out, marks, BT_ARRAY_LEN(marks));
        break;
    case 9:
        put_token(fresh, out);
        break;
    case 10:
        put_some(fresh, out, odd, BT_ARRAY_LEN(odd));
        if (fresh_below(fresh, 4) == 0)
            put(out, "", 1); /* U+0000 */
        break;
    default:
        put_slice(fresh, out);
    }
}

void fresh_text(struct fresh_texts *fresh, bool with_others, struct bt_buffer *out)
{
    out->size = 0;
    for (size_t n = fresh_below(fresh, 8); n > 0; n--)
        put_piece(fresh, out);
    if (with_others)
        put_listed(fresh, out, &fresh->others);
    for (size_t n = fresh_below(fresh, 4); with_others && n > 0; n--)
        put_piece(fresh, out);
}

/* ---- what they are made of ---- */

void fresh_texts_start(struct fresh_texts *fresh, uint64_t seed)
{
    *fresh = (struct fresh_texts){.key = bt_rng_key(seed, "fresh texts")};
    known_codes(&fresh->known, &fresh->others);
}

void fresh_texts_add_real(struct fresh_texts *fresh, const char *path)
{
    struct real_text *real = &fresh->real[fresh->real_count++];
    assert_true(fresh->real_count <= BT_ARRAY_LEN(fresh->real));
    real->at = (char *)test_read_file(path, &real->size);
    assert_int_equal(bt_utf8_valid(real->at, real->size), real->size);
}

void fresh_texts_finish(struct fresh_texts *fresh)
{
    for (size_t i = 0; i < fresh->real_count; i++)
        free(fresh->real[i].at);
    bt_free(fresh->known.at);
    bt_free(fresh->others.at);
}
