#include "text/nfc.h"

#include <string.h>

#include <utf8proc.h>

#include "base/mem.h"
#include "text/utf8.h"

#define MOST_PARTS 4 /* characters in a canonical decomposition (UAX #15, table 8) */

static unsigned class_of(int32_t code)
{
    return (unsigned)utf8proc_get_property(code)->combining_class;
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
        const utf8proc_ssize_t count = code >= 0xD800 && code < 0xE000 ? 0 : decompose((int32_t)code, parts);
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
