#include "export/frozen.h"

#include <math.h>
#include <string.h>

#include "base/half.h"
#include "kernels/quantize.h"
#include "train/packed.h"

static void read_marks(struct bt_export_model *model)
{
    const struct bt_hf_marks *marks = &model->source->config->marks;
    const bool bitnet = bt_is_bitnet_model(model->source);
    model->ternary = marks->present ? marks->ternary : bitnet;
    model->int8 = marks->present ? marks->int8 : bitnet;
    model->lambda = marks->present ? marks->lambda : 1.0;
}

static bool has_codes(const struct bt_export_model *model, const struct bt_param *param)
{
    return model->ternary && param->linear && !param->excluded;
}

const float *bt_export_weights(const struct bt_export_model *model, size_t i)
{
    return model->source->weights + model->tensors[i].param->offset;
}

/* Every tensor, not the ternary ones alone: what is not finite here would only be found out by whoever runs the file.
 */
static enum bt_err check_finite(const struct bt_export_model *model, size_t i, struct bt_diag *diag)
{
    const struct bt_param *param = model->tensors[i].param;
    const float *w = bt_export_weights(model, i);
    for (size_t j = 0; j < param->count; j++)
        if (!isfinite(w[j]))
            return bt_fail(diag, BT_EINPUT, "%s: tensor \"%s\": element %zu is %g; a finite number was expected",
                           model->source->path, param->name, j, (double)w[j]);
    return BT_OK;
}

/* The codes are those of the scale that training used; only then is the scale rounded. */
static void freeze(const struct bt_export_model *model, size_t i, int8_t *codes)
{
    struct bt_frozen *tensor = &model->tensors[i];
    const float *w = bt_export_weights(model, i);
    const float scale = bt_weight_scale(w, tensor->param->count);
    bt_weight_codes(codes, w, tensor->param->count, scale);
    tensor->codes = codes;
    tensor->scale = bt_f32_from_bf16(bt_bf16_from_f32(scale));
}

static enum bt_err allocate(struct bt_export_model *model, struct bt_diag *diag)
{
    const struct bt_params *params = &model->source->params;
    struct bt_arena measure = {0};
    for (size_t i = 0; i < params->count; i++)
        if (has_codes(model, &params->list[i]))
            bt_arena_take(&measure, params->list[i].count, 1);
    model->tensors = bt_zalloc(params->count, sizeof *model->tensors);
    if (!model->tensors || !bt_arena_init(&model->memory, measure.used))
        return bt_fail_nomem(diag);
    return BT_OK;
}

static enum bt_err freeze_all(struct bt_export_model *model, struct bt_diag *diag)
{
    const struct bt_params *params = &model->source->params;
    enum bt_err err = allocate(model, diag);
    for (size_t i = 0; i < params->count && !err; i++) {
        model->tensors[i].param = &params->list[i];
        err = check_finite(model, i, diag);
        if (!err && has_codes(model, &params->list[i]))
            freeze(model, i, bt_arena_take(&model->memory, params->list[i].count, 1));
    }
    return err;
}

enum bt_err bt_export_open(const char *path, struct bt_export_model **ret_model, struct bt_diag *diag)
{
    struct bt_export_model *model = bt_zalloc(1, sizeof *model);
    if (!model)
        return bt_fail_nomem(diag);
    enum bt_err err = bt_model_load(path, &model->source, diag);
    if (!err) {
        read_marks(model);
        err = freeze_all(model, diag);
    }
    if (err)
        bt_export_close(model);
    else
        *ret_model = model;
    return err;
}

void bt_export_close(struct bt_export_model *model)
{
    if (!model)
        return;
    bt_arena_finish(&model->memory);
    bt_free(model->tensors);
    bt_model_unload(model->source);
    bt_free(model);
}

enum bt_err bt_export_frozen_masters(const struct bt_export_model *model, float *weights, struct bt_diag *diag)
{
    const struct bt_params *params = &model->source->params;
    memcpy(weights, model->source->weights, params->total * sizeof *weights);
    for (size_t i = 0; i < params->count; i++) {
        const struct bt_frozen *tensor = &model->tensors[i];
        float *w = weights + tensor->param->offset;
        if (!tensor->codes)
            continue;
        bt_weight_codes_float(w, tensor->codes, tensor->param->count);
        if (!bt_ternary_masters(w, tensor->param->count, tensor->scale))
            return bt_fail(diag, BT_EINPUT, "%s: tensor \"%s\": its scale %g is too large", model->source->path,
                           tensor->param->name, (double)tensor->scale);
    }
    return BT_OK;
}
