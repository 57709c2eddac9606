/* Telemetry and warnings as records and lines of the log. */
#include <math.h>

#include "train/stage_train.h"
#include "train/telemetry_health.h"

/* Entries of the lists; null where there is nothing. */

static json_t *share(const struct bt_weight_measure *w, uint64_t count)
{
    return w->packed ? bt_json_real((double)count / (double)w->param->count) : json_null();
}

static json_t *minus(const struct bt_weight_measure *w)
{
    return share(w, w->counts.minus);
}

static json_t *zero(const struct bt_weight_measure *w)
{
    return share(w, w->counts.zero);
}

static json_t *plus(const struct bt_weight_measure *w)
{
    return share(w, w->counts.plus);
}

static json_t *flipped(const struct bt_weight_measure *w)
{
    return share(w, w->counts.flipped);
}

static json_t *sign_changed(const struct bt_weight_measure *w)
{
    return share(w, w->counts.sign_changed);
}

static json_t *near_boundary(const struct bt_weight_measure *w)
{
    return share(w, w->near_boundary);
}

static json_t *scale(const struct bt_weight_measure *w)
{
    return w->packed ? bt_json_float(w->scale) : json_null();
}

static json_t *grad_norm(const struct bt_weight_measure *w)
{
    return bt_json_float((float)w->grad_norm);
}

static json_t *update_ratio(const struct bt_weight_measure *w)
{
    return bt_json_float((float)w->update_ratio);
}

static const struct column {
    const char *key;
    json_t *(*entry)(const struct bt_weight_measure *weight);
    bool of_codes;
} columns[] = {
    {"minus", minus, true},
    {"zero", zero, true},
    {"plus", plus, true},
    {"flipped", flipped, true},
    {"sign_changed", sign_changed, true},
    {"near_boundary", near_boundary, true},
    {"scale", scale, true},
    {"grad_norm", grad_norm, false},
    {"update_ratio", update_ratio, false},
};

/* Takes over the value; NULL, as for all that follow, when memory is out. */
static json_t *with(json_t *object, const char *key, json_t *value)
{
    if (!json_object_set_new(object, key, value))
        return object;
    json_decref(object);
    return NULL;
}

static json_t *appended(json_t *list, json_t *value)
{
    if (!json_array_append_new(list, value))
        return list;
    json_decref(list);
    return NULL;
}

static json_t *column_list(const struct bt_telemetry *t, size_t projection, const struct column *column)
{
    json_t *list = json_array();
    for (size_t i = projection; list && i < t->count; i += BT_PROJECTIONS)
        list = appended(list, column->entry(&t->weights[i]));
    return list;
}

static json_t *projection_object(const struct bt_telemetry *t, size_t projection)
{
    json_t *object = json_pack("{s:I}", "weights", (json_int_t)t->weights[projection].param->count);
    for (size_t c = 0; object && c < sizeof columns / sizeof *columns; c++)
        if (t->packed_bytes || !columns[c].of_codes)
            object = with(object, columns[c].key, column_list(t, projection, &columns[c]));
    return object;
}

static json_t *projections(const struct bt_telemetry *t)
{
    json_t *all = json_object();
    for (size_t p = 0; all && p < BT_PROJECTIONS; p++)
        all = with(all, bt_projection_name(p), projection_object(t, p));
    return all;
}

static json_t *input_object(const struct bt_telemetry *t, enum bt_input input)
{
    json_t *absmax = json_array(), *ends = json_array();
    for (size_t layer = 0; layer < t->params->shape->layers; layer++) {
        const struct bt_input_counts *c = &t->inputs[layer * BT_INPUT_COUNT + (size_t)input];
        absmax = appended(absmax, c->codes ? bt_json_float(c->absmax) : json_null());
        ends = appended(ends, c->codes ? bt_json_real((double)c->ends / (double)c->codes) : json_null());
    }
    return json_pack("{s:o, s:o}", "absmax", absmax, "ends", ends);
}

static json_t *activations(const struct bt_telemetry *t)
{
    json_t *all = json_object();
    for (int input = 0; all && input < BT_INPUT_COUNT; input++)
        all = with(all, bt_input_name((enum bt_input)input), input_object(t, (enum bt_input)input));
    return all;
}

/* report: NULL before the first update. */
static enum bt_err record(struct bt_stage_run *s, const struct bt_update_report *report, struct bt_diag *diag)
{
    const struct bt_telemetry *t = s->telemetry;
    const int64_t step = s->trainer->state.step;
    json_t *what = json_pack("{s:I, s:o, s:o}", "since", (json_int_t)t->since, "lambda",
                             bt_json_real(bt_lambda_of_update(step > 0 ? step : 1)), "projections", projections(t));
    if (what && s->config->activations == BT_ACTIVATIONS_INT8)
        what = with(what, "activations", activations(t));
    if (what)
        what = with(what, "terms", report ? bt_record_terms(s, report) : json_object());
    return bt_metrics_write(s->metrics, bt_record_joined(bt_record_head(s, "telemetry", step), what), diag);
}

static json_t *layers_outside(const struct bt_telemetry *t, const struct bt_warning *w)
{
    json_t *list = json_array();
    if (!w->of_layers) {
        json_decref(list);
        return json_null();
    }
    for (size_t layer = 0; list && layer < t->params->shape->layers; layer++)
        if (bt_warning_meets(w, &t->weights[layer * BT_PROJECTIONS + w->projection]))
            list = appended(list, json_integer((json_int_t)layer));
    return list;
}

static enum bt_err warn(struct bt_stage_run *s, const struct bt_warning *w, struct bt_diag *diag)
{
    const int64_t step = s->trainer->state.step;
    char sentence[256];
    bt_warning_sentence(w, sentence, sizeof sentence);
    bt_say(s->run, "%s: update %lld: warning: %s; %s", s->name, (long long)step, sentence, bt_warning_advice(w));
    json_t *what = json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:s, s:s}", "kind", bt_warning_name(w->kind), "projection",
                             bt_projection_name(w->projection), "layers", layers_outside(s->telemetry, w), "value",
                             bt_json_real(w->value), "low", bt_json_real(w->low), "high", bt_json_real(w->high),
                             "message", sentence, "advice", bt_warning_advice(w));
    return bt_metrics_write(s->metrics, bt_record_joined(bt_record_head(s, "warning", step), what), diag);
}

/* The record of what was measured last, and a warning for whatever is out of its band. */
static enum bt_err write(struct bt_stage_run *s, const struct bt_update_report *report, struct bt_diag *diag)
{
    struct bt_train_state *state = &s->trainer->state;
    struct bt_warning list[BT_WARNINGS_MAX];
    const struct bt_health_moment moment = {.updated = report && report->applied,
                                            .full_lambda = report && bt_stage_at_full_lambda(s, report->lambda),
                                            .late = 2 * state->step > s->data.updates,
                                            .span = state->step - s->telemetry->since};
    enum bt_err err = record(s, report, diag);
    const size_t count = bt_telemetry_warnings(s->telemetry, &moment, &state->telemetry, list);
    for (size_t i = 0; i < count && !err; i++)
        err = warn(s, &list[i], diag);
    return err;
}

static enum bt_err write_timed(struct bt_stage_run *s, const struct bt_update_report *report, struct bt_diag *diag)
{
    const double start = bt_clock_seconds();
    const enum bt_err err = write(s, report, diag);
    s->telemetry->seconds += bt_clock_seconds() - start;
    return err;
}

enum bt_err bt_stage_telemetry_first(struct bt_stage_run *s, struct bt_diag *diag)
{
    if (!s->telemetry || !s->telemetry->packed_bytes)
        return BT_OK;
    return write_timed(s, NULL, diag);
}

enum bt_err bt_stage_telemetry(struct bt_stage_run *s, const struct bt_update_report *report, struct bt_diag *diag)
{
    if (!s->telemetry || !bt_telemetry_due(s->telemetry, report->step))
        return BT_OK;
    return write_timed(s, report, diag);
}
