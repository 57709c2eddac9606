#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "io/file.h"
#include "io/json.h"
#include "nn/convert.h"
#include "train/compute_choice.h"
#include "train/evaluate.h"
#include "train/metrics.h"
#include "train/stages.h"

struct stage1 {
    const struct bt_run *run;
    const struct bt_cfg_stage1 *config;
    const struct bt_cfg_data *data; /* NULL: none */
    struct bt_loaded_model *from;
    struct bt_compute compute;
    struct bt_rows *validation, *calibration;
    struct bt_arena arena; /* the batch, the converted weights */
    struct bt_batch batch;
    bool bitnet;           /* was one already: passed through */
    struct bt_shape shape; /* of the converted model */
    struct bt_params params;
    float *weights;
    struct bt_subln_gains gains;
    struct bt_subln_squares squares;
    double loss_before, loss_lambda_0, loss_lambda_1; /* NaN without validation data */
};

enum { STAGE1_ROWS = 4 }; /* rows of a forward pass: memory here stays well below training's */

static enum bt_err open_data(struct stage1 *s, struct bt_diag *diag)
{
    enum bt_err err = BT_OK;
    s->data = bt_train_config_data(s->run->config, BT_STAGE1);
    if (!s->data)
        return BT_OK;
    const struct bt_rows_options options = bt_stage_rows_options(s->run, BT_STAGE1, s->data, s->from->config);
    if (s->data->validation_count)
        err = bt_rows_open(s->data->validation, s->data->validation_count, &options, &s->validation, diag);
    if (!err && s->config->insert_subln && s->config->subln_init == BT_SUBLN_CALIBRATED)
        err = bt_rows_open_calibration(s->data->train, s->data->train_count, options.seq, options.vocab_size,
                                       &s->calibration, diag);
    return err;
}

static void carve(struct stage1 *s, struct bt_arena *arena)
{
    const size_t seq = s->data ? (size_t)s->data->max_seq_length : 1, layers = s->shape.layers;
    s->batch = (struct bt_batch){.rows = STAGE1_ROWS, .seq = seq};
    s->batch.ids = bt_arena_take(arena, STAGE1_ROWS, seq * sizeof(int32_t));
    s->batch.labels = bt_arena_take(arena, STAGE1_ROWS, seq * sizeof(int32_t));
    s->batch.position = bt_arena_take(arena, STAGE1_ROWS, seq * sizeof(int32_t));
    s->batch.first = bt_arena_take(arena, STAGE1_ROWS, seq * sizeof(int32_t));
    s->gains.attn = bt_arena_take(arena, layers, sizeof(float));
    s->gains.ffn = bt_arena_take(arena, layers, sizeof(float));
    s->squares.attn = bt_arena_take(arena, layers, sizeof(double));
    s->squares.ffn = bt_arena_take(arena, layers, sizeof(double));
    s->weights = bt_arena_take(arena, s->params.total, sizeof(float));
}

static enum bt_err allocate(struct stage1 *s, struct bt_diag *diag)
{
    struct bt_arena measure = {0};
    carve(s, &measure);
    if (measure.overflow || !bt_arena_init(&s->arena, measure.used))
        return bt_fail(diag, BT_ENOMEM, "out of memory: conversion needs %zu bytes", measure.used);
    carve(s, &s->arena);
    return BT_OK;
}

static struct bt_model_options model_options(size_t seq, bool quantised)
{
    return (struct bt_model_options){
        .rows = STAGE1_ROWS, .seq = seq, .ternary_weights = quantised, .int8_activations = quantised};
}

size_t bt_stage1_memory(const struct bt_params *params, size_t seq)
{
    const struct bt_model_options options = model_options(seq, true);
    return bt_model_memory(params, &options);
}

static enum bt_err make_model(const struct stage1 *s, const struct bt_params *params, const float *weights,
                              bool quantised, struct bt_model **ret_model, struct bt_diag *diag)
{
    const struct bt_model_options options = model_options(s->batch.seq, quantised);
    return bt_model_create(params, &options, weights, NULL, &s->compute, ret_model, diag);
}

static double validation_loss(struct stage1 *s, struct bt_model *model, float lambda)
{
    struct bt_evaluation evaluation;
    bt_evaluate(model, s->validation, s->run->config->logging.eval_tokens, &s->batch, lambda, &evaluation);
    return evaluation.loss;
}

/* The original model over the first calibration_tokens tokens, in file order. */
static void calibrate(struct stage1 *s, struct bt_model *model)
{
    const size_t seq = s->batch.seq, count = bt_rows_count(s->calibration);
    const size_t wanted = ((size_t)s->config->calibration_tokens + seq - 1) / seq;
    const size_t rows = wanted < count ? wanted : count;
    for (size_t next = 0; next < rows;) {
        s->batch.rows = 0;
        bt_batch_begin(&s->batch);
        while (s->batch.rows < STAGE1_ROWS && next < rows)
            bt_rows_fill(s->calibration, next++, s->batch.rows++, &s->batch);
        bt_model_loss(model, &s->batch, 0.0f);
        bt_subln_squares_add(&s->squares, model, &s->from->shape, s->batch.rows * seq);
    }
    s->batch.rows = STAGE1_ROWS;
    bt_subln_gains_from(&s->squares, &s->from->shape, &s->gains);
}

/* What the original says of itself, before anything is changed. */
static enum bt_err measure_original(struct stage1 *s, struct bt_diag *diag)
{
    struct bt_model *model = NULL;
    if (!s->validation && !s->calibration)
        return BT_OK;
    enum bt_err err = make_model(s, &s->from->params, s->from->weights, false, &model, diag);
    if (err)
        return err;
    if (s->validation)
        s->loss_before = validation_loss(s, model, 0.0f);
    if (s->calibration)
        calibrate(s, model);
    bt_model_destroy(model);
    return BT_OK;
}

static enum bt_err measure_converted(struct stage1 *s, struct bt_diag *diag)
{
    struct bt_model *model = NULL;
    if (!s->validation)
        return BT_OK;
    enum bt_err err = make_model(s, &s->params, s->weights, true, &model, diag);
    if (err)
        return err;
    bt_model_prepare(model);
    s->loss_lambda_0 = validation_loss(s, model, 0.0f);
    s->loss_lambda_1 = validation_loss(s, model, 1.0f);
    bt_model_destroy(model);
    return BT_OK;
}

static bool needs_norms(const struct stage1 *s)
{
    return s->config->insert_subln && !s->from->shape.sub_norm;
}

/* The table of the converted model: the same tensors, the two norms, and what stays out. */
static enum bt_err plan_conversion(struct stage1 *s, struct bt_diag *diag)
{
    s->shape = s->from->shape;
    s->shape.sub_norm = s->from->shape.sub_norm || s->config->insert_subln;
    enum bt_err err = bt_params_init(&s->params, &s->shape, diag);
    if (!err)
        err = bt_params_exclude(&s->params, s->config->exclude_layers, s->config->exclude_count, diag);
    return err;
}

static json_t *names_where(const struct stage1 *s, bool (*wanted)(const struct stage1 *, const struct bt_param *))
{
    json_t *names = json_array();
    for (size_t i = 0; names && i < s->params.count; i++)
        if (wanted(s, &s->params.list[i]) && json_array_append_new(names, json_string(s->params.list[i].name))) {
            json_decref(names);
            return NULL;
        }
    return names;
}

static bool is_changed(const struct stage1 *s, const struct bt_param *p)
{
    (void)s;
    return p->linear && !p->excluded;
}

static bool is_left_out(const struct stage1 *s, const struct bt_param *p)
{
    (void)s;
    return p->linear && p->excluded;
}

static bool is_added(const struct stage1 *s, const struct bt_param *p)
{
    return !bt_params_find(&s->from->params, p->name);
}

static json_t *float_list(const float *values, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < count; i++)
        if (json_array_append_new(list, bt_json_float(values[i]))) {
            json_decref(list);
            return NULL;
        }
    return list;
}

static json_t *gains_report(const struct stage1 *s)
{
    if (!s->calibration)
        return json_null();
    return json_pack("{s:o, s:o, s:I}", "attn_sub_norm", float_list(s->gains.attn, s->shape.layers), "ffn_sub_norm",
                     float_list(s->gains.ffn, s->shape.layers), "tokens", (json_int_t)s->squares.tokens);
}

static json_t *conversion_report(const struct stage1 *s)
{
    const char *init = s->config->subln_init == BT_SUBLN_CALIBRATED ? "calibrated" : "ones";
    return json_pack("{s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "passed_through", s->bitnet, "subln_init",
                     needs_norms(s) && !s->bitnet ? json_string(init) : json_null(), "loss_before",
                     bt_json_real(s->loss_before), "loss_lambda_0", bt_json_real(s->loss_lambda_0), "loss_lambda_1",
                     bt_json_real(s->loss_lambda_1), "changed", s->bitnet ? json_array() : names_where(s, is_changed),
                     "added", s->bitnet ? json_array() : names_where(s, is_added), "left_out",
                     names_where(s, is_left_out), "gains", s->bitnet ? json_null() : gains_report(s));
}

static enum bt_err write_report(const struct stage1 *s, struct bt_diag *diag)
{
    char *folder = bt_run_stage_path(s->run->folder, BT_STAGE1, "");
    char *path = bt_run_stage_path(s->run->folder, BT_STAGE1, "conversion.json");
    json_t *report = conversion_report(s);
    enum bt_err err = folder && path && report ? bt_dir_make(folder, diag) : bt_fail_nomem(diag);
    if (!err)
        err = bt_json_replace(path, report, diag);
    json_decref(report);
    bt_free(folder);
    bt_free(path);
    return err;
}

static json_t *summary_part(const struct stage1 *s)
{
    return json_pack("{s:b, s:o, s:o, s:o, s:I}", "passed_through", s->bitnet, "loss_before",
                     bt_json_real(s->loss_before), "loss_lambda_0", bt_json_real(s->loss_lambda_0), "loss_lambda_1",
                     bt_json_real(s->loss_lambda_1), "parameters", (json_int_t)s->params.elements);
}

static json_t *metrics_record(const struct stage1 *s, const char *event)
{
    json_t *record = summary_part(s);
    json_t *head = json_pack("{s:s, s:s, s:i}", "event", event, "stage", "stage1", "step", 0);
    if (!record || !head || json_object_update(head, record)) {
        json_decref(head);
        head = NULL;
    }
    json_decref(record);
    return head;
}

static enum bt_err write_records(const struct stage1 *s, struct bt_diag *diag)
{
    struct bt_metrics *metrics = NULL;
    uint64_t keep = 0;
    const char *path = bt_run_metrics(s->run->folder);
    enum bt_err err = bt_metrics_stage_start(path, "stage1", &keep, diag);
    if (!err)
        err = bt_metrics_open(path, keep, &metrics, diag);
    if (!err)
        err = bt_metrics_write(metrics, metrics_record(s, "start"), diag);
    if (!err)
        err = bt_metrics_write(metrics, metrics_record(s, "end"), diag);
    if (!err)
        err = bt_metrics_sync(metrics, diag);
    if (!err)
        err = bt_run_summary(s->run->folder, BT_STAGE1, summary_part(s), diag);
    bt_metrics_close(metrics);
    return err;
}

static enum bt_err write_folder(const struct stage1 *s, struct bt_diag *diag)
{
    const struct bt_hf_marks fresh = {.present = true,
                                      .ternary = true,
                                      .int8 = true,
                                      .exclude_layers = s->config->exclude_layers,
                                      .exclude_count = s->config->exclude_count,
                                      .lambda = 0.0};
    const struct bt_hf_marks *marks = &fresh;
    if (s->bitnet && s->from->config->marks.present)
        marks = &s->from->config->marks;
    return bt_stage_write_model(s->run, BT_STAGE1, s->from->config, &s->params, s->weights, marks, s->from->path, diag);
}

static void say_losses(const struct stage1 *s)
{
    if (s->validation)
        bt_say(s->run, "stage1: validation loss %.4f before conversion, %.4f after it at lambda 0, %.4f at lambda 1",
               s->loss_before, s->loss_lambda_0, s->loss_lambda_1);
}

/* auto_convert_if_needed: a BitNet model keeps its weights and norms; any other gets its SubLN norms. */
static void auto_convert_if_needed(struct stage1 *s)
{
    const struct bt_subln_gains *gains = s->calibration ? &s->gains : NULL;
    bt_convert_model_to_bitnet(&s->from->params, s->from->weights, &s->params, s->weights, gains);
}

static enum bt_err convert(struct stage1 *s, struct bt_diag *diag)
{
    enum bt_err err = bt_stage_load_model(s->run, BT_STAGE1, &s->from, diag);
    if (!err) {
        s->bitnet = bt_is_bitnet_model(s->from);
        if (s->bitnet)
            bt_say(s->run, "stage1: the model is a BitNet model already and passes through unchanged");
        err = open_data(s, diag);
    }
    if (!err)
        err = plan_conversion(s, diag);
    if (!err)
        err = allocate(s, diag);
    if (!err)
        err = measure_original(s, diag);
    if (err)
        return err;
    auto_convert_if_needed(s);
    if ((err = measure_converted(s, diag)))
        return err;
    say_losses(s);
    if ((err = write_report(s, diag)) || (err = write_records(s, diag)))
        return err;
    return write_folder(s, diag);
}

enum bt_err bt_run_stage1(const struct bt_run *run, struct bt_diag *diag)
{
    struct stage1 s = {
        .run = run, .config = &run->config->stage1, .loss_before = NAN, .loss_lambda_0 = NAN, .loss_lambda_1 = NAN};
    bt_compute_choose(run->config, &s.compute);
    const enum bt_err err = convert(&s, diag);
    bt_params_finish(&s.params);
    bt_arena_finish(&s.arena);
    bt_rows_close(s.validation);
    bt_rows_close(s.calibration);
    bt_model_unload(s.from);
    return err;
}
