#include "train/choices.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "io/json.h"
#include "text/bpe.h"
#include "text/documents.h"
#include "text/text_place.h"

struct reader {
    const struct bt_choices_options *o;
    const char *path;
    uint64_t line;
    struct bt_tokenizer_scratch *scratch;
    struct bt_ids context, ending;
    float *logits; /* (vocab) */
    double *sums;  /* (sum_count) grows with the most endings seen */
    size_t sum_count;
};

static enum bt_err fail_line(const struct reader *r, const char *what, struct bt_diag *diag)
{
    return bt_fail(diag, BT_EINPUT, "%s: line %" PRIu64 ": %s", r->path, r->line, what);
}

static enum bt_err encode(struct reader *r, const char *text, enum bt_text_place place, struct bt_ids *out,
                          struct bt_diag *diag)
{
    struct bt_diag reason = {""};
    const enum bt_err err =
        bt_tokenizer_encode_plain(r->o->tokenizer, r->scratch, text, strlen(text), place, out, &reason);
    return err == BT_EINPUT ? fail_line(r, reason.text, diag) : err ? bt_fail_nomem(diag) : BT_OK;
}

static enum bt_err encode_context(struct reader *r, const char *text, struct bt_diag *diag)
{
    r->context.count = 0;
    if (r->o->before != BT_NO_TOKEN && !bt_ids_put(&r->context, &r->o->before, 1))
        return bt_fail_nomem(diag);
    const enum bt_err err =
        encode(r, text, r->o->before == BT_NO_TOKEN ? BT_PLACE_FRONT : BT_PLACE_LATER, &r->context, diag);
    return !err && !r->context.count ? fail_line(r, "the context is empty", diag) : err;
}

/* log p of an id, and the engine is fed with it. */
static double log_p(struct reader *r, int32_t id, bool feed)
{
    double loss;
    r->o->compute->kernels.cross_entropy(&loss, r->logits, &id, 1, r->o->vocab, 0.0f);
    if (feed)
        bt_infer_feed(r->o->engine, &id, 1, r->logits);
    return -loss;
}

/* The sum of log p of an ending's tokens; the engine holds the context but for its last token. */
static enum bt_err score_ending(struct reader *r, const char *ending, double *ret_sum, struct bt_diag *diag)
{
    double sum = 0.0;
    r->ending.count = 0;
    enum bt_err err = BT_OK;
    char *text = bt_sprintf("%s%s", r->o->delimiter, ending);
    if (!text)
        return bt_fail_nomem(diag);
    err = encode(r, text, BT_PLACE_INSIDE, &r->ending, diag);
    bt_free(text);
    if (err)
        return err;
    if (!r->ending.count)
        return fail_line(r, "an ending has no tokens", diag);
    if (r->context.count + r->ending.count > r->o->context)
        return fail_line(r, "context and ending do not fit the model's context", diag);
    bt_infer_cut(r->o->engine, r->context.count - 1);
    bt_infer_feed(r->o->engine, r->context.at + r->context.count - 1, 1, r->logits);
    for (size_t i = 0; i < r->ending.count; i++)
        sum += log_p(r, r->ending.at[i], i + 1 < r->ending.count);
    if (!isfinite(sum))
        return fail_line(r, "the model's logits are not finite", diag);
    *ret_sum = sum;
    return BT_OK;
}

/* The fields of an item, checked. */
struct item {
    const char *context;
    const json_t *endings;
    size_t count, label;
};

static enum bt_err read_item(const struct reader *r, const json_t *value, struct item *item, struct bt_diag *diag)
{
    const json_t *label = json_object_get(value, "label");
    *item = (struct item){.context = json_string_value(json_object_get(value, "context")),
                          .endings = json_object_get(value, "endings")};
    item->count = json_array_size(item->endings);
    if (!item->context)
        return fail_line(r, "expected an object with a string \"context\"", diag);
    if (item->count < 2)
        return fail_line(r, "expected \"endings\", an array of at least two strings", diag);
    for (size_t i = 0; i < item->count; i++)
        if (json_string_length(json_array_get(item->endings, i)) == 0)
            return fail_line(r, "an ending is empty or is no string", diag);
    const double number = json_is_number(label) ? json_number_value(label) : -1.0;
    if (!(number >= 0.0 && number < (double)item->count && number == floor(number)))
        return fail_line(r, "expected \"label\", the number of an ending, from 0", diag);
    item->label = (size_t)number;
    return BT_OK;
}

static enum bt_err room_for(struct reader *r, size_t endings, struct bt_diag *diag)
{
    if (endings <= r->sum_count)
        return BT_OK;
    double *sums = bt_realloc(r->sums, endings, sizeof *sums);
    if (!sums)
        return bt_fail_nomem(diag);
    r->sums = sums;
    r->sum_count = endings;
    return BT_OK;
}

static enum bt_err score_item(struct reader *r, const struct item *item, struct bt_choices_result *result,
                              struct bt_diag *diag)
{
    size_t best = 0, best_by_length = 0;
    double best_share = 0.0;
    enum bt_err err;
    if ((err = room_for(r, item->count, diag)) || (err = encode_context(r, item->context, diag)))
        return err;
    bt_infer_cut(r->o->engine, 0);
    if (r->context.count > r->o->context)
        return fail_line(r, "context and ending do not fit the model's context", diag);
    if (r->context.count > 1)
        bt_infer_feed(r->o->engine, r->context.at, r->context.count - 1, NULL);
    for (size_t i = 0; i < item->count; i++) {
        const json_t *ending = json_array_get(item->endings, i);
        if ((err = score_ending(r, json_string_value(ending), &r->sums[i], diag)))
            return err;
        const double share = r->sums[i] / (double)json_string_length(ending);
        best = r->sums[i] > r->sums[best] ? i : best;
        if (i == 0 || share > best_share) {
            best_by_length = i;
            best_share = share;
        }
    }
    result->items++;
    result->right += best == item->label;
    result->right_by_length += best_by_length == item->label;
    return BT_OK;
}

static enum bt_err run_line(struct reader *r, const struct bt_record *record, bt_choices_seen *seen, void *seen_context,
                            struct bt_choices_result *result, struct bt_diag *diag)
{
    struct item item;
    json_t *value = NULL;
    r->line = record->line;
    enum bt_err err = bt_json_parse_at(record->data, record->size, r->path, record->line, &value, diag);
    if (!err && !(err = read_item(r, value, &item, diag)) && !(err = score_item(r, &item, result, diag)) && seen)
        seen(seen_context, result->items - 1, r->sums, item.count);
    json_decref(value);
    return err;
}

static enum bt_err run_lines(struct reader *r, bt_choices_seen *seen, void *seen_context,
                             struct bt_choices_result *result, struct bt_diag *diag)
{
    const enum bt_text_format jsonl = BT_TEXT_JSONL;
    struct bt_documents *lines = NULL;
    struct bt_record record = {0};
    enum bt_err err = bt_documents_open(&r->path, 1, &jsonl, NULL, &lines, diag);
    if (!err)
        err = bt_documents_next(lines, &record, diag);
    while (!err && record.data) {
        err = run_line(r, &record, seen, seen_context, result, diag);
        if (!err)
            err = bt_documents_next(lines, &record, diag);
    }
    if (!err && !result->items)
        err = bt_fail(diag, BT_EINPUT, "%s: there is no item in it", r->path);
    bt_documents_close(lines);
    return err;
}

enum bt_err bt_choices_run(const char *path, const struct bt_choices_options *options, bt_choices_seen *seen,
                           void *seen_context, struct bt_choices_result *ret_result, struct bt_diag *diag)
{
    struct reader r = {.o = options, .path = path, .logits = bt_zalloc(options->vocab, sizeof(float))};
    struct bt_choices_result result = {0};
    enum bt_err err =
        r.logits ? bt_tokenizer_scratch_create(options->tokenizer, &r.scratch, diag) : bt_fail_nomem(diag);
    if (!err)
        err = run_lines(&r, seen, seen_context, &result, diag);
    bt_tokenizer_scratch_destroy(r.scratch);
    bt_ids_finish(&r.context);
    bt_ids_finish(&r.ending);
    bt_free(r.logits);
    bt_free(r.sums);
    if (!err)
        *ret_result = result;
    return err;
}
