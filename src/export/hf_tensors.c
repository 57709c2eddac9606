/* The tensors of a Hugging Face folder, name by name. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/half.h"
#include "base/mem.h"
#include "export/hf_parts.h"
#include "train/packed.h"
#include "train/second_norm.h"

/* The most that one row of the table becomes: q, k and v each get the input norm's gains, beside the norm itself. */
enum { MOST_PER_ROW = 4 };

struct builder {
    const struct bt_hf_job *job;
    struct bt_hf_tensors *out;
    bool failed; /* memory ran out */
};

/* Memory that lives as long as the tensors; NULL when it is out. */
static void *take(struct builder *b, size_t count, size_t size)
{
    void *buffer = b->failed ? NULL : bt_zalloc(count, size);
    if (buffer)
        b->out->buffers[b->out->buffer_count++] = buffer;
    b->failed = !buffer;
    return buffer;
}

static void add(struct builder *b, enum bt_dtype dtype, const struct bt_param *shape_of, const void *data,
                const char *format, ...) __attribute__((format(printf, 5, 6)));

/* shape_of: the row whose rank and shape it has; data NULL: memory ran out. */
static void add(struct builder *b, enum bt_dtype dtype, const struct bt_param *shape_of, const void *data,
                const char *format, ...)
{
    va_list arguments;
    if (!data)
        return;
    char *name = b->out->names[b->out->count];
    va_start(arguments, format);
    vsnprintf(name, sizeof b->out->names[0], format, arguments);
    va_end(arguments);
    b->out->list[b->out->count++] =
        (struct bt_tensor_source){name, dtype, shape_of->rank, {shape_of->shape[0], shape_of->shape[1]}, data};
}

/* Without its last part: "model.layers.0.mlp.up_proj" of "model.layers.0.mlp.up_proj.weight". */
static int module_length(const struct bt_param *param)
{
    return (int)(strrchr(param->name, '.') - param->name);
}

static bool is_wide(const struct builder *b)
{
    return b->job->options->float32 || b->job->options->form == BT_HF_ONLINE;
}

static enum bt_dtype float_type(const struct builder *b)
{
    return is_wide(b) ? BT_DTYPE_F32 : BT_DTYPE_BF16;
}

/* values (n) in the file's float type; borrowed where that is what they are already. */
static const void *converted(struct builder *b, const float *values, size_t n)
{
    if (is_wide(b))
        return values;
    uint16_t *half = take(b, n, sizeof *half);
    for (size_t i = 0; half && i < n; i++)
        half[i] = bt_bf16_from_f32(values[i]);
    return half;
}

/* A tensor that has no codes. */
static const void *full_values(struct builder *b, size_t row)
{
    const size_t n = b->job->model->tensors[row].param->count;
    const float *values = bt_export_weights(b->job->model, row);
    const double factor = bt_hf_factor(b->job, row);
    if (factor == 1.0)
        return converted(b, values, n);
    float *stored = take(b, n, sizeof *stored);
    for (size_t i = 0; stored && i < n; i++)
        stored[i] = bt_hf_stored(b->job, values[i], factor);
    return stored ? converted(b, stored, n) : NULL;
}

static const void *dense(struct builder *b, const struct bt_frozen *tensor)
{
    float *values = take(b, tensor->param->count, sizeof *values);
    for (size_t i = 0; values && i < tensor->param->count; i++)
        values[i] = (float)tensor->codes[i] * tensor->scale;
    return values ? converted(b, values, tensor->param->count) : NULL;
}

static void add_packed(struct builder *b, const struct bt_frozen *tensor)
{
    struct bt_param shape = *tensor->param;
    const size_t rows = shape.shape[0], cols = shape.shape[1];
    const struct bt_param one = {.rank = 1, .shape = {1, 1}};
    uint8_t *packed = take(b, rows / 4, cols);
    float *scale = take(b, 1, sizeof *scale);
    if (b->failed)
        return;
    bt_pack_codes(packed, tensor->codes, rows, cols);
    *scale = bt_hf_stored_scale(b->job, tensor);
    shape.shape[0] = rows / 4;
    add(b, BT_DTYPE_U8, &shape, packed, "%s", shape.name);
    add(b, float_type(b), &one, converted(b, scale, 1), "%s_scale", shape.name);
}

static void add_ternary(struct builder *b, size_t row)
{
    const struct bt_frozen *tensor = &b->job->model->tensors[row];
    if (bt_hf_is_packed(b->job))
        add_packed(b, tensor);
    else if (b->job->options->form == BT_HF_ONLINE)
        add(b, BT_DTYPE_F32, tensor->param, bt_export_weights(b->job->model, row), "%s", tensor->param->name);
    else
        add(b, float_type(b), tensor->param, dense(b, tensor), "%s", tensor->param->name);
}

/* A norm in front of a group of layers becomes one in front of each, behind one with a single small gain. */
static void add_group_norm(struct builder *b, const struct bt_param *param, const void *gains)
{
    static const char *const attention[] = {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"};
    static const char *const mlp[] = {"mlp.gate_proj", "mlp.up_proj"};
    const bool is_attention = param->kind == BT_P_INPUT_NORM;
    const char *const *layers = is_attention ? attention : mlp;
    float *first = take(b, param->count, sizeof *first);
    for (size_t i = 0; first && i < param->count; i++)
        first[i] = bt_second_norm_first_gain(b->job->model->source->config->rms_norm_eps);
    add(b, float_type(b), param, first ? converted(b, first, param->count) : NULL, "%s", param->name);
    for (size_t i = 0; i < (is_attention ? 3 : 2); i++)
        add(b, float_type(b), param, gains, "model.layers.%zu.%s.rms_norm.weight", param->layer, layers[i]);
}

static void add_full(struct builder *b, size_t row)
{
    const struct bt_param *param = b->job->model->tensors[row].param;
    const void *data = full_values(b, row);
    const bool norms = b->job->target.norms;
    b->out->full++;
    if (norms && (param->kind == BT_P_INPUT_NORM || param->kind == BT_P_POST_NORM))
        add_group_norm(b, param, data);
    else if (norms && param->kind == BT_P_ATTN_SUB_NORM)
        add(b, float_type(b), param, data, "model.layers.%zu.self_attn.o_proj.rms_norm.weight", param->layer);
    else if (norms && param->kind == BT_P_FFN_SUB_NORM)
        add(b, float_type(b), param, data, "model.layers.%zu.mlp.down_proj.rms_norm.weight", param->layer);
    else
        add(b, float_type(b), param, data, "%s", param->name);
}

/* The class has a bias here and the model has none. */
static void add_zero_bias(struct builder *b, const struct bt_param *weight)
{
    struct bt_param bias = *weight;
    bias.rank = 1;
    bias.shape[1] = 1;
    add(b, float_type(b), &bias, take(b, bias.shape[0], sizeof(float)), "%.*s.bias", module_length(weight),
        weight->name);
}

static void add_all(struct builder *b)
{
    const struct bt_params *params = &b->job->model->source->params;
    for (size_t i = 0; i < params->count && !b->failed; i++) {
        if (b->job->model->tensors[i].codes)
            add_ternary(b, i);
        else
            add_full(b, i);
        if (b->job->target.zero_o_bias && params->list[i].kind == BT_P_O)
            add_zero_bias(b, &params->list[i]);
    }
}

enum bt_err bt_hf_tensors_make(const struct bt_hf_job *job, struct bt_hf_tensors *tensors, struct bt_diag *diag)
{
    const size_t most = job->model->source->params.count * MOST_PER_ROW;
    struct builder b = {.job = job, .out = tensors};
    *tensors = (struct bt_hf_tensors){.list = bt_zalloc(most, sizeof *tensors->list),
                                      .names = bt_zalloc(most, sizeof *tensors->names),
                                      .buffers = bt_zalloc(most, sizeof *tensors->buffers)};
    b.failed = !tensors->list || !tensors->names || !tensors->buffers;
    if (!b.failed)
        add_all(&b);
    if (!b.failed)
        return BT_OK;
    bt_hf_tensors_finish(tensors);
    return bt_fail_nomem(diag);
}

void bt_hf_tensors_finish(struct bt_hf_tensors *tensors)
{
    for (size_t i = 0; i < tensors->buffer_count; i++)
        bt_free(tensors->buffers[i]);
    bt_free(tensors->list);
    bt_free(tensors->names);
    bt_free(tensors->buffers);
    *tensors = (struct bt_hf_tensors){0};
}
