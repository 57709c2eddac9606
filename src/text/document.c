/* A record's bytes turned into text. */
#include <string.h>

#include "text/documents.h"
#include "text/utf8.h"

/* The offset of the first byte that is not part of UTF-8 text without NULs; `size` when there is none. */
static size_t find_bad_byte(const char *text, size_t size)
{
    const size_t valid = bt_utf8_valid(text, size);
    const char *nul = memchr(text, 0, valid);
    return nul ? (size_t)(nul - text) : valid;
}

static enum bt_err check_text(const struct bt_record *record, const char *path, struct bt_diag *diag)
{
    const size_t bad = find_bad_byte(record->data, record->size);
    uint64_t line = record->line;
    if (bad == record->size)
        return BT_OK;
    for (const char *p = record->data; (p = memchr(p, '\n', (size_t)(record->data + bad - p))); p++)
        line++;
    return bt_fail(diag, BT_EINPUT, "%s: line %llu, byte %llu: found %s 0x%02x, expected UTF-8 text", path,
                   (unsigned long long)line, (unsigned long long)(record->byte + bad),
                   record->data[bad] ? "the byte" : "a NUL byte,", (unsigned char)record->data[bad]);
}

static enum bt_err check_value(const struct bt_record *record, const char *path, const char *key, const json_t *value,
                               struct bt_diag *diag)
{
    const json_t *text = json_object_get(value, key);
    const unsigned long long line = record->line;
    if (!json_is_object(value))
        return bt_fail(diag, BT_EINPUT, "%s: line %llu: found JSON that is not an object, expected {\"%s\": \"...\"}",
                       path, line, key);
    if (!text)
        return bt_fail(diag, BT_EINPUT, "%s: line %llu: the object has no key \"%s\"", path, line, key);
    if (!json_is_string(text))
        return bt_fail(diag, BT_EINPUT, "%s: line %llu: the value of \"%s\" is not a string", path, line, key);
    return BT_OK;
}

enum bt_err bt_document_read(const struct bt_record *record, const char *path, const char *key,
                             struct bt_document *ret_document, struct bt_diag *diag)
{
    struct bt_document document = {.text = record->data, .size = record->size};
    enum bt_err err;
    if (record->format == BT_TEXT_PLAIN) {
        if (!(err = check_text(record, path, diag)))
            *ret_document = document;
        return err;
    }
    /* the parser refuses what is not UTF-8, lone surrogates and "\u0000" */
    if ((err = bt_json_parse_at(record->data, record->size, path, record->line, &document.value, diag)))
        return err;
    if ((err = check_value(record, path, key, document.value, diag))) {
        bt_document_finish(&document);
        return err;
    }
    const json_t *text = json_object_get(document.value, key);
    document.text = json_string_value(text);
    document.size = json_string_length(text);
    *ret_document = document;
    return BT_OK;
}

void bt_document_finish(struct bt_document *document)
{
    json_decref(document->value);
    *document = (struct bt_document){0};
}
