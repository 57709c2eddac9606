/* A file of documents. Its first byte says of which kind; text and JSON, plain and compressed. */
#include "fuzz.h"

#include <string.h>

#include "text/documents.h"
#include "text/utf8.h"

static enum bt_err read_text(const struct bt_record *record, const char *path, struct bt_diag *diag)
{
    struct bt_document document = {0};
    const enum bt_err err = bt_document_read(record, path, "text", &document, diag);
    FUZZ_CHECK(err || bt_utf8_valid(document.text, document.size) == document.size);
    bt_document_finish(&document);
    return err;
}

enum bt_err fuzz_read(const uint8_t *data, size_t size, struct bt_diag *diag)
{
    static const char *const names[] = {"a.txt", "a.jsonl", "a.txt.gz", "a.jsonl.zst"};
    if (size == 0)
        return BT_OK;
    const char *path = fuzz_file(names[data[0] % 4], data + 1, size - 1);
    struct bt_documents *documents = NULL;
    struct bt_record record = {0};
    enum bt_err err = bt_documents_open(&path, 1, NULL, data[0] & 4 ? NULL : "--", &documents, diag);
    while (!err && !(err = bt_documents_next(documents, &record, diag)) && record.data)
        err = read_text(&record, path, diag);
    bt_documents_close(documents);
    return err;
}
