#include "train/model_tensors.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

#define NAME_SIZE 128

static bool ends_with(const char *text, const char *end)
{
    const size_t n = strlen(text), m = strlen(end);
    return n >= m && !strcmp(text + n - m, end);
}

struct rename {
    const char *from, *to; /* ends of names */
    enum bt_part part;
    bool norms; /* holds where quantization_config has use_rms_norm */
};

static const struct rename renames[] = {
    {".o_proj.0.weight", ".attn_sub_norm.weight", BT_PART_WHOLE, false},
    {".o_proj.1.weight", ".o_proj.weight", BT_PART_WHOLE, false},
    {".o_proj.1.weight_scale", ".o_proj.weight", BT_PART_SCALE, false},
    {".o_proj.1.bias", ".o_proj.bias", BT_PART_WHOLE, false},
    {".down_proj.0.weight", ".ffn_sub_norm.weight", BT_PART_WHOLE, false},
    {".down_proj.1.weight", ".down_proj.weight", BT_PART_WHOLE, false},
    {".down_proj.1.weight_scale", ".down_proj.weight", BT_PART_SCALE, false},
    {".down_proj.1.bias", ".down_proj.bias", BT_PART_WHOLE, false},
    {".weight_scale", ".weight", BT_PART_SCALE, false}, /* after the two that end so */
    {".self_attn.o_proj.rms_norm.weight", ".self_attn.attn_sub_norm.weight", BT_PART_WHOLE, true},
    {".mlp.down_proj.rms_norm.weight", ".mlp.ffn_sub_norm.weight", BT_PART_WHOLE, true},
    {".input_layernorm.weight", ".input_layernorm.weight", BT_PART_FIRST, true},
    {".self_attn.q_proj.rms_norm.weight", ".input_layernorm.weight", BT_PART_WHOLE, true},
    {".self_attn.k_proj.rms_norm.weight", ".input_layernorm.weight", BT_PART_SAME, true},
    {".self_attn.v_proj.rms_norm.weight", ".input_layernorm.weight", BT_PART_SAME2, true},
    {".post_attention_layernorm.weight", ".post_attention_layernorm.weight", BT_PART_FIRST, true},
    {".mlp.gate_proj.rms_norm.weight", ".post_attention_layernorm.weight", BT_PART_WHOLE, true},
    {".mlp.up_proj.rms_norm.weight", ".post_attention_layernorm.weight", BT_PART_SAME, true},
};

/* The name that the table has for a tensor of the files, and what the tensor is to that row. */
static enum bt_part table_name(const char *name, bool norms, char out[NAME_SIZE])
{
    for (size_t i = 0; i < sizeof renames / sizeof *renames; i++) {
        const struct rename *r = &renames[i];
        if ((r->norms && !norms) || !ends_with(name, r->from))
            continue;
        snprintf(out, NAME_SIZE, "%.*s%s", (int)(strlen(name) - strlen(r->from)), name, r->to);
        return r->part;
    }
    snprintf(out, NAME_SIZE, "%s", name);
    return BT_PART_WHOLE;
}

bool bt_tensors_have_sub_norm(const struct bt_safetensors *file, const struct bt_hf_config *config)
{
    char name[NAME_SIZE];
    for (size_t i = 0; i < bt_safetensors_count(file); i++) {
        table_name(bt_safetensors_at(file, i)->name, config->quantization_norms, name);
        if (ends_with(name, ".attn_sub_norm.weight") || ends_with(name, ".ffn_sub_norm.weight"))
            return true;
    }
    return false;
}

static bool is_packed_folder(const struct bt_hf_config *config)
{
    return config->quantization_bitnet && !config->quantization_online;
}

static enum bt_err place(struct bt_tensor_map *map, const struct bt_loaded_model *model,
                         const struct bt_tensor_view *view, struct bt_diag *diag)
{
    char name[NAME_SIZE];
    const enum bt_part part = table_name(view->name, model->config->quantization_norms, name);
    const struct bt_param *param = bt_params_find(&model->params, name);
    if (ends_with(view->name, "rotary_emb.inv_freq"))
        return BT_OK;
    if (part == BT_PART_SCALE && !is_packed_folder(model->config))
        return bt_fail(diag, BT_EINPUT,
                       "%s: tensor \"%s\" belongs to packed weights, but config.json has no quantization_config that "
                       "says so",
                       view->file, view->name);
    if (model->shape.tied && !strcmp(view->name, "lm_head.weight")) {
        map->own_head = view; /* compared with the embedding, or used in its place */
        return BT_OK;
    }
    if (!param || (part == BT_PART_SCALE && (!param->linear || param->excluded)))
        return bt_fail(diag, BT_EINPUT, "%s: tensor \"%s\" has no place in the model that config.json describes",
                       view->file, view->name);
    const struct bt_tensor_view **to = &map->slots[param - model->params.list].part[part];
    if (*to)
        return bt_fail(diag, BT_EINPUT, "%s: tensor \"%s\" and tensor \"%s\" are the same tensor of the model",
                       view->file, view->name, (*to)->name);
    *to = view;
    return BT_OK;
}

static void format_shape(char *text, size_t size, size_t rank, const uint64_t *shape)
{
    size_t used = (size_t)snprintf(text, size, "[");
    for (size_t i = 0; i < rank && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%llu", i ? ", " : "", (unsigned long long)shape[i]);
    if (used < size)
        snprintf(text + used, size - used, "]");
}

static enum bt_err check_shape(const struct bt_tensor_view *view, size_t rank, const uint64_t *want,
                               struct bt_diag *diag)
{
    char found_text[BT_TENSOR_MAX_RANK * 24], want_text[2 * 24];
    if (view->rank == rank && !memcmp(view->shape, want, rank * sizeof *want))
        return BT_OK;
    format_shape(found_text, sizeof found_text, view->rank, view->shape);
    format_shape(want_text, sizeof want_text, rank, want);
    return bt_fail(diag, BT_EINPUT, "%s: tensor \"%s\" has shape %s; config.json asks for %s", view->file, view->name,
                   found_text, want_text);
}

enum bt_err bt_tensor_check(const struct bt_tensor_view *view, const struct bt_param *param, struct bt_diag *diag)
{
    const uint64_t want[] = {param->shape[0], param->shape[1]};
    const enum bt_err err = bt_tensor_check_float(view, diag);
    return err ? err : check_shape(view, param->rank, want, diag);
}

/* Under the name that it should have in the files. */
static enum bt_err fail_missing(const struct bt_loaded_model *model, const struct bt_param *param, enum bt_part part,
                                struct bt_diag *diag)
{
    char name[NAME_SIZE];
    snprintf(name, sizeof name, "%s", param->name);
    for (size_t i = 0; model->config->quantization_norms && i < sizeof renames / sizeof *renames; i++) {
        const struct rename *r = &renames[i];
        if (r->norms && r->part == part && ends_with(param->name, r->to))
            snprintf(name, sizeof name, "%.*s%s", (int)(strlen(param->name) - strlen(r->to)), param->name, r->from);
    }
    return bt_fail(diag, BT_EINPUT, "%s: tensor \"%s\" is missing from the weights%s", model->path, name,
                   param->kind == BT_P_HEAD ? ", and config.json does not tie the head to the embedding" : "");
}

/* One number, the scale or its reciprocal; a vector of one element or a scalar. */
static enum bt_err check_scale(const struct bt_loaded_model *model, struct bt_slot *slot, struct bt_diag *diag)
{
    const struct bt_tensor_view *view = slot->part[BT_PART_SCALE];
    const uint64_t one = 1;
    float value;
    enum bt_err err = bt_tensor_check_float(view, diag);
    if (!err && view->rank)
        err = check_shape(view, 1, &one, diag);
    if (err)
        return err;
    bt_tensor_to_f32(view, &value, NULL);
    slot->scale = model->config->quantization_inverse ? 1.0f / value : value;
    slot->packed = true;
    if (!(value > 0.0f && isfinite(value)))
        return bt_fail(diag, BT_EINPUT, "%s: tensor \"%s\" is %g; a number above 0 was expected", view->file,
                       view->name, (double)value);
    return BT_OK;
}

/* The weight of a linear layer in a packed folder: bytes of four codes, or the codes as floats. */
static enum bt_err check_packed(const struct bt_loaded_model *model, const struct bt_param *param, struct bt_slot *slot,
                                struct bt_diag *diag)
{
    const struct bt_tensor_view *view = slot->part[BT_PART_WHOLE];
    const uint64_t want[] = {param->shape[0] / 4, param->shape[1]};
    if (!slot->part[BT_PART_SCALE])
        return bt_fail(diag, BT_EINPUT,
                       "%s: tensor \"%s\" has no weight_scale beside it, and config.json does not list it among the "
                       "layers that were not converted",
                       view->file, view->name);
    if (view->dtype == BT_DTYPE_U8 && param->shape[0] % 4)
        return bt_fail(diag, BT_EINPUT, "%s: tensor \"%s\" is packed, but its %zu rows are not a multiple of 4",
                       view->file, view->name, param->shape[0]);
    const enum bt_err err =
        view->dtype == BT_DTYPE_U8 ? check_shape(view, 2, want, diag) : bt_tensor_check(view, param, diag);
    return err ? err : check_scale(model, slot, diag);
}

/* With use_rms_norm: the norms in front of the layers that share an input, and the one in front of them all. */
static enum bt_err check_norms(const struct bt_loaded_model *model, const struct bt_param *param,
                               const struct bt_slot *slot, struct bt_diag *diag)
{
    const enum bt_part last = param->kind == BT_P_INPUT_NORM ? BT_PART_SAME2 : BT_PART_SAME;
    enum bt_err err = BT_OK;
    for (int part = BT_PART_FIRST; part <= (int)last && !err; part++)
        err = slot->part[part] ? bt_tensor_check(slot->part[part], param, diag)
                               : fail_missing(model, param, (enum bt_part)part, diag);
    return err;
}

static enum bt_err check_row(const struct bt_loaded_model *model, const struct bt_param *param, struct bt_slot *slot,
                             struct bt_diag *diag)
{
    const bool norms = model->config->quantization_norms;
    if (!slot->part[BT_PART_WHOLE])
        return fail_missing(model, param, BT_PART_WHOLE, diag);
    if (norms && param->excluded)
        return bt_fail(diag, BT_EINPUT,
                       "%s: config.json has use_rms_norm, and \"%s\" is among the layers that were not converted: this "
                       "combination is not supported",
                       model->path, param->name);
    if (is_packed_folder(model->config) && param->linear && !param->excluded)
        return check_packed(model, param, slot, diag);
    const enum bt_err err = bt_tensor_check(slot->part[BT_PART_WHOLE], param, diag);
    if (!err && norms && (param->kind == BT_P_INPUT_NORM || param->kind == BT_P_POST_NORM))
        return check_norms(model, param, slot, diag);
    return err;
}

enum bt_err bt_tensor_map_init(struct bt_tensor_map *map, const struct bt_loaded_model *model,
                               const struct bt_safetensors *file, struct bt_diag *diag)
{
    const struct bt_params *params = &model->params;
    enum bt_err err = BT_OK;
    *map = (struct bt_tensor_map){.slots = bt_zalloc(params->count, sizeof *map->slots)};
    if (!map->slots)
        return bt_fail_nomem(diag);
    for (size_t i = 0; i < bt_safetensors_count(file) && !err; i++)
        err = place(map, model, bt_safetensors_at(file, i), diag);
    if (!map->slots[0].part[BT_PART_WHOLE]) /* of a tied model whose file has the head alone, that is the embedding */
        map->slots[0].part[BT_PART_WHOLE] = map->own_head;
    for (size_t i = 0; i < params->count && !err; i++)
        err = check_row(model, &params->list[i], &map->slots[i], diag);
    if (err)
        bt_tensor_map_finish(map);
    return err;
}

void bt_tensor_map_finish(struct bt_tensor_map *map)
{
    bt_free(map->slots);
    *map = (struct bt_tensor_map){0};
}
