#include "nn/params.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"

#define OFFSET_ALIGN 16 /* floats: a cache line */

enum dim { DIM_NONE, DIM_VOCAB, DIM_HIDDEN, DIM_FFN, DIM_QUERY, DIM_KV, DIM_HEAD };
enum need { ALWAYS, QKV_BIAS, O_BIAS, MLP_BIAS, QK_NORM, SUB_NORM, UNTIED };

/* What there is to know of a kind of tensor, but for the numbers of the shape. Row-major, (out, in). */
static const struct spec {
    const char *name; /* of layer tensors: what follows "model.layers.N." */
    enum dim rows, cols;
    enum need need;
    bool linear;
} specs[BT_P_KINDS] = {
    [BT_P_EMBED] = {"model.embed_tokens.weight", DIM_VOCAB, DIM_HIDDEN, ALWAYS, false},
    [BT_P_INPUT_NORM] = {"input_layernorm.weight", DIM_HIDDEN, DIM_NONE, ALWAYS, false},
    [BT_P_Q] = {"self_attn.q_proj.weight", DIM_QUERY, DIM_HIDDEN, ALWAYS, true},
    [BT_P_Q_BIAS] = {"self_attn.q_proj.bias", DIM_QUERY, DIM_NONE, QKV_BIAS, false},
    [BT_P_K] = {"self_attn.k_proj.weight", DIM_KV, DIM_HIDDEN, ALWAYS, true},
    [BT_P_K_BIAS] = {"self_attn.k_proj.bias", DIM_KV, DIM_NONE, QKV_BIAS, false},
    [BT_P_V] = {"self_attn.v_proj.weight", DIM_KV, DIM_HIDDEN, ALWAYS, true},
    [BT_P_V_BIAS] = {"self_attn.v_proj.bias", DIM_KV, DIM_NONE, QKV_BIAS, false},
    [BT_P_Q_NORM] = {"self_attn.q_norm.weight", DIM_HEAD, DIM_NONE, QK_NORM, false},
    [BT_P_K_NORM] = {"self_attn.k_norm.weight", DIM_HEAD, DIM_NONE, QK_NORM, false},
    [BT_P_ATTN_SUB_NORM] = {"self_attn.attn_sub_norm.weight", DIM_QUERY, DIM_NONE, SUB_NORM, false},
    [BT_P_O] = {"self_attn.o_proj.weight", DIM_HIDDEN, DIM_QUERY, ALWAYS, true},
    [BT_P_O_BIAS] = {"self_attn.o_proj.bias", DIM_HIDDEN, DIM_NONE, O_BIAS, false},
    [BT_P_POST_NORM] = {"post_attention_layernorm.weight", DIM_HIDDEN, DIM_NONE, ALWAYS, false},
    [BT_P_GATE] = {"mlp.gate_proj.weight", DIM_FFN, DIM_HIDDEN, ALWAYS, true},
    [BT_P_GATE_BIAS] = {"mlp.gate_proj.bias", DIM_FFN, DIM_NONE, MLP_BIAS, false},
    [BT_P_UP] = {"mlp.up_proj.weight", DIM_FFN, DIM_HIDDEN, ALWAYS, true},
    [BT_P_UP_BIAS] = {"mlp.up_proj.bias", DIM_FFN, DIM_NONE, MLP_BIAS, false},
    [BT_P_FFN_SUB_NORM] = {"mlp.ffn_sub_norm.weight", DIM_FFN, DIM_NONE, SUB_NORM, false},
    [BT_P_DOWN] = {"mlp.down_proj.weight", DIM_HIDDEN, DIM_FFN, ALWAYS, true},
    [BT_P_DOWN_BIAS] = {"mlp.down_proj.bias", DIM_HIDDEN, DIM_NONE, MLP_BIAS, false},
    [BT_P_FINAL_NORM] = {"model.norm.weight", DIM_HIDDEN, DIM_NONE, ALWAYS, false},
    [BT_P_HEAD] = {"lm_head.weight", DIM_VOCAB, DIM_HIDDEN, UNTIED, false},
};

/* The kinds that each layer has once; they stand together in the enum. */
#define LAYER_FIRST BT_P_INPUT_NORM
#define LAYER_LAST  BT_P_DOWN_BIAS

static bool needed(const struct bt_shape *shape, enum bt_param_kind kind)
{
    switch (specs[kind].need) {
    case QKV_BIAS:
        return shape->qkv_bias;
    case O_BIAS:
        return shape->o_bias;
    case MLP_BIAS:
        return shape->mlp_bias;
    case QK_NORM:
        return shape->qk_norm;
    case SUB_NORM:
        return shape->sub_norm;
    case UNTIED:
        return !shape->tied;
    case ALWAYS:
        break;
    }
    return true;
}

bool bt_param_is_bias(enum bt_param_kind kind)
{
    const enum need need = specs[kind].need;
    return need == QKV_BIAS || need == O_BIAS || need == MLP_BIAS;
}

/* How many tensors a layer has. */
static size_t layer_tensors(const struct bt_shape *shape)
{
    size_t n = 0;
    for (int kind = LAYER_FIRST; kind <= LAYER_LAST; kind++)
        n += needed(shape, (enum bt_param_kind)kind);
    return n;
}

/* False when it does not fit. */
static bool dimension(const struct bt_shape *shape, enum dim dim, size_t *ret_size)
{
    switch (dim) {
    case DIM_VOCAB:
        *ret_size = shape->vocab;
        return true;
    case DIM_HIDDEN:
        *ret_size = shape->hidden;
        return true;
    case DIM_FFN:
        *ret_size = shape->ffn;
        return true;
    case DIM_QUERY:
        return !__builtin_mul_overflow(shape->heads, shape->head_dim, ret_size);
    case DIM_KV:
        return !__builtin_mul_overflow(shape->kv_heads, shape->head_dim, ret_size);
    case DIM_HEAD:
        *ret_size = shape->head_dim;
        return true;
    case DIM_NONE:
        break;
    }
    *ret_size = 1;
    return true;
}

static void set_name(struct bt_param *param)
{
    const char *name = specs[param->kind].name;
    if (param->kind >= LAYER_FIRST && param->kind <= LAYER_LAST)
        snprintf(param->name, sizeof param->name, "model.layers.%zu.%s", param->layer, name);
    else
        snprintf(param->name, sizeof param->name, "%s", name);
}

/* Appends one tensor after all that is there; false when the buffer's size overflows. The list has room. */
static bool add_param(struct bt_params *params, enum bt_param_kind kind, size_t layer)
{
    const struct bt_shape *shape = params->shape;
    const struct spec *spec = &specs[kind];
    struct bt_param *param = &params->list[params->count];
    size_t padded;
    param->kind = kind;
    param->layer = layer;
    param->rank = spec->cols == DIM_NONE ? 1 : 2;
    if (!dimension(shape, spec->rows, &param->shape[0]) || !dimension(shape, spec->cols, &param->shape[1]) ||
        __builtin_mul_overflow(param->shape[0], param->shape[1], &param->count) ||
        __builtin_add_overflow(param->count, OFFSET_ALIGN - 1, &padded))
        return false;
    param->offset = params->total;
    if (__builtin_add_overflow(params->total, padded / OFFSET_ALIGN * OFFSET_ALIGN, &params->total))
        return false;
    param->decays = param->rank == 2;
    param->linear = spec->linear;
    set_name(param);
    params->elements += param->count;
    params->count++;
    return true;
}

static bool add_if_needed(struct bt_params *params, enum bt_param_kind kind, size_t layer)
{
    return !needed(params->shape, kind) || add_param(params, kind, layer);
}

static bool add_all(struct bt_params *params)
{
    size_t bytes;
    if (!add_param(params, BT_P_EMBED, 0))
        return false;
    for (size_t layer = 0; layer < params->shape->layers; layer++) {
        for (int kind = LAYER_FIRST; kind <= LAYER_LAST; kind++) {
            if (!add_if_needed(params, (enum bt_param_kind)kind, layer))
                return false;
        }
    }
    return add_param(params, BT_P_FINAL_NORM, 0) && add_if_needed(params, BT_P_HEAD, 0) &&
           !__builtin_mul_overflow(params->total, sizeof(float), &bytes);
}

enum bt_err bt_params_init(struct bt_params *params, const struct bt_shape *shape, struct bt_diag *diag)
{
    size_t tensors;
    struct bt_params made = {.shape = shape};
    if (__builtin_mul_overflow(shape->layers, layer_tensors(shape), &tensors) ||
        __builtin_add_overflow(tensors, 3, &tensors)) /* embedding, final norm, head */
        return bt_fail(diag, BT_EINPUT, "the model has %zu layers, more than this machine can address", shape->layers);
    made.list = bt_zalloc(tensors, sizeof *made.list);
    if (!made.list)
        return bt_fail_nomem(diag);
    if (!add_all(&made)) {
        bt_params_finish(&made);
        return bt_fail(diag, BT_EINPUT, "the sizes of the model multiply to more than this machine can address");
    }
    *params = made;
    return BT_OK;
}

void bt_params_finish(struct bt_params *params)
{
    bt_free(params->list);
    *params = (struct bt_params){0};
}

/* The tensors of one layer, which stand together; the layer exists. */
static const struct bt_param *layer_begin(const struct bt_params *params, size_t layer)
{
    return &params->list[1 + layer * layer_tensors(params->shape)];
}

const struct bt_param *bt_params_get(const struct bt_params *params, enum bt_param_kind kind, size_t layer)
{
    const struct bt_shape *shape = params->shape;
    if (kind == BT_P_EMBED || (kind == BT_P_HEAD && shape->tied))
        return params->list;
    if (kind == BT_P_HEAD)
        return &params->list[params->count - 1];
    if (kind == BT_P_FINAL_NORM)
        return &params->list[params->count - (shape->tied ? 1 : 2)];
    if (layer >= shape->layers)
        return NULL;
    const struct bt_param *first = layer_begin(params, layer);
    for (size_t i = 0; i < layer_tensors(shape); i++) {
        if (first[i].kind == kind)
            return &first[i];
    }
    return NULL;
}

static const struct bt_param *find_among(const struct bt_param *list, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (!strcmp(list[i].name, name))
            return &list[i];
    }
    return NULL;
}

const struct bt_param *bt_params_find(const struct bt_params *params, const char *name)
{
    static const char prefix[] = "model.layers.";
    const struct bt_shape *shape = params->shape;
    if (!strncmp(name, prefix, sizeof prefix - 1)) {
        const unsigned long layer = strtoul(name + sizeof prefix - 1, NULL, 10); /* the whole name is compared below */
        return layer < shape->layers ? find_among(layer_begin(params, layer), layer_tensors(shape), name) : NULL;
    }
    const size_t in_layers = shape->layers * layer_tensors(shape);
    const struct bt_param *found = find_among(params->list, 1, name);
    return found ? found : find_among(params->list + 1 + in_layers, params->count - 1 - in_layers, name);
}

/* Does the glob match the name of the module that the weight belongs to? */
static bool module_matches(const struct bt_param *param, const char *glob)
{
    char module[sizeof param->name];
    snprintf(module, sizeof module, "%s", param->name);
    *strrchr(module, '.') = '\0'; /* ".weight" */
    return param->linear && fnmatch(glob, module, 0) == 0;
}

static bool matches_any_module(const struct bt_params *params, const char *glob)
{
    for (size_t i = 0; i < params->count; i++) {
        if (module_matches(&params->list[i], glob))
            return true;
    }
    return false;
}

enum bt_err bt_params_exclude(struct bt_params *params, char *const *globs, size_t count, struct bt_diag *diag)
{
    for (size_t g = 0; g < count; g++) {
        if (!matches_any_module(params, globs[g]))
            return bt_fail(diag, BT_EUSAGE,
                           "exclude_layers: \"%s\" matches no linear layer of the model, whose names look like "
                           "\"model.layers.0.self_attn.q_proj\"",
                           globs[g]);
    }
    for (size_t i = 0; i < params->count; i++) {
        for (size_t g = 0; g < count; g++)
            params->list[i].excluded |= module_matches(&params->list[i], globs[g]);
    }
    return BT_OK;
}

static void draw_normal(float *w, size_t n, uint64_t key, double deviation)
{
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < n; i++)
        w[i] = (float)(deviation * bt_rng_normal(key, i));
}

static void fill(float *w, size_t n, float value)
{
    for (size_t i = 0; i < n; i++)
        w[i] = value;
}

void bt_params_randomize(const struct bt_params *params, float *weights, uint64_t seed, double initializer_range)
{
    memset(weights, 0, params->total * sizeof *weights); /* the padding too */
    for (size_t i = 0; i < params->count; i++) {
        const struct bt_param *param = &params->list[i];
        char purpose[sizeof param->name + 8];
        snprintf(purpose, sizeof purpose, "init/%s", param->name);
        if (param->rank == 2)
            draw_normal(weights + param->offset, param->count, bt_rng_key(seed, purpose), initializer_range);
        else
            fill(weights + param->offset, param->count, bt_param_is_bias(param->kind) ? 0.0f : 1.0f);
    }
}
