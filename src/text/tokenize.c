#include "text/tokenize.h"

#include <inttypes.h>
#include <omp.h>

#include "base/mem.h"
#include "text/bpe.h"
#include "text/document_batch.h"
#include "text/shard_set.h"
#include "text/tokenize_inputs.h"

struct item { /* what became of one of the batch's */
    uint64_t bytes;
    struct bt_labelled out; /* labels: of examples only */
    enum bt_err err;
};

struct batch {
    struct bt_document_batch documents;
    struct item *items; /* (BT_BATCH_DOCUMENTS) */
};

struct job {
    const struct bt_tokenize_options *options;
    struct bt_documents *documents;
    struct bt_tokenize_inputs inputs;
    struct bt_shard_set *shards;
    struct bt_tokenizer_scratch **scratch; /* (threads + 1): the last one is the writer's */
    struct batch batches[3];
    bool all_read;
    enum bt_err read_err, write_err;
    struct bt_diag read_diag, write_diag;
    struct bt_tokenize_report report;
};

static bool batch_init(struct batch *batch)
{
    batch->items = bt_zalloc(BT_BATCH_DOCUMENTS, sizeof *batch->items);
    return batch->items && bt_batch_init(&batch->documents);
}

static void batch_clear(struct batch *batch)
{
    for (size_t i = 0; i < batch->documents.count; i++) {
        bt_labelled_finish(&batch->items[i].out);
        batch->items[i] = (struct item){0};
    }
    bt_batch_clear(&batch->documents);
}

static void batch_finish(struct batch *batch)
{
    batch_clear(batch);
    bt_batch_finish(&batch->documents);
    bt_free(batch->items);
}

static enum bt_err push(struct bt_ids *ids, int32_t id, struct bt_diag *diag)
{
    return id == BT_NO_TOKEN || bt_ids_put(ids, &id, 1) ? BT_OK : bt_fail_nomem(diag);
}

/* The encoders know of no file. */
static enum bt_err say_place(const struct job *job, const struct bt_record *record, enum bt_err err,
                             const struct bt_diag *inner, struct bt_diag *diag)
{
    if (err == BT_EINPUT)
        return bt_fail(diag, err, "%s: line %llu: %s", bt_documents_input(job->documents, record->input)->path,
                       (unsigned long long)record->line, inner->text);
    return err ? bt_fail(diag, err, "%s", inner->text) : BT_OK;
}

/* The ids of a document with its separators; none when it is empty. */
static enum bt_err encode_text(const struct job *job, struct bt_tokenizer_scratch *scratch,
                               const struct bt_record *record, struct item *item, struct bt_diag *diag)
{
    const struct bt_tokenize_options *options = job->options;
    struct bt_document document = {0};
    struct bt_diag inner = {""};
    struct bt_ids *ids = &item->out.ids;
    enum bt_err err = bt_document_read(record, bt_documents_input(job->documents, record->input)->path, options->key,
                                       &document, diag);
    if (err)
        return err;
    if (document.size > 0) {
        err = push(ids, options->separators.before, &inner);
        if (!err)
            err = bt_tokenizer_encode(options->tokenizer, scratch, document.text, document.size, false, ids, &inner);
        if (!err)
            err = push(ids, options->separators.after, &inner);
    }
    item->bytes = document.size;
    bt_document_finish(&document);
    return say_place(job, record, err, &inner, diag);
}

static enum bt_err encode_example(const struct job *job, struct bt_tokenizer_scratch *scratch,
                                  const struct bt_record *record, struct item *item, struct bt_diag *diag)
{
    struct bt_example example = {0};
    struct bt_diag inner = {""};
    enum bt_err err = bt_example_read(record, bt_documents_input(job->documents, record->input)->path,
                                      job->inputs.forms[record->input], job->inputs.chat, &example, diag);
    if (err)
        return err;
    err = bt_example_encode(&example, job->inputs.chat, &job->options->separators, scratch, &item->out, &inner);
    item->bytes = example.bytes;
    bt_example_finish(&example);
    return say_place(job, record, err, &inner, diag);
}

static enum bt_err encode_item(const struct job *job, struct bt_tokenizer_scratch *scratch, const struct batch *batch,
                               size_t i, struct bt_diag *diag)
{
    struct bt_record record;
    const enum bt_err err = bt_batch_record(&batch->documents, i, &record, diag);
    if (err)
        return err;
    return job->inputs.forms[record.input] == BT_FORM_TEXT
               ? encode_text(job, scratch, &record, &batch->items[i], diag)
               : encode_example(job, scratch, &record, &batch->items[i], diag);
}

/* A document that failed: the thread that met it kept no sentence, so it is made here, in the order of documents. */
static enum bt_err write_failed(struct job *job, const struct batch *batch, size_t i, struct bt_diag *diag)
{
    struct bt_tokenize_report *report = &job->report;
    struct item *item = &batch->items[i];
    if (item->err == BT_ENOMEM)
        return bt_fail_nomem(diag);
    item->out.ids.count = 0;
    const enum bt_err err = encode_item(job, job->scratch[job->options->threads], batch, i, diag);
    if (err != BT_EINPUT)
        return err ? err : bt_fail_nomem(diag);
    if (!job->options->skip)
        return err;
    bt_note_skipped(&report->skipped, report->first_skipped, sizeof report->first_skipped, diag->text);
    return BT_OK;
}

static enum bt_err write_item(struct job *job, const struct batch *batch, size_t i, struct bt_diag *diag)
{
    struct bt_tokenize_progress *done = &job->report.done;
    const struct item *item = &batch->items[i];
    if (item->err)
        return write_failed(job, batch, i, diag);
    const size_t count = item->out.ids.count;
    if (count == 0) {
        job->report.empty++;
        return BT_OK;
    }
    done->documents++;
    done->bytes += item->bytes;
    done->tokens += count;
    for (size_t t = 0; job->inputs.chat && t < count; t++)
        job->report.labels += item->out.label[t];
    return bt_shard_set_add(job->shards, item->out.ids.at, job->inputs.chat ? item->out.label : NULL, count,
                            item->bytes, diag);
}

static enum bt_err write_batch(struct job *job, struct batch *batch, struct bt_diag *diag)
{
    enum bt_err err = BT_OK;
    for (size_t i = 0; !err && i < batch->documents.count; i++)
        err = write_item(job, batch, i, diag);
    batch_clear(batch);
    return err;
}

/* One round: three batches move on by one stage each. */
static void run_round(struct job *job, struct batch *to_read, struct batch *to_encode, struct batch *to_write)
{
    const struct bt_tokenize_options *options = job->options;
#pragma omp parallel num_threads(options->threads)
    {
#pragma omp single nowait
        job->read_err = bt_batch_read(&to_read->documents, job->documents, options->threads, options->skip,
                                      &job->all_read, &job->read_diag);
#pragma omp single nowait
        job->write_err = write_batch(job, to_write, &job->write_diag);
#pragma omp for schedule(dynamic)
        for (size_t i = 0; i < to_encode->documents.count; i++)
            to_encode->items[i].err = encode_item(job, job->scratch[omp_get_thread_num()], to_encode, i, NULL);
    }
}

static void tell_progress(struct job *job)
{
    job->report.done.position = bt_documents_position(job->documents);
    job->report.done.size = bt_documents_size(job->documents);
    if (job->options->progress)
        job->options->progress(job->options->context, &job->report.done);
}

static bool stop_asked(const struct bt_tokenize_options *options)
{
    return options->stop && options->stop(options->context);
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
        waiting = to_read->documents.count + to_encode->documents.count;
        tell_progress(job);
        if (waiting > 0 && stop_asked(job->options))
            return bt_fail(diag, BT_ESTOPPED,
                           "stopped after %" PRIu64 " documents had been tokenized; the same command starts them over",
                           job->report.done.documents);
    }
    return BT_OK;
}

/* Was what has been read what the caller meant? */
static enum bt_err check_hashes(const struct job *job, struct bt_diag *diag)
{
    const struct bt_tokenize_options *options = job->options;
    for (size_t i = 0; options->input_hashes && i < options->input_count; i++) {
        const struct bt_input *input = bt_documents_input(job->documents, i);
        if (input->hash != options->input_hashes[i])
            return bt_fail(diag, BT_EINPUT,
                           "%s: changed while it was read: its XXH3-64 is %016" PRIx64 ", expected %016" PRIx64,
                           input->path, input->hash, options->input_hashes[i]);
    }
    return BT_OK;
}

/* A chat format has its own tokens, which do not end documents. */
static struct bt_separators in_shards(const struct job *job)
{
    static const struct bt_separators none = {BT_NO_TOKEN, BT_NO_TOKEN};
    return job->inputs.chat && !bt_chat_is_none(job->inputs.chat) ? none : job->options->separators;
}

static enum bt_err write_manifest(struct job *job, struct bt_diag *diag)
{
    const struct bt_tokenize_options *options = job->options;
    struct bt_manifest manifest = {.tokenizer_path = options->tokenizer_path,
                                   .tokenizer_hash = bt_tokenizer_hash(options->tokenizer),
                                   .vocab_size = bt_tokenizer_vocab_size(options->tokenizer),
                                   .width = job->report.width,
                                   .separators = in_shards(job),
                                   .shard_tokens = options->shard_tokens,
                                   .key = options->key,
                                   .separator = options->separator,
                                   .chat_format = job->report.chat_format,
                                   .forms = job->inputs.forms,
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
        if (!batch_init(&job->batches[i]))
            err = bt_fail_nomem(diag);
    if (!err)
        err = bt_documents_open(options->inputs, options->input_count, options->format, options->separator,
                                &job->documents, diag);
    if (!err)
        err = bt_tokenize_inputs_find(options, &job->inputs, diag);
    job->report.chat_format = job->inputs.chat ? bt_chat_name(job->inputs.chat) : NULL;
    if (!err)
        err = bt_shard_set_open(options->prefix, job->report.width, options->shard_tokens, &job->shards, diag);
    return err;
}

static void job_close(struct job *job)
{
    bt_shard_set_close(job->shards);
    bt_documents_close(job->documents);
    bt_tokenize_inputs_finish(&job->inputs);
    for (int i = 0; i < 3; i++)
        batch_finish(&job->batches[i]);
    for (int i = 0; job->scratch && i <= job->options->threads; i++)
        bt_tokenizer_scratch_destroy(job->scratch[i]);
    bt_free(job->scratch);
}

/* Where everything was passed over, the reason is worth more than that nothing is left. */
static enum bt_err check_any(const struct job *job, struct bt_diag *diag)
{
    const struct bt_tokenize_report *report = &job->report;
    if (report->skipped == 0 || report->done.documents > 0)
        return BT_OK;
    return bt_fail(diag, BT_EINPUT, "no document could be read, %" PRIu64 " were skipped, the first: %s",
                   report->skipped, report->first_skipped);
}

enum bt_err bt_tokenize(const struct bt_tokenize_options *options, struct bt_tokenize_report *ret_report,
                        struct bt_diag *diag)
{
    struct job job = {.options = options};
    enum bt_err err = job_open(&job, diag);
    if (!err)
        err = run_rounds(&job, diag);
    if (!err)
        err = check_hashes(&job, diag);
    if (!err)
        err = check_any(&job, diag);
    if (!err)
        err = bt_shard_set_finish(job.shards, diag);
    if (!err)
        err = write_manifest(&job, diag);
    if (!err)
        *ret_report = job.report;
    job_close(&job);
    return err;
}
