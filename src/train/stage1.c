#include "train/stage1.h"

#include <math.h>

#include "base/mem.h"
#include "train/compute_choice.h"
#include "train/evaluate.h"
#include "train/shard_manifest.h"

enum { STAGE1_ROWS = 4 }; /* rows of a forward pass: memory here stays well below training's */

enum bt_err bt_conversion_open_data(const struct bt_run *run, const struct bt_loaded_model *from,
                                    struct bt_conversion_data *ret_data, struct bt_diag *diag)
{
    const struct bt_cfg_data *data = bt_train_config_data(run->config, BT_STAGE1);
    const struct bt_cfg_stage1 *stage1 = &run->config->stage1;
    struct bt_conversion_data d = {0};
    enum bt_err err = BT_OK;
    if (!data) {
        *ret_data = d;
        return BT_OK;
    }
    const struct bt_rows_options options = bt_stage_rows_options(run, BT_STAGE1, data, from);
    d.seq = options.seq;
    if (data->validation_count)
        err = bt_rows_open(data->validation, data->validation_count, &options, &d.validation, diag);
    if (!err && !bt_is_bitnet_model(from) && stage1->insert_subln && stage1->subln_init == BT_SUBLN_CALIBRATED)
        err = bt_rows_open_calibration(data->train, data->train_count, &options, &d.calibration, diag);
    if (!err)
        err = bt_check_shard_manifests(d.validation, from->path, diag);
    if (!err)
        err = bt_check_shard_manifests(d.calibration, from->path, diag);
    if (err)
        bt_conversion_close_data(&d);
    else
        *ret_data = d;
    return err;
}

void bt_conversion_close_data(struct bt_conversion_data *data)
{
    bt_rows_close(data->validation);
    bt_rows_close(data->calibration);
    *data = (struct bt_conversion_data){0};
}

static void carve(struct bt_conversion *c, struct bt_arena *arena)
{
    const size_t layers = c->shape.layers;
    bt_batch_carve(&c->batch, arena, STAGE1_ROWS, c->data.seq);
    c->gains.attn = bt_arena_take(arena, layers, sizeof(float));
    c->gains.ffn = bt_arena_take(arena, layers, sizeof(float));
    c->squares.attn = bt_arena_take(arena, layers, sizeof(double));
    c->squares.ffn = bt_arena_take(arena, layers, sizeof(double));
    c->weights = bt_arena_take(arena, c->params.total, sizeof(float));
}

static enum bt_err allocate(struct bt_conversion *c, struct bt_diag *diag)
{
    struct bt_arena measure = {0};
    carve(c, &measure);
    if (measure.overflow || !bt_arena_init(&c->arena, measure.used))
        return bt_fail(diag, BT_ENOMEM, "out of memory: conversion needs %zu bytes", measure.used);
    carve(c, &c->arena);
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

static enum bt_err make_model(const struct bt_conversion *c, const struct bt_params *params, const float *weights,
                              bool quantised, struct bt_model **ret_model, struct bt_diag *diag)
{
    const struct bt_model_options options = model_options(c->batch.seq, quantised);
    return bt_model_create(params, &options, weights, NULL, &c->compute, ret_model, diag);
}

static double validation_loss(struct bt_conversion *c, struct bt_model *model, float lambda)
{
    struct bt_evaluation evaluation;
    bt_evaluate(model, c->data.validation, c->run->config->logging.eval_tokens, &c->batch, lambda, &evaluation);
    return evaluation.loss;
}

/* The original model over the first calibration_tokens tokens, in file order. */
static void calibrate(struct bt_conversion *c, struct bt_model *model)
{
    const size_t seq = c->batch.seq, count = bt_rows_count(c->data.calibration);
    const size_t wanted = ((size_t)c->config->calibration_tokens + seq - 1) / seq;
    const size_t rows = wanted < count ? wanted : count;
    for (size_t next = 0; next < rows;) {
        c->batch.rows = 0;
        bt_batch_begin(&c->batch);
        while (c->batch.rows < STAGE1_ROWS && next < rows)
            bt_rows_fill(c->data.calibration, next++, c->batch.rows++, &c->batch);
        bt_model_loss(model, &c->batch, 0.0f);
        bt_subln_squares_add(&c->squares, model, &c->from->shape, c->batch.rows * seq);
    }
    c->batch.rows = STAGE1_ROWS;
    bt_subln_gains_from(&c->squares, &c->from->shape, &c->gains);
}

/* What the original says of itself, before anything is changed. */
static enum bt_err measure_original(struct bt_conversion *c, struct bt_diag *diag)
{
    struct bt_model *model = NULL;
    if (!c->data.validation && !c->data.calibration)
        return BT_OK;
    enum bt_err err = make_model(c, &c->from->params, c->from->weights, false, &model, diag);
    if (err)
        return err;
    if (c->data.validation)
        c->loss_before = validation_loss(c, model, 0.0f);
    if (c->data.calibration)
        calibrate(c, model);
    bt_model_destroy(model);
    return BT_OK;
}

static enum bt_err measure_converted(struct bt_conversion *c, struct bt_diag *diag)
{
    struct bt_model *model = NULL;
    if (!c->data.validation)
        return BT_OK;
    enum bt_err err = make_model(c, &c->params, c->weights, true, &model, diag);
    if (err)
        return err;
    bt_model_prepare(model);
    c->loss_lambda_0 = validation_loss(c, model, 0.0f);
    c->loss_lambda_1 = validation_loss(c, model, 1.0f);
    bt_model_destroy(model);
    return BT_OK;
}

/* The table of the converted model: the same tensors, the two norms, and what stays out. A model that is BitNet already
 * keeps its table (auto_convert_if_needed). */
static enum bt_err auto_convert_if_needed(struct bt_conversion *c, struct bt_diag *diag)
{
    const struct bt_hf_marks *marks = &c->from->config->marks;
    c->shape = c->from->shape;
    c->shape.sub_norm = c->from->shape.sub_norm || (!c->bitnet && c->config->insert_subln);
    const enum bt_err err = bt_params_init(&c->params, &c->shape, diag);
    if (err)
        return err;
    if (c->bitnet)
        return bt_params_exclude(&c->params, marks->exclude_layers, marks->exclude_count, diag);
    return bt_params_exclude(&c->params, c->config->exclude_layers, c->config->exclude_count, diag);
}

/* What a BitNet model says of itself stays; one that says nothing (SubLN tensors without marks) is meant for lambda 1.
 */
static struct bt_hf_marks marks_of(const struct bt_conversion *c)
{
    if (c->bitnet && c->from->config->marks.present)
        return c->from->config->marks;
    return (struct bt_hf_marks){.present = true,
                                .ternary = true,
                                .int8 = true,
                                .exclude_layers = c->bitnet ? NULL : c->config->exclude_layers,
                                .exclude_count = c->bitnet ? 0 : c->config->exclude_count,
                                .lambda = c->bitnet ? 1.0 : 0.0};
}

static enum bt_err write_folder(const struct bt_conversion *c, struct bt_diag *diag)
{
    const struct bt_hf_marks marks = marks_of(c);
    return bt_stage_write_model(c->run, BT_STAGE1, c->from->config, &c->params, c->weights, &marks, c->from->path,
                                diag);
}

static void say_losses(const struct bt_conversion *c)
{
    if (c->data.validation)
        bt_say(c->run, "stage1: validation loss %.4f before conversion, %.4f after it at lambda 0, %.4f at lambda 1",
               c->loss_before, c->loss_lambda_0, c->loss_lambda_1);
}

static enum bt_err open_all(struct bt_conversion *c, struct bt_diag *diag)
{
    enum bt_err err = bt_stage_load_model(c->run, BT_STAGE1, &c->from, diag);
    if (err)
        return err;
    c->bitnet = bt_is_bitnet_model(c->from);
    if (c->bitnet)
        bt_say(c->run, "stage1: the model is a BitNet model already and passes through unchanged");
    if ((err = bt_conversion_open_data(c->run, c->from, &c->data, diag)) || (err = auto_convert_if_needed(c, diag)))
        return err;
    return allocate(c, diag);
}

static enum bt_err convert(struct bt_conversion *c, struct bt_diag *diag)
{
    enum bt_err err;
    if ((err = open_all(c, diag)) || (err = measure_original(c, diag)))
        return err;
    bt_convert_model_to_bitnet(&c->from->params, c->from->weights, &c->params, c->weights,
                               c->data.calibration ? &c->gains : NULL);
    if ((err = measure_converted(c, diag)))
        return err;
    say_losses(c);
    err = bt_conversion_report(c, diag);
    return err ? err : write_folder(c, diag);
}

enum bt_err bt_run_stage1(const struct bt_run *run, struct bt_diag *diag)
{
    struct bt_conversion c = {
        .run = run, .config = &run->config->stage1, .loss_before = NAN, .loss_lambda_0 = NAN, .loss_lambda_1 = NAN};
    enum bt_err err = bt_compute_choose(run->config, &c.compute, diag);
    if (!err)
        err = convert(&c, diag);
    bt_params_finish(&c.params);
    bt_arena_finish(&c.arena);
    bt_conversion_close_data(&c.data);
    bt_model_unload(c.from);
    return err;
}
