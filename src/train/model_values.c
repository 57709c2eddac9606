/* The values of a model's tensors: bt_tensor_map_read of model_tensors.h. */
#include <string.h>

#include "base/mem.h"
#include "train/model_tensors.h"
#include "train/packed.h"
#include "train/second_norm.h"

/* What may be wrong with the values of one tensor. */
enum fault { FAULT_NONE, FAULT_MEMORY, FAULT_BYTE, FAULT_CODE, FAULT_SCALE, FAULT_FIRST, FAULT_SAME };

struct finding {
    enum fault fault;
    size_t at; /* byte or element */
};

static struct finding read_codes(const struct bt_slot *slot, const struct bt_param *param, float *out)
{
    const struct bt_tensor_view *view = slot->part[BT_PART_WHOLE];
    struct finding found = {FAULT_NONE, 0};
    if (view->dtype == BT_DTYPE_U8) {
        if (!bt_unpack_codes(out, view->data, param->shape[0], param->shape[1], &found.at))
            found.fault = FAULT_BYTE;
        return found;
    }
    bt_tensor_to_f32(view, out, NULL);
    for (size_t i = 0; i < param->count && !found.fault; i++)
        if (out[i] != 0.0f && out[i] != 1.0f && out[i] != -1.0f)
            found = (struct finding){FAULT_CODE, i};
    return found;
}

/* Plain layers add the bias to the scaled product; transformers' AutoBitLinear scales product and bias together. */
static void scale_bias(const struct bt_tensor_map *map, const struct bt_loaded_model *model,
                       const struct bt_param *param, float *out)
{
    const struct bt_param *weight = param->kind ? bt_params_get(&model->params, param->kind - 1, param->layer) : NULL;
    if (param->rank != 1 || !weight || !weight->linear || model->config->quantization_inverse)
        return;
    const struct bt_slot *slot = &map->slots[weight - model->params.list];
    for (size_t i = 0; slot->packed && i < param->count; i++)
        out[i] *= slot->scale;
}

/* Are the gains (count) all those of another norm, or all the same? Sets ret_at to the first that is not. */
static bool gains_equal(const float *gains, const float *other, size_t count, size_t *ret_at)
{
    for (*ret_at = 0; *ret_at < count; ++*ret_at)
        if (gains[*ret_at] != (other ? other[*ret_at] : gains[0]))
            return false;
    return true;
}

/* gains (param->count) of a norm that stands behind another: in place to those of the one norm that both are. scratch
 * is as long. */
static struct finding join_norms(const struct bt_slot *slot, const struct bt_param *param, double eps, float *gains,
                                 float *scratch)
{
    struct finding found = {FAULT_NONE, 0};
    double factor;
    for (int part = BT_PART_SAME; part < BT_PARTS; part++) {
        if (!slot->part[part])
            continue;
        bt_tensor_to_f32(slot->part[part], scratch, NULL);
        if (!gains_equal(scratch, gains, param->count, &found.at))
            return (struct finding){FAULT_SAME, found.at};
    }
    bt_tensor_to_f32(slot->part[BT_PART_FIRST], scratch, NULL);
    if (!gains_equal(scratch, NULL, param->count, &found.at) || !bt_second_norm_factor(eps, scratch[0], &factor))
        return (struct finding){FAULT_FIRST, found.at < param->count ? found.at : 0};
    for (size_t i = 0; i < param->count; i++)
        gains[i] = (float)((double)gains[i] * factor);
    return found;
}

static struct finding read_norm(const struct bt_loaded_model *model, const struct bt_slot *slot,
                                const struct bt_param *param, float *out)
{
    float *scratch = bt_zalloc(param->count, sizeof *scratch);
    if (!scratch)
        return (struct finding){FAULT_MEMORY, 0};
    const struct finding found = join_norms(slot, param, model->config->rms_norm_eps, out, scratch);
    bt_free(scratch);
    return found;
}

static struct finding read_row(const struct bt_tensor_map *map, struct bt_loaded_model *model, size_t row)
{
    const struct bt_param *param = &model->params.list[row];
    const struct bt_slot *slot = &map->slots[row];
    float *out = model->weights + param->offset;
    if (!slot->packed) { /* of types and shapes that were checked, so this cannot fail */
        bt_tensor_to_f32(slot->part[BT_PART_WHOLE], out, NULL);
        scale_bias(map, model, param, out);
        return slot->part[BT_PART_FIRST] ? read_norm(model, slot, param, out) : (struct finding){FAULT_NONE, 0};
    }
    struct finding found = read_codes(slot, param, out);
    if (!found.fault && !bt_ternary_masters(out, param->count, slot->scale))
        found.fault = FAULT_SCALE;
    return found;
}

static enum bt_err report(const struct finding *found, const struct bt_slot *slot, struct bt_diag *diag)
{
    const struct bt_tensor_view *view = slot->part[BT_PART_WHOLE];
    switch (found->fault) {
    case FAULT_NONE:
        break;
    case FAULT_MEMORY:
        return bt_fail_nomem(diag);
    case FAULT_BYTE:
        return bt_fail(diag, BT_EINPUT, "%s: tensor \"%s\": byte %zu is 0x%02x; no two bits of it may both be set",
                       view->file, view->name, found->at, view->data[found->at]);
    case FAULT_CODE:
        return bt_fail(diag, BT_EINPUT, "%s: tensor \"%s\": element %zu is none of -1, 0 and 1", view->file, view->name,
                       found->at);
    case FAULT_SCALE:
        return bt_fail(
            diag, BT_EINPUT,
            "%s: tensor \"%s\": its scale is %g; BitLinear's are at least 1e-5 and give finite float32 weights",
            view->file, view->name, (double)slot->scale);
    case FAULT_FIRST:
        return bt_fail(diag, BT_EINPUT,
                       "%s: tensor \"%s\": element %zu does not let the two norms that use_rms_norm makes of this one "
                       "count as one: small gains, all of them the same, are supported",
                       view->file, slot->part[BT_PART_FIRST]->name, found->at);
    case FAULT_SAME:
        return bt_fail(diag, BT_EINPUT,
                       "%s: tensor \"%s\": element %zu differs from that of a layer with the same input; one norm for "
                       "all of them is supported",
                       view->file, view->name, found->at);
    }
    return BT_OK;
}

enum bt_err bt_tensor_map_read(const struct bt_tensor_map *map, struct bt_loaded_model *model, struct bt_diag *diag)
{
    const size_t count = model->params.count;
    enum bt_err err = BT_OK;
    struct finding *found = bt_zalloc(count, sizeof *found);
    if (!found)
        return bt_fail_nomem(diag);
#pragma omp parallel for schedule(dynamic)
    for (size_t i = 0; i < count; i++)
        found[i] = read_row(map, model, i);
    for (size_t i = 0; i < count && !err; i++)
        err = report(&found[i], &map->slots[i], diag);
    bt_free(found);
    return err;
}
