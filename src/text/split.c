#include "text/split.h"

#include <string.h>

#include "base/mem.h"
#include "io/file.h"
#include "text/document_batch.h"
#include "text/hold_out.h"

struct job {
    const struct bt_split_options *options;
    struct bt_hold_out hold_out;
    struct bt_out *train, *validation;
    struct bt_split_report report;
};

typedef enum bt_err visit_fn(struct job *job, const struct bt_record *record, uint64_t index, struct bt_diag *diag);

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

/* Visits every document with its number. */
static enum bt_err walk(struct job *job, visit_fn *visit, struct bt_diag *diag)
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
            err = visit(job, &record, i, &inner);
    }
    bt_documents_close(documents);
    return err ? bt_fail(diag, err, "%s", inner.text) : BT_OK;
}

static enum bt_err visit_show(struct job *job, const struct bt_record *record, uint64_t index, struct bt_diag *diag)
{
    (void)record;
    return bt_hold_out_show(&job->hold_out, index, diag);
}

/* A count needs to know all documents before it can hold out one. */
static enum bt_err show_all(struct job *job, struct bt_diag *diag)
{
    const enum bt_err err = walk(job, visit_show, diag);
    return err ? err : bt_hold_out_decide(&job->hold_out, diag);
}

static enum bt_err visit_write(struct job *job, const struct bt_record *record, uint64_t index, struct bt_diag *diag)
{
    const char *separator = job->report.format == BT_TEXT_PLAIN ? job->options->separator : NULL;
    const bool held_out = bt_hold_out_takes(&job->hold_out, index);
    struct bt_out *out = held_out ? job->validation : job->train;
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
    struct job job = {.options = options};
    enum bt_err err = check_inputs(&job, diag);
    bt_hold_out_begin(&job.hold_out, options->seed, options->share, options->count);
    if (!err && bt_hold_out_counts(&job.hold_out))
        err = show_all(&job, diag);
    if (!err)
        err = open_parts(&job, diag);
    if (!err)
        err = walk(&job, visit_write, diag);
    if (!err)
        err = finish(&job, diag);
    if (!err)
        *ret_report = job.report;
    bt_hold_out_finish(&job.hold_out);
    bt_out_abandon(job.train);
    bt_out_abandon(job.validation);
    return err;
}
