#include "text/split.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "io/file.h"
#include "text/document_batch.h"

/* What is drawn for a document; ties, rare as they are, go to the earlier one. */
struct draw {
    uint64_t value, index;
};

static bool is_above(struct draw a, struct draw b)
{
    return a.value != b.value ? a.value > b.value : a.index > b.index;
}

/* The smallest draws so far, the largest of them at the front. */
struct heap {
    struct draw *at;
    size_t count, capacity;
};

struct job {
    const struct bt_split_options *options;
    uint64_t key;      /* of the draws */
    struct draw limit; /* a document is held out when its draw is not above it */
    struct bt_out *train, *validation;
    struct bt_split_report report;
};

static void sift_down(struct heap *heap)
{
    for (size_t i = 0;;) {
        size_t largest = i;
        for (size_t child = 2 * i + 1; child <= 2 * i + 2 && child < heap->count; child++)
            if (is_above(heap->at[child], heap->at[largest]))
                largest = child;
        if (largest == i)
            return;
        const struct draw moved = heap->at[i];
        heap->at[i] = heap->at[largest];
        heap->at[largest] = moved;
        i = largest;
    }
}

static bool heap_push(struct heap *heap, struct draw draw)
{
    if (heap->count == heap->capacity) {
        const size_t capacity = 2 * heap->capacity + 64;
        struct draw *larger = bt_realloc(heap->at, capacity, sizeof *larger);
        if (!larger)
            return false;
        heap->at = larger;
        heap->capacity = capacity;
    }
    size_t i = heap->count++;
    for (; i > 0 && is_above(draw, heap->at[(i - 1) / 2]); i = (i - 1) / 2)
        heap->at[i] = heap->at[(i - 1) / 2];
    heap->at[i] = draw;
    return true;
}

static enum bt_err keep_smallest(struct heap *heap, uint64_t count, struct draw draw, struct bt_diag *diag)
{
    if (heap->count < count)
        return heap_push(heap, draw) ? BT_OK : bt_fail_nomem(diag);
    if (is_above(heap->at[0], draw)) {
        heap->at[0] = draw;
        sift_down(heap);
    }
    return BT_OK;
}

typedef enum bt_err visit_fn(struct job *job, void *context, const struct bt_record *record, struct draw draw,
                             struct bt_diag *diag);

/* Is the record text? Skipped ones are counted; *ret_good says whether this one is to be used. */
static enum bt_err check_record(struct job *job, enum bt_err err, const struct bt_record *record, bool *ret_good,
                                struct bt_diag *diag)
{
    struct bt_document document;
    if (!err && record->data)
        err = bt_document_read(record, job->options->inputs[record->input], job->options->key, &document, diag);
    *ret_good = !err && record->data;
    if (*ret_good)
        bt_document_finish(&document);
    if (err != BT_EINPUT || !job->options->skip)
        return err;
    bt_note_skipped(&job->report.skipped, job->report.first_skipped, sizeof job->report.first_skipped, diag->text);
    return BT_OK;
}

/* Visits every document with what is drawn for it. */
static enum bt_err walk(struct job *job, visit_fn *visit, void *context, struct bt_diag *diag)
{
    const struct bt_split_options *options = job->options;
    struct bt_documents *documents = NULL;
    struct bt_record record = {.data = ""};
    struct bt_diag inner = {""}; /* the caller's may be NULL, and a skipped document's sentence is wanted */
    enum bt_err err =
        bt_documents_open(options->inputs, options->input_count, NULL, options->separator, &documents, &inner);
    job->report.skipped = 0;
    for (uint64_t i = 0; !err; i++) {
        bool good;
        const enum bt_err read_err = bt_documents_next(documents, &record, &inner);
        if (!read_err && !record.data)
            break;
        err = check_record(job, read_err, &record, &good, &inner);
        if (!err && good)
            err = visit(job, context, &record, (struct draw){bt_rng_u64(job->key, i), i}, &inner);
    }
    bt_documents_close(documents);
    return err ? bt_fail(diag, err, "%s", inner.text) : BT_OK;
}

static enum bt_err visit_draw(struct job *job, void *context, const struct bt_record *record, struct draw draw,
                              struct bt_diag *diag)
{
    (void)record;
    job->report.train++;
    return keep_smallest(context, job->options->count, draw, diag);
}

/* The limit that holds out exactly `count` documents. */
static enum bt_err find_limit(struct job *job, struct bt_diag *diag)
{
    struct heap heap = {0};
    enum bt_err err = walk(job, visit_draw, &heap, diag);
    if (!err && job->report.train <= job->options->count)
        err =
            bt_fail(diag, BT_EINPUT, "the inputs hold %llu documents: holding out %llu of them leaves none to train on",
                    (unsigned long long)job->report.train, (unsigned long long)job->options->count);
    if (!err)
        job->limit = heap.at[0];
    job->report.train = 0;
    bt_free(heap.at);
    return err;
}

static enum bt_err visit_write(struct job *job, void *context, const struct bt_record *record, struct draw draw,
                               struct bt_diag *diag)
{
    const char *separator = job->report.format == BT_TEXT_PLAIN ? job->options->separator : NULL;
    const bool held_out = !is_above(draw, job->limit);
    struct bt_out *out = held_out ? job->validation : job->train;
    (void)context;
    ++*(held_out ? &job->report.validation : &job->report.train);
    enum bt_err err = bt_out_write(out, record->data, record->size, diag);
    if (!err)
        err = bt_out_write(out, "\n", 1, diag);
    if (!err && separator)
        err = bt_out_write(out, separator, strlen(separator), diag);
    if (!err && separator)
        err = bt_out_write(out, "\n", 1, diag);
    return err;
}

static enum bt_err check_inputs(struct job *job, struct bt_diag *diag)
{
    const struct bt_split_options *options = job->options;
    enum bt_err err = bt_text_format_of(options->inputs[0], &job->report.format, diag);
    for (size_t i = 1; !err && i < options->input_count; i++) {
        enum bt_text_format format;
        err = bt_text_format_of(options->inputs[i], &format, diag);
        if (!err && format != job->report.format)
            err = bt_fail(diag, BT_EINPUT, "%s and %s: one is .txt and the other .jsonl; split them one by one",
                          options->inputs[0], options->inputs[i]);
    }
    if (!err && job->report.format == BT_TEXT_PLAIN && !options->separator)
        err = bt_fail(diag, BT_EUSAGE, "--separator LINE is missing: .txt files are split where documents end");
    return err;
}

/* Opens PREFIX-name.EXT, unless that is one of the inputs. */
static enum bt_err open_part(struct job *job, const char *name, struct bt_out **ret_out, struct bt_diag *diag)
{
    const struct bt_split_options *options = job->options;
    char *path = bt_sprintf("%s-%s.%s", options->prefix, name, job->report.format == BT_TEXT_PLAIN ? "txt" : "jsonl");
    enum bt_err err = path ? BT_OK : bt_fail_nomem(diag);
    for (size_t i = 0; !err && i < options->input_count; i++)
        if (!strcmp(options->inputs[i], path))
            err = bt_fail(diag, BT_EUSAGE, "--out: %s is an input; it would be overwritten", path);
    if (!err)
        err = bt_out_replace(path, ret_out, diag);
    bt_free(path);
    return err;
}

static enum bt_err open_parts(struct job *job, struct bt_diag *diag)
{
    char *folder = bt_path_parent(job->options->prefix);
    enum bt_err err = folder ? bt_dir_make(folder, diag) : bt_fail_nomem(diag);
    bt_free(folder);
    if (!err)
        err = open_part(job, "train", &job->train, diag);
    return err ? err : open_part(job, "validation", &job->validation, diag);
}

static enum bt_err close_part(struct bt_out **out, struct bt_diag *diag)
{
    struct bt_out *closed = *out;
    *out = NULL;
    return bt_out_close(closed, diag);
}

/* Both parts are complete: they take their names. */
static enum bt_err finish(struct job *job, struct bt_diag *diag)
{
    const char *empty = job->report.train ? "validation" : "train";
    if (!job->report.train || !job->report.validation)
        return bt_fail(diag, BT_EINPUT, "%s-%s would hold no document (%llu are there in all); give a count",
                       job->options->prefix, empty, (unsigned long long)(job->report.train + job->report.validation));
    const enum bt_err err = close_part(&job->train, diag);
    return err ? err : close_part(&job->validation, diag);
}

enum bt_err bt_split_documents(const struct bt_split_options *options, struct bt_split_report *ret_report,
                               struct bt_diag *diag)
{
    struct job job = {.options = options, .key = bt_rng_key(options->seed, "split")};
    enum bt_err err = check_inputs(&job, diag);
    job.limit.value = (uint64_t)ldexp(options->share, 64);
    if (!err && options->share == 0.0)
        err = find_limit(&job, diag);
    if (!err)
        err = open_parts(&job, diag);
    if (!err)
        err = walk(&job, visit_write, NULL, diag);
    if (!err)
        err = finish(&job, diag);
    if (!err)
        *ret_report = job.report;
    bt_out_abandon(job.train);
    bt_out_abandon(job.validation);
    return err;
}
