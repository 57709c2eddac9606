/* text/document_batch.h - records read ahead of the threads that turn them into text: the bytes of many documents in
 * one block. */
#ifndef BT_TEXT_DOCUMENT_BATCH_H
#define BT_TEXT_DOCUMENT_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "text/documents.h"

/* A batch is full at so many bytes of text a thread, or at so many documents. */
#define BT_BATCH_BYTES     ((size_t)1 << 20)
#define BT_BATCH_DOCUMENTS ((size_t)1 << 15)

struct bt_batch_item {
    struct bt_record record; /* its data are text[offset] of the batch */
    size_t offset;
    char *damage; /* in place of a record: why the rest of a file cannot be read */
};

struct bt_document_batch { /* zeroed: not made yet */
    char *text;
    size_t size, room;
    struct bt_batch_item *items; /* (BT_BATCH_DOCUMENTS) */
    size_t count;
};

bool bt_batch_init(struct bt_document_batch *batch); /* false when memory is out */
void bt_batch_finish(struct bt_document_batch *batch);
void bt_batch_clear(struct bt_document_batch *batch);

/* Fills an empty batch. What cannot be read takes the place of a document, so that it is told in its turn; skip:
 * reading goes on behind it. *all_read is set at the end of the inputs, and then nothing more is read. */
enum bt_err bt_batch_read(struct bt_document_batch *batch, struct bt_documents *documents, int threads, bool skip,
                          bool *all_read, struct bt_diag *diag);

/* The record of an item, or why there is none: what bt_documents_next said. */
enum bt_err bt_batch_record(const struct bt_document_batch *batch, size_t i, struct bt_record *ret_record,
                            struct bt_diag *diag);
/* The text of an item, or why there is none: bt_document_read. Threads may do this at the same time. */
enum bt_err bt_batch_document(const struct bt_document_batch *batch, size_t i, const struct bt_documents *documents,
                              const char *key, struct bt_document *ret_document, struct bt_diag *diag);

/* Counts what is left out, and keeps the sentence of the first one, cut. */
void bt_note_skipped(uint64_t *count, char *first, size_t first_size, const char *sentence);

#endif
