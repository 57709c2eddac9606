/* One document as it stands in its file. Its first byte says of which kind: a line of JSON, or plain text. */
#include "fuzz.h"

#include "text/documents.h"
#include "text/utf8.h"

enum bt_err fuzz_read(const uint8_t *data, size_t size, struct bt_diag *diag)
{
    if (size == 0)
        return BT_OK;
    const struct bt_record record = {.data = (const char *)data + 1,
                                     .size = size - 1,
                                     .format = data[0] & 1 ? BT_TEXT_JSONL : BT_TEXT_PLAIN,
                                     .line = 1};
    struct bt_document document = {0};
    const enum bt_err err = bt_document_read(&record, "a.jsonl", "text", &document, diag);
    FUZZ_CHECK(err || bt_utf8_valid(document.text, document.size) == document.size);
    bt_document_finish(&document);
    return err;
}
