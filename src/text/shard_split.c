#include "text/shard_split.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "io/shard.h"
#include "text/hold_out.h"
#include "text/shard_facts.h"
#include "text/shard_mask.h"
#include "text/shard_set.h"

#define SHARD_TOKENS 100000000 /* of a shard, where no manifest says how many */

struct part {
    const char *name;
    char *prefix;
    struct bt_shard_set *set;
};

/* A shard that is open, with its mask or none. */
struct source {
    struct bt_shard shard;
    struct bt_mask mask;
};

struct job {
    const struct bt_shard_split_options *options;
    struct bt_hold_out hold_out;
    struct bt_manifest_file manifest; /* of the inputs; zeroed: none */
    struct bt_separators separators;
    unsigned width;
    bool masked;
    struct part train, validation;
    uint64_t documents;
    /* The document that is being read; a part of it may lie in the shard before. */
    int32_t *tokens;
    unsigned char *labels;
    size_t count, capacity;
};

static void close_source(struct source *source)
{
    bt_mask_close(&source->mask);
    bt_shard_close(&source->shard);
    *source = (struct source){0};
}

static enum bt_err open_source(const char *path, struct source *source, struct bt_diag *diag)
{
    enum bt_err err = bt_shard_open(path, BT_SHARD_LLMC, &source->shard, diag);
    if (!err)
        err = bt_shard_check(&source->shard, path, (uint64_t)INT32_MAX + 1, diag);
    return err ? err : bt_shard_mask_open(path, &source->shard, &source->mask, diag);
}

static enum bt_err fail_pair(const struct job *job, size_t i, const char *difference, struct bt_diag *diag)
{
    return bt_fail(diag, BT_EINPUT, "%s and %s: %s; split them one by one", job->options->inputs[0],
                   job->options->inputs[i], difference);
}

/* All inputs must be of one kind: that of the first. */
static enum bt_err check_source(struct job *job, size_t i, const struct source *source, struct bt_diag *diag)
{
    const bool masked = bt_mask_exists(&source->mask);
    struct bt_manifest_file manifest = {0};
    enum bt_err err = bt_manifest_open(job->options->inputs[i], &manifest, diag);
    if (err)
        return err;
    if (i == 0) {
        job->manifest = manifest;
        job->width = source->shard.width;
        job->masked = masked;
        return BT_OK;
    }
    const char *path = manifest.path ? manifest.path : "", *first = job->manifest.path ? job->manifest.path : "";
    if (strcmp(path, first) != 0)
        err = fail_pair(job, i, "they do not have one manifest", diag);
    else if (source->shard.width != job->width)
        err = fail_pair(job, i, "their tokens have different widths", diag);
    else if (masked != job->masked)
        err = fail_pair(job, i, "one has a label mask and the other has none", diag);
    bt_manifest_close(&manifest);
    return err;
}

static enum bt_err check_inputs(struct job *job, struct bt_diag *diag)
{
    const struct bt_shard_split_options *options = job->options;
    enum bt_err err = BT_OK;
    for (size_t i = 0; !err && i < options->input_count; i++) {
        struct source source = {0};
        err = open_source(options->inputs[i], &source, diag);
        if (!err)
            err = check_source(job, i, &source, diag);
        close_source(&source);
    }
    if (err)
        return err;
    const bool told = options->before != BT_NO_TOKEN || options->after != BT_NO_TOKEN;
    job->separators = job->manifest.value && !told ? job->manifest.origin.separators
                                                   : (struct bt_separators){options->before, options->after};
    if (!job->masked && job->separators.before == BT_NO_TOKEN && job->separators.after == BT_NO_TOKEN)
        return bt_fail(diag, BT_EUSAGE,
                       "%s: no manifest says where documents begin or end; --before ID or --after ID is missing",
                       options->inputs[0]);
    return BT_OK;
}

/* Appends tokens of a shard to the document. */
static enum bt_err append(struct job *job, const struct source *source, size_t first, size_t n, struct bt_diag *diag)
{
    if (n > job->capacity - job->count) {
        const size_t capacity = job->count + n + job->capacity / 2;
        int32_t *tokens = bt_realloc(job->tokens, capacity, sizeof *tokens);
        if (!tokens)
            return bt_fail_nomem(diag);
        job->tokens = tokens;
        unsigned char *labels = bt_realloc(job->labels, capacity, 1);
        if (!labels)
            return bt_fail_nomem(diag);
        job->labels = labels;
        job->capacity = capacity;
    }
    bt_shard_read(&source->shard, first, n, job->tokens + job->count);
    for (size_t i = 0; job->masked && i < n; i++)
        job->labels[job->count + i] = bt_mask_is_label(&source->mask, first + i);
    job->count += n;
    return BT_OK;
}

/* Does the document that was read last end there, or may it go on in the next shard? */
static bool is_complete(const struct job *job, const struct source *next)
{
    int32_t id;
    if (job->count == 0)
        return false;
    if (job->masked)
        return bt_mask_begins(&next->mask, 0);
    bt_shard_read(&next->shard, 0, 1, &id);
    if (job->separators.before != BT_NO_TOKEN && id == job->separators.before)
        return true;
    return job->separators.after != BT_NO_TOKEN && job->tokens[job->count - 1] == job->separators.after;
}

typedef enum bt_err take_fn(struct job *job, struct bt_diag *diag);

/* The document is whole. */
static enum bt_err end_document(struct job *job, take_fn *take, struct bt_diag *diag)
{
    const enum bt_err err = job->count ? take(job, diag) : BT_OK;
    job->documents += job->count > 0;
    job->count = 0;
    return err;
}

static enum bt_err walk_source(struct job *job, const struct source *source, take_fn *take, struct bt_diag *diag)
{
    enum bt_err err = is_complete(job, source) ? end_document(job, take, diag) : BT_OK;
    for (size_t first = 0, end; !err && first < source->shard.count; first = end) {
        end = bt_shard_document_end(&source->shard, &source->mask, &job->separators, first);
        err = append(job, source, first, end - first, diag);
        if (!err && end < source->shard.count)
            err = end_document(job, take, diag);
    }
    return err;
}

/* Gives every document to take, which finds it in the job, with job->documents for its number. */
static enum bt_err walk(struct job *job, take_fn *take, struct bt_diag *diag)
{
    enum bt_err err = BT_OK;
    job->documents = 0;
    for (size_t i = 0; !err && i < job->options->input_count; i++) {
        struct source source = {0};
        err = open_source(job->options->inputs[i], &source, diag);
        if (!err)
            err = walk_source(job, &source, take, diag);
        close_source(&source);
    }
    return err ? err : end_document(job, take, diag);
}

static enum bt_err take_shown(struct job *job, struct bt_diag *diag)
{
    return bt_hold_out_show(&job->hold_out, job->documents, diag);
}

/* How long a document's text is, only its tokenizer could say. */
static enum bt_err take_written(struct job *job, struct bt_diag *diag)
{
    const bool held_out = bt_hold_out_takes(&job->hold_out, job->documents);
    return bt_shard_set_add(held_out ? job->validation.set : job->train.set, job->tokens,
                            job->masked ? job->labels : NULL, job->count, 0, diag);
}

/* An input must not be one of the shards that are replaced. */
static enum bt_err open_part(struct job *job, const char *name, struct part *part, struct bt_diag *diag)
{
    const struct bt_shard_split_options *options = job->options;
    const uint64_t told = job->manifest.value ? bt_manifest_shard_tokens(&job->manifest) : 0;
    part->name = name;
    part->prefix = bt_sprintf("%s-%s", options->prefix, name);
    if (!part->prefix)
        return bt_fail_nomem(diag);
    const size_t length = strlen(part->prefix);
    for (size_t i = 0; i < options->input_count; i++)
        if (!strncmp(options->inputs[i], part->prefix, length) && options->inputs[i][length] == '-')
            return bt_fail(diag, BT_EUSAGE, "--out: %s is an input; it would be overwritten", options->inputs[i]);
    return bt_shard_set_open(part->prefix, job->width, told ? told : SHARD_TOKENS, &part->set, diag);
}

/* {"part": "train", "seed": 42, "share": 0.01, "shards": ["a-000000.bin"]} */
static json_t *describe(const struct job *job, const struct part *part)
{
    const struct bt_shard_split_options *options = job->options;
    json_t *shards = json_array();
    for (size_t i = 0; shards && i < options->input_count; i++)
        if (json_array_append_new(shards, json_string(options->inputs[i]))) {
            json_decref(shards);
            return NULL;
        }
    return json_pack("{s:s, s:I, s:o, s:o}", "part", part->name, "seed", (json_int_t)options->seed,
                     options->share > 0.0 ? "share" : "count",
                     options->share > 0.0 ? bt_json_real(options->share) : json_integer((json_int_t)options->count),
                     "shards", shards);
}

static enum bt_err finish_part(const struct job *job, struct part *part, struct bt_shard_split_part *report,
                               struct bt_diag *diag)
{
    enum bt_err err = bt_shard_set_finish(part->set, diag);
    if (err)
        return err;
    const struct bt_shard_entry *entries = bt_shard_set_entries(part->set, &report->shards);
    for (size_t i = 0; i < report->shards; i++) {
        report->documents += entries[i].documents;
        report->tokens += entries[i].tokens;
    }
    if (job->manifest.value)
        err = bt_manifest_write_part(part->prefix, &job->manifest, entries, report->shards, describe(job, part), diag);
    return err;
}

static bool is_empty(const struct part *part)
{
    size_t count;
    bt_shard_set_entries(part->set, &count);
    return count == 0;
}

static enum bt_err finish(struct job *job, struct bt_shard_split_report *report, struct bt_diag *diag)
{
    const struct part *empty = is_empty(&job->train)        ? &job->train
                               : is_empty(&job->validation) ? &job->validation
                                                            : NULL;
    if (empty)
        return bt_fail(diag, BT_EINPUT, "%s would hold no document (%llu are there in all); give a count",
                       empty->prefix, (unsigned long long)job->documents);
    const enum bt_err err = finish_part(job, &job->train, &report->train, diag);
    return err ? err : finish_part(job, &job->validation, &report->validation, diag);
}

static void job_close(struct job *job)
{
    bt_hold_out_finish(&job->hold_out);
    bt_manifest_close(&job->manifest);
    bt_shard_set_close(job->train.set);
    bt_shard_set_close(job->validation.set);
    bt_free(job->train.prefix);
    bt_free(job->validation.prefix);
    bt_free(job->tokens);
    bt_free(job->labels);
}

enum bt_err bt_shard_split(const struct bt_shard_split_options *options, struct bt_shard_split_report *ret_report,
                           struct bt_diag *diag)
{
    struct job job = {.options = options};
    struct bt_shard_split_report report = {0};
    enum bt_err err = check_inputs(&job, diag);
    bt_hold_out_begin(&job.hold_out, options->seed, options->share, options->count);
    if (!err && bt_hold_out_counts(&job.hold_out)) {
        err = walk(&job, take_shown, diag);
        if (!err)
            err = bt_hold_out_decide(&job.hold_out, diag);
    }
    if (!err)
        err = open_part(&job, "train", &job.train, diag);
    if (!err)
        err = open_part(&job, "validation", &job.validation, diag);
    if (!err)
        err = walk(&job, take_written, diag);
    if (!err)
        err = finish(&job, &report, diag);
    report.manifests = job.manifest.value;
    if (!err)
        *ret_report = report;
    job_close(&job);
    return err;
}
