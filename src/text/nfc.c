#include "text/nfc.h"

#include <string.h>

#include <utf8proc.h>

#include "base/mem.h"
#include "text/utf8.h"

#define MOST_PARTS 4 /* characters in a canonical decomposition (UAX #15, table 8) */

/* What combines or decomposes since a later version of Unicode than 9, first and last of each stretch. */
static const int32_t later[][2] = {
    {0x7FD, 0x7FD},     {0x898, 0x89F},     {0x8CA, 0x8D3},     {0x9FE, 0x9FE},     {0xC3C, 0xC3C},
    {0xD3B, 0xD3C},     {0xEBA, 0xEBA},     {0x1715, 0x1715},   {0x1ABF, 0x1ACE},   {0x1DF6, 0x1DFA},
    {0xA82C, 0xA82C},   {0x10D24, 0x10D27}, {0x10EAB, 0x10EAC}, {0x10EFD, 0x10EFF}, {0x10F46, 0x10F50},
    {0x10F82, 0x10F85}, {0x11070, 0x11070}, {0x1133B, 0x1133B}, {0x1145E, 0x1145E}, {0x11839, 0x1183A},
    {0x11938, 0x11938}, {0x1193D, 0x1193E}, {0x11943, 0x11943}, {0x119E0, 0x119E0}, {0x11A34, 0x11A34},
    {0x11A47, 0x11A47}, {0x11A99, 0x11A99}, {0x11D42, 0x11D42}, {0x11D44, 0x11D45}, {0x11D97, 0x11D97},
    {0x11F41, 0x11F42}, {0x16FF0, 0x16FF1}, {0x1E08F, 0x1E08F}, {0x1E130, 0x1E136}, {0x1E2AE, 0x1E2AE},
    {0x1E2EC, 0x1E2EF}, {0x1E4EC, 0x1E4EF}};

static bool is_later(int32_t code)
{
    size_t low = 0, high = sizeof later / sizeof *later;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        if (later[middle][1] < code)
            low = middle + 1;
        else
            high = middle;
    }
    return low < sizeof later / sizeof *later && later[low][0] <= code;
}

static unsigned class_of(int32_t code)
{
    const unsigned class = (unsigned)utf8proc_get_property(code)->combining_class;
    return class && !is_later(code) ? class : 0;
}

static utf8proc_ssize_t decompose(int32_t code, int32_t *parts)
{
    int unused = 0;
    return utf8proc_decompose_char(code, parts, MOST_PARTS, UTF8PROC_DECOMPOSE | UTF8PROC_STABLE, &unused);
}

static utf8proc_ssize_t compose(int32_t *codes, size_t count)
{
    return utf8proc_normalize_utf32(codes, (utf8proc_ssize_t)count, UTF8PROC_COMPOSE | UTF8PROC_STABLE);
}

static void set_slow(struct bt_nfc *nfc, uint32_t code)
{
    if (code < BT_NFC_CODES)
        nfc->quick[code / 64] &= ~(UINT64_C(1) << code % 64);
}

void bt_nfc_init(struct bt_nfc *nfc)
{
    memset(nfc->quick, 0xFF, sizeof nfc->quick);
    for (uint32_t code = 0; code < BT_NFC_CODES; code++) {
        int32_t parts[MOST_PARTS], last;
        const bool skip = (code >= 0xD800 && code < 0xE000) || is_later((int32_t)code);
        const utf8proc_ssize_t count = skip ? 0 : decompose((int32_t)code, parts);
        if (count < 1)
            continue;
        last = parts[count - 1];
        const bool itself = compose(parts, (size_t)count) == 1 && parts[0] == (int32_t)code;
        if (!itself || class_of((int32_t)code) != 0)
            set_slow(nfc, code);
        if (itself && count > 1) /* so this one joins with what stands in front of it */
            set_slow(nfc, (uint32_t)last);
    }
}

void bt_nfc_scratch_finish(struct bt_nfc_scratch *scratch)
{
    bt_free(scratch->codes);
    bt_free(scratch->sorted);
    *scratch = (struct bt_nfc_scratch){0};
}

static bool is_quick(const struct bt_nfc *nfc, uint32_t code)
{
    return code < BT_NFC_CODES && (nfc->quick[code / 64] >> code % 64 & 1);
}

/* The start of the first character that is not quick; the text's size when all are. */
static size_t first_slow(const struct bt_nfc *nfc, const char *text, size_t size, size_t at)
{
    while (at < size) {
        uint32_t code;
        const size_t length = bt_utf8_take(text + at, &code);
        if (length > 1 && !is_quick(nfc, code))
            return at;
        at += length;
    }
    return at;
}

size_t bt_nfc_quick_prefix(const struct bt_nfc *nfc, const char *text, size_t size)
{
    const size_t slow = first_slow(nfc, text, size, 0);
    return slow == size || slow == 0 ? slow : bt_utf8_before(text, slow); /* what may be joined with it */
}

static bool reserve(struct bt_nfc_scratch *scratch, size_t count)
{
    if (count <= scratch->capacity)
        return true;
    bt_nfc_scratch_finish(scratch);
    scratch->codes = bt_zalloc(count, sizeof *scratch->codes);
    scratch->sorted = bt_zalloc(count, sizeof *scratch->sorted);
    scratch->capacity = scratch->codes && scratch->sorted ? count : 0;
    return scratch->capacity > 0;
}

/* Stable, by combining class; by counting, since hostile text has long runs of marks. */
static void sort_marks(int32_t *codes, int32_t *sorted, size_t count)
{
    size_t next[257] = {0};
    for (size_t i = 0; i < count; i++)
        next[class_of(codes[i]) + 1]++;
    for (size_t c = 1; c < 257; c++)
        next[c] += next[c - 1];
    for (size_t i = 0; i < count; i++)
        sorted[next[class_of(codes[i])]++] = codes[i];
    memcpy(codes, sorted, count * sizeof *codes);
}

/* Canonical ordering: every run of characters of classes other than 0, by class. */
static void order(int32_t *codes, int32_t *sorted, size_t count)
{
    for (size_t start = 0, end; start < count; start = end + 1) {
        for (end = start; end < count && class_of(codes[end]) != 0; end++)
            ;
        if (end - start > 1)
            sort_marks(codes + start, sorted, end - start);
    }
}

/* A stretch that neither side of it joins with. */
static bool put_stretch(struct bt_nfc_scratch *scratch, struct bt_buffer *out, const char *text, size_t size)
{
    size_t count = 0;
    if (!reserve(scratch, MOST_PARTS * size))
        return false;
    for (size_t at = 0; at < size;) {
        uint32_t code;
        at += bt_utf8_take(text + at, &code);
        count += (size_t)decompose((int32_t)code, scratch->codes + count);
    }
    order(scratch->codes, scratch->sorted, count);
    count = (size_t)compose(scratch->codes, count);
    if (!bt_buffer_reserve(out, 4 * count))
        return false;
    for (size_t i = 0; i < count; i++)
        out->size += bt_utf8_put((uint32_t)scratch->codes[i], out->at + out->size);
    return true;
}

/* The first quick character behind the slow one at `at`. */
static size_t next_quick(const struct bt_nfc *nfc, const char *text, size_t size, size_t at)
{
    while (at < size) {
        uint32_t code;
        const size_t length = bt_utf8_take(text + at, &code);
        if (is_quick(nfc, code))
            break;
        at += length;
    }
    return at;
}

bool bt_nfc_put(const struct bt_nfc *nfc, struct bt_nfc_scratch *scratch, struct bt_buffer *out, const char *text,
                size_t size)
{
    for (size_t done = 0; done < size;) {
        const size_t slow = first_slow(nfc, text, size, done);
        /* the character in front of a slow one may be joined with it */
        const size_t start = slow == size || slow == done ? slow : bt_utf8_before(text, slow);
        if (!bt_buffer_put(out, text + done, start - done))
            return false;
        done = next_quick(nfc, text, size, slow);
        if (!put_stretch(scratch, out, text + start, done - start))
            return false;
    }
    return true;
}
