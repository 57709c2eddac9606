#include "text/document_batch.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"

bool bt_batch_init(struct bt_document_batch *batch)
{
    batch->items = bt_zalloc(BT_BATCH_DOCUMENTS, sizeof *batch->items);
    return batch->items;
}

void bt_batch_clear(struct bt_document_batch *batch)
{
    for (size_t i = 0; i < batch->count; i++)
        bt_free(batch->items[i].damage);
    batch->count = batch->size = 0;
}

void bt_batch_finish(struct bt_document_batch *batch)
{
    bt_batch_clear(batch);
    bt_free(batch->items);
    bt_free(batch->text);
    *batch = (struct bt_document_batch){0};
}

/* Copies the record's bytes. */
static bool add_record(struct bt_document_batch *batch, const struct bt_record *record)
{
    if (record->size > batch->room - batch->size) {
        const size_t wider =
            batch->size + record->size > 2 * batch->room ? batch->size + record->size : 2 * batch->room;
        char *larger = bt_realloc(batch->text, wider, 1);
        if (!larger)
            return false;
        batch->text = larger;
        batch->room = wider;
    }
    memcpy(batch->text + batch->size, record->data, record->size);
    batch->items[batch->count++] = (struct bt_batch_item){.record = *record, .offset = batch->size};
    batch->size += record->size;
    return true;
}

static bool add_damage(struct bt_document_batch *batch, const struct bt_diag *diag)
{
    char *damage = bt_strdup(diag->text);
    if (damage)
        batch->items[batch->count++] = (struct bt_batch_item){.damage = damage};
    return damage != NULL;
}

enum bt_err bt_batch_read(struct bt_document_batch *batch, struct bt_documents *documents, int threads, bool skip,
                          bool *all_read, struct bt_diag *diag)
{
    const size_t limit = BT_BATCH_BYTES * (size_t)threads;
    while (!*all_read && batch->size < limit && batch->count < BT_BATCH_DOCUMENTS) {
        struct bt_record record = {0};
        struct bt_diag inner = {""}; /* the caller's may be NULL, and the sentence is wanted */
        const enum bt_err err = bt_documents_next(documents, &record, &inner);
        if (err && err != BT_EINPUT)
            return bt_fail(diag, err, "%s", inner.text);
        if (err && !add_damage(batch, &inner))
            return bt_fail_nomem(diag);
        if (!err && record.data && !add_record(batch, &record))
            return bt_fail_nomem(diag);
        *all_read = err ? !skip : !record.data;
    }
    return BT_OK;
}

enum bt_err bt_batch_record(const struct bt_document_batch *batch, size_t i, struct bt_record *ret_record,
                            struct bt_diag *diag)
{
    const struct bt_batch_item *item = &batch->items[i];
    if (item->damage)
        return bt_fail(diag, BT_EINPUT, "%s", item->damage);
    *ret_record = item->record;
    ret_record->data = batch->text + item->offset;
    return BT_OK;
}

enum bt_err bt_batch_document(const struct bt_document_batch *batch, size_t i, const struct bt_documents *documents,
                              const char *key, struct bt_document *ret_document, struct bt_diag *diag)
{
    struct bt_record record;
    const enum bt_err err = bt_batch_record(batch, i, &record, diag);
    if (err)
        return err;
    return bt_document_read(&record, bt_documents_input(documents, record.input)->path, key, ret_document, diag);
}

void bt_note_skipped(uint64_t *count, char *first, size_t first_size, const char *sentence)
{
    if ((*count)++ == 0)
        snprintf(first, first_size, "%.*s", (int)first_size - 1, sentence);
}
