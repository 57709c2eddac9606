#include <math.h>
#include <omp.h>
#include <stdio.h>

#include "base/cpu.h"
#include "train/stage_train.h"

json_t *bt_record_joined(json_t *record, json_t *more)
{
    const bool failed = !record || !more || json_object_update(record, more);
    json_decref(more);
    if (!failed)
        return record;
    json_decref(record);
    return NULL;
}

json_t *bt_record_head(const struct bt_stage_run *s, const char *event, int64_t step)
{
    return json_pack("{s:s, s:s, s:I}", "event", event, "stage", s->name, "step", (json_int_t)step);
}

static json_t *text_or_null(const char *text)
{
    return text ? json_string(text) : json_null();
}

static double milliseconds(double seconds)
{
    return round(seconds * 1e3) / 1e3;
}

static double elapsed(const struct bt_stage_run *s)
{
    return milliseconds(bt_clock_seconds() - s->started_at);
}

enum bt_err bt_record_start(struct bt_stage_run *s, struct bt_diag *diag)
{
    const struct bt_train_state *state = &s->trainer->state;
    json_t *what =
        json_pack("{s:I, s:o, s:I, s:s, s:s, s:b, s:o, s:I, s:I}", "parameters", (json_int_t)s->model->params.elements,
                  "resumed_from", text_or_null(s->resumed_from), "updates", (json_int_t)s->data.updates, "weights",
                  s->config->weights == BT_WEIGHTS_TERNARY ? "ternary" : "none", "activations",
                  s->config->activations == BT_ACTIVATIONS_INT8 ? "int8" : "none", "sub_norm", s->model->shape.sub_norm,
                  "model", text_or_null(s->model->path), "rows", (json_int_t)bt_rows_count(s->data.train),
                  "epoch_tokens", (json_int_t)bt_rows_tokens(s->data.train));
    json_t *where = json_pack("{s:s, s:s, s:s, s:s, s:i, s:s}", "matmul", state->matmul, "codes", state->codes,
                              "gradient", state->gradient, "kernels", state->kernels, "threads", omp_get_max_threads(),
                              "version", s->run->options->version);
    return bt_metrics_write(
        s->metrics, bt_record_joined(bt_record_joined(bt_record_head(s, "start", state->step), what), where), diag);
}

/* Tokens a second since the last call (or the start). */
static double rate(struct bt_stage_run *s)
{
    const double now = bt_clock_seconds(), seconds = now - s->rate_since;
    const uint64_t tokens = s->trainer->state.tokens - s->rate_tokens;
    s->rate_since = now;
    s->rate_tokens = s->trainer->state.tokens;
    return seconds > 0.0 ? round((double)tokens / seconds * 10.0) / 10.0 : NAN;
}

/* One object a source; NULL when memory is out. */
static json_t *source_list(const struct bt_stage_run *s, const struct bt_update_report *r)
{
    const struct bt_cfg_data *data = bt_train_config_data(s->run->config, s->stage);
    json_t *list = json_array();
    for (size_t i = 0; list && i < r->source_count; i++) {
        json_t *source = json_pack("{s:s, s:I, s:o}", "path", data->train[i].path, "tokens",
                                   (json_int_t)r->sources[i].tokens, "loss", bt_json_real(r->sources[i].loss));
        if (!source || json_array_append_new(list, source)) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static json_t *term_object(const struct bt_term_report *t)
{
    return json_pack("{s:o, s:o, s:o}", "raw", bt_json_real(t->raw), "weighted", bt_json_real(t->weighted), "share",
                     bt_json_real(t->share));
}

json_t *bt_record_terms(const struct bt_stage_run *s, const struct bt_update_report *r)
{
    const struct bt_term_report alone[BT_TERM_COUNT] = {[BT_TERM_CROSS_ENTROPY] = {true, r->loss, r->loss, 1.0}};
    const struct bt_term_report *reports = s->trainer->lessons ? r->terms : alone;
    json_t *terms = json_object();
    for (int term = 0; term < BT_TERM_COUNT; term++) {
        if (reports[term].given &&
            json_object_set_new(terms, bt_term_name((enum bt_term)term), term_object(&reports[term]))) {
            json_decref(terms);
            return NULL;
        }
    }
    return terms;
}

enum bt_err bt_record_update(struct bt_stage_run *s, const struct bt_update_report *r, struct bt_diag *diag)
{
    const struct bt_train_state *state = &s->trainer->state;
    json_t *numbers =
        json_pack("{s:o, s:o, s:o, s:o, s:I, s:I, s:o, s:o, s:I, s:o}", "loss", bt_json_real(r->loss), "grad_norm",
                  bt_json_real(r->grad_norm), "lr", bt_json_real(r->lr), "lambda", bt_json_real(r->lambda), "tokens",
                  (json_int_t)state->tokens, "labels", (json_int_t)state->labels, "tokens_per_second",
                  bt_json_real(rate(s)), "elapsed_s", bt_json_real(elapsed(s)), "skipped_updates",
                  (json_int_t)state->skipped, "padding", bt_json_real(r->padding));
    json_t *record = bt_record_joined(bt_record_head(s, "train", r->step), numbers);
    if (r->source_count > 1) /* of a single one, the record itself says all */
        record = bt_record_joined(record, json_pack("{s:o}", "sources", source_list(s, r)));
    if (s->trainer->lessons)
        record = bt_record_joined(record, json_pack("{s:o}", "terms", bt_record_terms(s, r)));
    if (s->config->zclip.enabled)
        record = bt_record_joined(record, json_pack("{s:o, s:o}", "z_score", bt_json_real(r->z_score), "clipped_norm",
                                                    bt_json_real(r->clipped_norm)));
    if (!r->applied)
        record =
            bt_record_joined(record, json_pack("{s:b, s:o}", "applied", 0, "bad_tensor", text_or_null(r->bad_tensor)));
    return bt_metrics_write(s->metrics, record, diag);
}

enum bt_err bt_record_eval(struct bt_stage_run *s, const struct bt_evaluation *e, double lambda, struct bt_diag *diag)
{
    json_t *numbers =
        json_pack("{s:o, s:o, s:I, s:I, s:o}", "loss", bt_json_real(e->loss), "perplexity", bt_json_real(e->perplexity),
                  "tokens", (json_int_t)e->tokens, "labels", (json_int_t)e->labels, "lambda", bt_json_real(lambda));
    return bt_metrics_write(s->metrics, bt_record_joined(bt_record_head(s, "eval", s->trainer->state.step), numbers),
                            diag);
}

enum bt_err bt_record_sample(struct bt_stage_run *s, const char *text, size_t size, double lambda, struct bt_diag *diag)
{
    json_t *sample =
        json_pack("{s:o, s:o}", "text", text ? json_stringn(text, size) : json_null(), "lambda", bt_json_real(lambda));
    return bt_metrics_write(s->metrics, bt_record_joined(bt_record_head(s, "sample", s->trainer->state.step), sample),
                            diag);
}

enum bt_err bt_record_checkpoint(struct bt_stage_run *s, int64_t step, struct bt_diag *diag)
{
    json_t *where = json_pack("{s:s}", "folder", s->checkpoints);
    return bt_metrics_write(s->metrics, bt_record_joined(bt_record_head(s, "checkpoint", step), where), diag);
}

/* Why a stage ended. */
static json_t *stop_reason(const struct bt_stage_run *s)
{
    const struct bt_cfg_early_stopping *config = &s->config->early_stopping;
    const struct bt_train_state *state = &s->trainer->state;
    char why[256];
    if (state->step >= s->data.updates)
        return json_pack("{s:s}", "stop_reason", "completed");
    snprintf(why, sizeof why,
             "after update %lld of %lld the last %lld validations at full lambda were not more than %g below %.6f, "
             "that of update %lld",
             (long long)state->step, (long long)s->data.updates, (long long)state->early_stopping.stalled,
             config->min_delta, state->early_stopping.best, (long long)state->early_stopping.best_step);
    return json_pack("{s:s, s:s}", "stop_reason", "early_stopping", "stop_detail", why);
}

/* Final and best numbers: what both the end record and summary.json say. */
static json_t *outcome(const struct bt_stage_run *s)
{
    const struct bt_train_state *state = &s->trainer->state;
    const double telemetry = s->telemetry ? s->telemetry->seconds : 0.0;
    json_t *numbers =
        json_pack("{s:o, s:o, s:o, s:o, s:o, s:I, s:I, s:I, s:I, s:o, s:o, s:o}", "loss",
                  bt_json_real(state->last_loss), "first_eval_loss", bt_json_real(state->first_eval_loss), "eval_loss",
                  bt_json_real(state->last_eval_loss), "perplexity", bt_json_real(exp(state->last_eval_loss)),
                  "best_eval_loss", bt_json_real(state->best_loss), "best_step", (json_int_t)state->best_step, "tokens",
                  (json_int_t)state->tokens, "labels", (json_int_t)state->labels, "skipped_updates",
                  (json_int_t)state->skipped, "elapsed_s", bt_json_real(elapsed(s)), "data_wait_s",
                  bt_json_real(milliseconds(s->trainer->waited)), "telemetry_s", bt_json_real(milliseconds(telemetry)));
    return bt_record_joined(numbers, stop_reason(s));
}

enum bt_err bt_record_end(struct bt_stage_run *s, struct bt_diag *diag)
{
    return bt_metrics_write(s->metrics, bt_record_joined(bt_record_head(s, "end", s->trainer->state.step), outcome(s)),
                            diag);
}

enum bt_err bt_record_summary(struct bt_stage_run *s, struct bt_diag *diag)
{
    const struct bt_train_state *state = &s->trainer->state;
    json_t *part = json_pack("{s:I, s:I, s:s, s:s, s:s}", "steps", (json_int_t)state->step, "parameters",
                             (json_int_t)s->model->params.elements, "matmul", state->matmul, "kernels", state->kernels,
                             "version", s->run->options->version);
    return bt_run_summary(s->run->folder, s->stage, bt_record_joined(part, outcome(s)), diag);
}
