#include "text/tokenize.h"

#include <omp.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "text/documents.h"
#include "text/shard_set.h"

/* A batch is full at so many bytes of text a thread, or at so many documents. */
#define BATCH_BYTES     ((size_t)1 << 20)
#define BATCH_DOCUMENTS ((size_t)1 << 15)

struct item {
    struct bt_record record; /* its data are text[offset] of the batch */
    size_t offset;
    char *damage; /* in place of a record: why the rest of a file cannot be read */
    uint64_t bytes;
    struct bt_ids ids;
    enum bt_err err;
};

struct batch {
    char *text;
    size_t size, room;
    struct item *items; /* (BATCH_DOCUMENTS) */
    size_t count;
};

struct job {
    const struct bt_tokenize_options *options;
    struct bt_documents *documents;
    struct bt_shard_set *shards;
    struct bt_tokenizer_scratch **scratch; /* (threads + 1): the last one is the writer's */
    struct batch batches[3];
    bool all_read;
    enum bt_err read_err, write_err;
    struct bt_diag read_diag, write_diag;
    struct bt_tokenize_report report;
};

static void item_finish(struct item *item)
{
    bt_free(item->damage);
    bt_ids_finish(&item->ids);
    *item = (struct item){0};
}

static void batch_clear(struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++)
        item_finish(&batch->items[i]);
    batch->count = batch->size = 0;
}

/* Copies the record's bytes. */
static bool batch_add(struct batch *batch, const struct bt_record *record)
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
    batch->items[batch->count++] = (struct item){.record = *record, .offset = batch->size};
    batch->size += record->size;
    return true;
}

/* What cannot be read takes the place of a document, so that it is told in its turn. */
static bool batch_add_damage(struct batch *batch, const struct bt_diag *diag)
{
    char *damage = bt_strdup(diag->text);
    if (damage)
        batch->items[batch->count++] = (struct item){.damage = damage, .err = BT_EINPUT};
    return damage != NULL;
}

static enum bt_err read_batch(struct job *job, struct batch *batch, struct bt_diag *diag)
{
    const size_t limit = BATCH_BYTES * (size_t)job->options->threads;
    while (!job->all_read && batch->size < limit && batch->count < BATCH_DOCUMENTS) {
        struct bt_record record = {0};
        const enum bt_err err = bt_documents_next(job->documents, &record, diag);
        if (err && err != BT_EINPUT)
            return err;
        if (err && !batch_add_damage(batch, diag))
            return bt_fail_nomem(diag);
        if (!err && record.data && !batch_add(batch, &record))
            return bt_fail_nomem(diag);
        job->all_read = err ? !job->options->skip : !record.data;
    }
    return BT_OK;
}

static enum bt_err push(struct bt_ids *ids, int32_t id, struct bt_diag *diag)
{
    if (id == BT_NO_TOKEN)
        return BT_OK;
    if (ids->count == ids->capacity) {
        const size_t capacity = 2 * ids->capacity + 16;
        int32_t *larger = bt_realloc(ids->at, capacity, sizeof *larger);
        if (!larger)
            return bt_fail_nomem(diag);
        ids->at = larger;
        ids->capacity = capacity;
    }
    ids->at[ids->count++] = id;
    return BT_OK;
}

static const char *path_of(const struct job *job, const struct item *item)
{
    return bt_documents_input(job->documents, item->record.input)->path;
}

/* The encoder knows of no file. */
static enum bt_err encode_text(const struct job *job, struct bt_tokenizer_scratch *scratch, struct item *item,
                               const struct bt_document *document, struct bt_diag *diag)
{
    struct bt_diag inner = {""};
    const enum bt_err err = bt_tokenizer_encode(job->options->tokenizer, scratch, document->text, document->size, false,
                                                &item->ids, &inner);
    if (err == BT_EINPUT)
        return bt_fail(diag, err, "%s: line %llu: %s", path_of(job, item), (unsigned long long)item->record.line,
                       inner.text);
    return err ? bt_fail(diag, err, "%s", inner.text) : BT_OK;
}

/* The ids of a document with its separators; none when it is empty. */
static enum bt_err encode_item(const struct job *job, struct bt_tokenizer_scratch *scratch, const struct batch *batch,
                               struct item *item, struct bt_diag *diag)
{
    const struct bt_tokenize_options *options = job->options;
    struct bt_document document = {0};
    struct bt_record record = item->record;
    record.data = batch->text + item->offset;
    enum bt_err err = bt_document_read(&record, path_of(job, item), options->key, &document, diag);
    if (err)
        return err;
    if (document.size > 0) {
        err = push(&item->ids, options->separators.before, diag);
        if (!err)
            err = encode_text(job, scratch, item, &document, diag);
        if (!err)
            err = push(&item->ids, options->separators.after, diag);
    }
    item->bytes = document.size;
    bt_document_finish(&document);
    return err;
}

/* The first sentence is kept. */
static void count_skipped(struct job *job, const char *sentence)
{
    struct bt_tokenize_report *report = &job->report;
    if (report->skipped++ == 0)
        snprintf(report->first_skipped, sizeof report->first_skipped, "%.*s", (int)sizeof report->first_skipped - 1,
                 sentence);
}

/* A document that failed: the thread that met it kept no sentence, so it is made here, in the order of documents. */
static enum bt_err write_failed(struct job *job, const struct batch *batch, struct item *item, struct bt_diag *diag)
{
    if (item->err == BT_ENOMEM)
        return bt_fail_nomem(diag);
    if (item->damage) {
        bt_fail(diag, item->err, "%s", item->damage);
    } else {
        item->ids.count = 0;
        const enum bt_err err = encode_item(job, job->scratch[job->options->threads], batch, item, diag);
        if (err != BT_EINPUT)
            return err ? err : bt_fail_nomem(diag);
    }
    if (!job->options->skip)
        return item->err;
    count_skipped(job, diag->text);
    return BT_OK;
}

static enum bt_err write_item(struct job *job, const struct batch *batch, struct item *item, struct bt_diag *diag)
{
    struct bt_tokenize_progress *done = &job->report.done;
    if (item->err)
        return write_failed(job, batch, item, diag);
    if (item->ids.count == 0) {
        job->report.empty++;
        return BT_OK;
    }
    done->documents++;
    done->bytes += item->bytes;
    done->tokens += item->ids.count;
    return bt_shard_set_add(job->shards, item->ids.at, item->ids.count, item->bytes, diag);
}

static enum bt_err write_batch(struct job *job, struct batch *batch, struct bt_diag *diag)
{
    enum bt_err err = BT_OK;
    for (size_t i = 0; !err && i < batch->count; i++)
        err = write_item(job, batch, &batch->items[i], diag);
    batch_clear(batch);
    return err;
}

/* One round: three batches move on by one stage each. */
static void run_round(struct job *job, struct batch *to_read, struct batch *to_encode, struct batch *to_write)
{
#pragma omp parallel num_threads(job->options->threads)
    {
#pragma omp single nowait
        job->read_err = read_batch(job, to_read, &job->read_diag);
#pragma omp single nowait
        job->write_err = write_batch(job, to_write, &job->write_diag);
#pragma omp for schedule(dynamic)
        for (size_t i = 0; i < to_encode->count; i++) {
            struct item *item = &to_encode->items[i];
            if (!item->damage)
                item->err = encode_item(job, job->scratch[omp_get_thread_num()], to_encode, item, NULL);
        }
    }
}

static void tell_progress(struct job *job)
{
    job->report.done.position = bt_documents_position(job->documents);
    job->report.done.size = bt_documents_size(job->documents);
    if (job->options->progress)
        job->options->progress(job->options->context, &job->report.done);
}

/* What comes earlier in the inputs is told first. */
static enum bt_err round_error(const struct job *job, struct bt_diag *diag)
{
    const bool writing = job->write_err != BT_OK;
    const enum bt_err err = writing ? job->write_err : job->read_err;
    return err ? bt_fail(diag, err, "%s", writing ? job->write_diag.text : job->read_diag.text) : BT_OK;
}

static enum bt_err run_rounds(struct job *job, struct bt_diag *diag)
{
    size_t waiting = 1;
    for (size_t round = 0; waiting > 0; round++) {
        struct batch *to_read = &job->batches[round % 3], *to_encode = &job->batches[(round + 2) % 3];
        run_round(job, to_read, to_encode, &job->batches[(round + 1) % 3]);
        const enum bt_err err = round_error(job, diag);
        if (err)
            return err;
        waiting = to_read->count + to_encode->count;
        tell_progress(job);
    }
    return BT_OK;
}

static enum bt_err write_manifest(struct job *job, struct bt_diag *diag)
{
    const struct bt_tokenize_options *options = job->options;
    struct bt_manifest manifest = {.tokenizer_path = options->tokenizer_path,
                                   .tokenizer_hash = bt_tokenizer_hash(options->tokenizer),
                                   .vocab_size = bt_tokenizer_vocab_size(options->tokenizer),
                                   .width = job->report.width,
                                   .separators = options->separators,
                                   .shard_tokens = options->shard_tokens,
                                   .key = options->key,
                                   .separator = options->separator,
                                   .skip = options->skip,
                                   .skipped = job->report.skipped,
                                   .empty = job->report.empty,
                                   .documents = job->documents,
                                   .input_count = options->input_count};
    manifest.shards = bt_shard_set_entries(job->shards, &manifest.shard_count);
    job->report.shards = manifest.shard_count;
    return bt_manifest_write(options->prefix, &manifest, diag);
}

static enum bt_err job_open(struct job *job, struct bt_diag *diag)
{
    const struct bt_tokenize_options *options = job->options;
    job->report.width = bt_tokenizer_vocab_size(options->tokenizer) <= UINT16_MAX + 1 ? 2 : 4;
    job->scratch = bt_zalloc((size_t)options->threads + 1, sizeof *job->scratch);
    enum bt_err err = job->scratch ? BT_OK : bt_fail_nomem(diag);
    for (int i = 0; !err && i <= options->threads; i++)
        err = bt_tokenizer_scratch_create(options->tokenizer, &job->scratch[i], diag);
    for (int i = 0; !err && i < 3; i++)
        if (!(job->batches[i].items = bt_zalloc(BATCH_DOCUMENTS, sizeof *job->batches[i].items)))
            err = bt_fail_nomem(diag);
    if (!err)
        err = bt_documents_open(options->inputs, options->input_count, options->separator, &job->documents, diag);
    if (!err)
        err = bt_shard_set_open(options->prefix, job->report.width, options->shard_tokens, &job->shards, diag);
    return err;
}

static void job_close(struct job *job)
{
    bt_shard_set_close(job->shards);
    bt_documents_close(job->documents);
    for (int i = 0; i < 3; i++) {
        batch_clear(&job->batches[i]);
        bt_free(job->batches[i].items);
        bt_free(job->batches[i].text);
    }
    for (int i = 0; job->scratch && i <= job->options->threads; i++)
        bt_tokenizer_scratch_destroy(job->scratch[i]);
    bt_free(job->scratch);
}

enum bt_err bt_tokenize(const struct bt_tokenize_options *options, struct bt_tokenize_report *ret_report,
                        struct bt_diag *diag)
{
    struct job job = {.options = options};
    enum bt_err err = job_open(&job, diag);
    if (!err)
        err = run_rounds(&job, diag);
    if (!err)
        err = bt_shard_set_finish(job.shards, diag);
    if (!err)
        err = write_manifest(&job, diag);
    if (!err)
        *ret_report = job.report;
    job_close(&job);
    return err;
}
