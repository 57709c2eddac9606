/* text/documents.h - documents out of text files, one after the other, whatever their size.
 *
 *   .txt     documents end at a line that is the separator; without a separator the file is one document, as it is.
 *            The line break before the separator's line and the one at the end of the file are not part of a document,
 *            and an empty document is none.
 *   .jsonl   a JSON object a line, the document under a key of it; blank lines are passed over
 *
 * Each may be compressed (io/stream.h). A byte-order mark at the beginning of a file is dropped. Reading gives records,
 * the bytes of a document as they stand in the file; turning those into text is apart from it, so that many threads can
 * do that. */
#ifndef BT_TEXT_DOCUMENTS_H
#define BT_TEXT_DOCUMENTS_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "io/json.h"

enum bt_text_format { BT_TEXT_PLAIN, BT_TEXT_JSONL };
/* By its name; BT_EINPUT when it ends neither in .txt nor in .jsonl, compressed or not. */
enum bt_err bt_text_format_of(const char *path, enum bt_text_format *ret_format, struct bt_diag *diag);

struct bt_record {
    const char *data; /* borrowed until the next record is read; not terminated. NULL: there is none left */
    size_t size;
    size_t input; /* number of its file */
    enum bt_text_format format;
    uint64_t line, byte; /* of the uncompressed text, where it begins; from 1 and from 0 */
};

/* Opens each file once to see that it is there. format: of all of them; NULL: as their names say. paths and separator
 * (NULL: none) are borrowed. */
struct bt_documents;
enum bt_err bt_documents_open(const char *const *paths, size_t count, const enum bt_text_format *format,
                              const char *separator, struct bt_documents **ret_documents, struct bt_diag *diag);
/* BT_EINPUT when the rest of a file cannot be read, for instance because compressed data were cut; the call after that
 * goes on with the next file. */
enum bt_err bt_documents_next(struct bt_documents *documents, struct bt_record *ret_record, struct bt_diag *diag);
void bt_documents_close(struct bt_documents *documents); /* takes NULL */

/* Bytes of the files, compressed: read so far, and of all together. */
uint64_t bt_documents_position(const struct bt_documents *documents);
uint64_t bt_documents_size(const struct bt_documents *documents);

struct bt_input { /* a file, complete once it has been read to its end */
    const char *path;
    uint64_t bytes, hash; /* as it lies on the disk; XXH3-64 */
    uint64_t records;
};
const struct bt_input *bt_documents_input(const struct bt_documents *documents, size_t i);

/* The text of a document. */
struct bt_document {
    const char *text; /* UTF-8 without NUL; lies in the record or in `value` */
    size_t size;
    json_t *value; /* what a line of JSON was parsed into, or NULL */
};
/* BT_EINPUT naming file, line and byte or column: not UTF-8, a NUL byte, not JSON, not an object, no such key, not a
 * string. path is that of the record's file. Threads may do this at the same time. */
enum bt_err bt_document_read(const struct bt_record *record, const char *path, const char *key,
                             struct bt_document *ret_document, struct bt_diag *diag);
void bt_document_finish(struct bt_document *document);

#endif
