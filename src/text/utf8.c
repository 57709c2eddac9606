#include "text/utf8.h"

#include <string.h>

#include <utf8proc.h>

/* Length by the first byte and the range of the second one (Unicode Standard, table 3-7); 0: never a first byte. */
static size_t first_byte(unsigned char first, unsigned char *ret_low, unsigned char *ret_high)
{
    *ret_low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
    *ret_high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
    if (first < 0x80)
        return 1;
    if (first < 0xC2 || first > 0xF4)
        return 0;
    return first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
}

size_t bt_utf8_step(const char *text, size_t size, enum bt_utf8_kind *ret_kind)
{
    const unsigned char *bytes = (const unsigned char *)text;
    unsigned char low, high;
    const size_t length = first_byte(bytes[0], &low, &high);
    *ret_kind = BT_UTF8_BAD;
    if (length == 0)
        return 1;
    for (size_t i = 1; i < length; i++, low = 0x80, high = 0xBF) {
        if (i == size) {
            *ret_kind = BT_UTF8_CUT;
            return i;
        }
        if (bytes[i] < low || bytes[i] > high)
            return i;
    }
    *ret_kind = BT_UTF8_WHOLE;
    return length;
}

size_t bt_utf8_valid(const char *text, size_t size)
{
    size_t at = 0;
    while (at < size) {
        uint64_t eight;
        if (size - at >= sizeof eight) {
            memcpy(&eight, text + at, sizeof eight);
            if (!(eight & UINT64_C(0x8080808080808080))) {
                at += sizeof eight;
                continue;
            }
        }
        enum bt_utf8_kind kind;
        const size_t length = bt_utf8_step(text + at, size - at, &kind);
        if (kind != BT_UTF8_WHOLE)
            return at;
        at += length;
    }
    return size;
}

size_t bt_utf8_take(const char *text, uint32_t *ret_code)
{
    const unsigned char *b = (const unsigned char *)text;
    if (b[0] < 0x80) {
        *ret_code = b[0];
        return 1;
    }
    if (b[0] < 0xE0) {
        *ret_code = (b[0] & 0x1Fu) << 6 | (b[1] & 0x3Fu);
        return 2;
    }
    if (b[0] < 0xF0) {
        *ret_code = (b[0] & 0x0Fu) << 12 | (b[1] & 0x3Fu) << 6 | (b[2] & 0x3Fu);
        return 3;
    }
    *ret_code = (b[0] & 0x07u) << 18 | (b[1] & 0x3Fu) << 12 | (b[2] & 0x3Fu) << 6 | (b[3] & 0x3Fu);
    return 4;
}

size_t bt_utf8_put(uint32_t code, char out[4])
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    const size_t length = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = length; --i > 0; code >>= 6)
        out[i] = (char)(0x80 | (code & 0x3F));
    out[0] = (char)((0xF00u >> length & 0xF0) | code);
    return length;
}

size_t bt_utf8_before(const char *text, size_t at)
{
    do
        at--;
    while (at > 0 && ((unsigned char)text[at] & 0xC0) == 0x80);
    return at;
}

bool bt_code_is_space(uint32_t code)
{
    if (code < 0x80)
        return code == ' ' || (code >= '\t' && code <= '\r');
    return code == 0x85 || code == 0xA0 || code == 0x1680 || (code >= 0x2000 && code <= 0x200A) || code == 0x2028 ||
           code == 0x2029 || code == 0x202F || code == 0x205F || code == 0x3000;
}

bool bt_code_is_number(uint32_t code)
{
    if (code < 0x80)
        return code >= '0' && code <= '9';
    const utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)code);
    return category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO;
}

/* Alphabetic is L, Nl, some marks (which count anyway) and the letters in circles and squares. */
bool bt_code_is_word(uint32_t code)
{
    const utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)code);
    if ((category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_NL) || category == UTF8PROC_CATEGORY_PC)
        return true;
    return code == 0x200C || code == 0x200D || (code >= 0x24B6 && code <= 0x24E9) ||
           (code >= 0x1F130 && code <= 0x1F149) || (code >= 0x1F150 && code <= 0x1F169) ||
           (code >= 0x1F170 && code <= 0x1F189);
}

/* Bytes that print stand for themselves; the other 68, in order, for U+0100 and what follows. */
uint32_t bt_byte_to_letter(unsigned char byte)
{
    if (byte <= 0x20)
        return 0x100u + byte;
    if (byte >= 0x7F && byte <= 0xA0)
        return 0x121u + (byte - 0x7Fu);
    return byte == 0xAD ? 0x143 : byte;
}

int bt_letter_to_byte(uint32_t code)
{
    if (code >= 0x100 && code <= 0x120)
        return (int)code - 0x100;
    if (code >= 0x121 && code <= 0x142)
        return (int)code - 0x121 + 0x7F;
    if (code == 0x143)
        return 0xAD;
    return code <= 0xFF && bt_byte_to_letter((unsigned char)code) == code ? (int)code : -1;
}
