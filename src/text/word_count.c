#include "text/word_count.h"

#include <omp.h>

#include "base/mem.h"
#include "text/document_batch.h"

/* What one thread counts. */
struct counter {
    struct bt_word_table words;
    struct bt_pre_scratch scratch;
    uint64_t documents, bytes, count;
    size_t longest;
};

struct job {
    const struct bt_word_count_options *options;
    struct bt_documents *documents;
    struct counter *counters; /* (threads) */
    struct bt_document_batch batches[2];
    enum bt_err *errors; /* (BT_BATCH_DOCUMENTS): of the batch that is counted */
    bool all_read;
    enum bt_err read_err;
    struct bt_diag read_diag;
    struct bt_word_count_report report;
};

static enum bt_err count_part(struct counter *counter, const char *word, size_t size, struct bt_diag *diag)
{
    struct bt_word *entry = bt_word_table_enter(&counter->words, word, size);
    if (!entry)
        return bt_fail_nomem(diag);
    entry->count++;
    counter->count++;
    return BT_OK;
}

static enum bt_err count_word(void *context, const char *word, size_t size, struct bt_diag *diag)
{
    struct counter *counter = context;
    enum bt_err err = BT_OK;
    while (!err && size > counter->longest) {
        size_t cut = counter->longest;
        while (((unsigned char)word[cut] & 0xC0) == 0x80) /* inside of a character */
            cut--;
        err = count_part(counter, word, cut, diag);
        word += cut;
        size -= cut;
    }
    return err ? err : count_part(counter, word, size, diag);
}

static enum bt_err pass_word(void *context, const char *word, size_t size, struct bt_diag *diag)
{
    (void)context, (void)word, (void)size, (void)diag;
    return BT_OK;
}

/* Gives the words of a document to take. */
static enum bt_err visit_words(const struct job *job, struct counter *counter, const struct bt_document_batch *batch,
                               size_t i, bt_word_fn *take, struct bt_diag *diag)
{
    struct bt_document document = {0};
    struct bt_diag inner = {""};
    enum bt_err err = bt_batch_document(batch, i, job->documents, job->options->key, &document, diag);
    if (err)
        return err;
    const struct bt_record *record = &batch->items[i].record;
    err = bt_pre_tokenizer_run(job->options->pre, &counter->scratch, document.text, document.size, true, take, counter,
                               &inner);
    if (err) /* the patterns know of no file */
        bt_fail(diag, err, "%s: line %llu: %s", bt_documents_input(job->documents, record->input)->path,
                (unsigned long long)record->line, inner.text);
    if (!err && take == count_word) {
        counter->documents += document.size > 0;
        counter->bytes += document.size;
    }
    bt_document_finish(&document);
    return err;
}

/* One batch is read while another one is counted. */
static void run_round(struct job *job, struct bt_document_batch *to_read, const struct bt_document_batch *to_count)
{
    const struct bt_word_count_options *options = job->options;
#pragma omp parallel num_threads(options->threads)
    {
#pragma omp single nowait
        job->read_err =
            bt_batch_read(to_read, job->documents, options->threads, options->skip, &job->all_read, &job->read_diag);
#pragma omp for schedule(dynamic)
        for (size_t i = 0; i < to_count->count; i++)
            job->errors[i] = visit_words(job, &job->counters[omp_get_thread_num()], to_count, i, count_word, NULL);
    }
}

/* Of the documents that failed, the sentences of those that count: the threads that met them kept none. */
static enum bt_err tell_failures(struct job *job, const struct bt_document_batch *batch, struct bt_diag *diag)
{
    struct bt_word_count_report *report = &job->report;
    struct bt_diag inner = {""}; /* the caller's may be NULL */
    for (size_t i = 0; i < batch->count; i++) {
        if (!job->errors[i])
            continue;
        if (job->errors[i] != BT_EINPUT)
            return bt_fail_nomem(diag);
        const enum bt_err err = visit_words(job, &job->counters[0], batch, i, pass_word, &inner);
        if (err != BT_EINPUT)
            return err ? bt_fail(diag, err, "%s", inner.text) : bt_fail_nomem(diag);
        if (!job->options->skip)
            return bt_fail(diag, err, "%s", inner.text);
        bt_note_skipped(&report->skipped, report->first_skipped, sizeof report->first_skipped, inner.text);
    }
    return BT_OK;
}

static void sum_up(struct job *job)
{
    struct bt_word_count_progress *done = &job->report.done;
    *done = (struct bt_word_count_progress){.position = bt_documents_position(job->documents),
                                            .size = bt_documents_size(job->documents)};
    for (int i = 0; i < job->options->threads; i++) {
        done->documents += job->counters[i].documents;
        done->bytes += job->counters[i].bytes;
        done->words += job->counters[i].count;
    }
}

static enum bt_err run_rounds(struct job *job, struct bt_diag *diag)
{
    size_t waiting = 1;
    for (size_t round = 0; waiting > 0; round++) {
        struct bt_document_batch *to_read = &job->batches[round % 2], *to_count = &job->batches[(round + 1) % 2];
        run_round(job, to_read, to_count);
        const enum bt_err err = tell_failures(job, to_count, diag);
        if (err)
            return err;
        if (job->read_err)
            return bt_fail(diag, job->read_err, "%s", job->read_diag.text);
        bt_batch_clear(to_count);
        waiting = to_read->count;
        sum_up(job);
        if (job->options->progress)
            job->options->progress(job->options->context, &job->report.done);
    }
    return BT_OK;
}

/* All that was counted, in the words of the first thread. */
static enum bt_err gather(struct job *job, struct bt_word_table *words, struct bt_diag *diag)
{
    for (int i = 1; i < job->options->threads; i++) {
        if (!bt_word_table_add(&job->counters[0].words, &job->counters[i].words))
            return bt_fail_nomem(diag);
        bt_word_table_finish(&job->counters[i].words);
    }
    *words = job->counters[0].words;
    job->counters[0].words = (struct bt_word_table){0};
    return BT_OK;
}

static enum bt_err job_open(struct job *job, struct bt_diag *diag)
{
    const struct bt_word_count_options *options = job->options;
    enum bt_err err = BT_OK;
    job->counters = bt_zalloc((size_t)options->threads, sizeof *job->counters);
    job->errors = bt_zalloc(BT_BATCH_DOCUMENTS, sizeof *job->errors);
    if (!job->counters || !job->errors || !bt_batch_init(&job->batches[0]) || !bt_batch_init(&job->batches[1]))
        return bt_fail_nomem(diag);
    for (int i = 0; !err && i < options->threads; i++) {
        job->counters[i].longest = options->longest;
        err = bt_matcher_create(&job->counters[i].scratch.matcher, diag);
    }
    return err ? err
               : bt_documents_open(options->inputs, options->input_count, NULL, options->separator, &job->documents,
                                   diag);
}

static void job_close(struct job *job)
{
    bt_documents_close(job->documents);
    for (int i = 0; job->counters && i < job->options->threads; i++) {
        bt_word_table_finish(&job->counters[i].words);
        bt_pre_scratch_finish(&job->counters[i].scratch);
    }
    bt_free(job->counters);
    bt_free(job->errors);
    bt_batch_finish(&job->batches[0]);
    bt_batch_finish(&job->batches[1]);
}

enum bt_err bt_word_count(const struct bt_word_count_options *options, struct bt_word_table *words,
                          struct bt_word_count_report *ret_report, struct bt_diag *diag)
{
    struct job job = {.options = options};
    enum bt_err err = job_open(&job, diag);
    if (!err)
        err = run_rounds(&job, diag);
    if (!err)
        err = gather(&job, words, diag);
    if (!err)
        *ret_report = job.report;
    job_close(&job);
    return err;
}
