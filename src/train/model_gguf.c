/* A model out of a GGUF file, as bitnet-export writes them: bt_model_read_gguf of model_parts.h.
 *
 * The keys become the config.json that they came from, so that one reader judges both. Ternary tensors become master
 * weights that quantise to the file's codes and scale, whatever type they lie there in: all of their values are then
 * one magnitude, positive, negative or zero. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "io/gguf.h"
#include "train/gguf_config.h"
#include "train/gguf_names.h"
#include "train/model_parts.h"
#include "train/packed.h"

struct source {
    const struct bt_gguf *file;
    bool interleaved; /* rows of q and k */
    bool ternary;
};

#define FAIL_TENSOR(diag, source, name, format, ...)                                                                   \
    bt_fail(diag, BT_EINPUT, "%s: tensor \"%s\": " format, bt_gguf_path((source)->file), name, __VA_ARGS__)

/* ---- what must be there ---- */

static enum bt_err check_tensor(const struct source *source, const struct bt_param *param,
                                const struct bt_gguf_tensor **ret_tensor, struct bt_diag *diag)
{
    char name[BT_GGUF_NAME_MAX + 1];
    bt_gguf_tensor_name(param, name);
    const struct bt_gguf_tensor *t = bt_gguf_tensor_find(source->file, name);
    const uint64_t cols = param->shape[param->rank - 1], rows = param->rank == 2 ? param->shape[0] : 1;
    if (!t)
        return FAIL_TENSOR(diag, source, name, "%s", "it is missing");
    if (t->size[0] != cols || t->size[1] != rows || t->size[2] != 1 || t->size[3] != 1)
        return FAIL_TENSOR(diag, source, name, "it has %llu rows of %llu; the keys ask for %llu of %llu",
                           (unsigned long long)t->size[1], (unsigned long long)t->size[0], (unsigned long long)rows,
                           (unsigned long long)cols);
    if (ret_tensor)
        *ret_tensor = t;
    return BT_OK;
}

/* Every row of the table has its tensor, and every tensor of the file its row: there are as many, and no two of one
 * name. */
static enum bt_err check_tensors(const struct source *source, const struct bt_loaded_model *model, struct bt_diag *diag)
{
    const bool freqs = model->shape.rope.scaling == BT_ROPE_SCALING_LLAMA3;
    const size_t expected = model->params.count + freqs, found = bt_gguf_tensor_count(source->file);
    enum bt_err err = BT_OK;
    for (size_t i = 0; i < model->params.count && !err; i++)
        err = check_tensor(source, &model->params.list[i], NULL, diag);
    if (!err && found != expected)
        err = bt_fail(diag, BT_EINPUT, "%s: there are %zu tensors; the model that the keys describe has %zu",
                      bt_gguf_path(source->file), found, expected);
    return err;
}

/* ---- values ---- */

static void read_floats(const struct source *source, const struct bt_gguf_tensor *t, const struct bt_param *param,
                        const struct bt_shape *shape, float *out)
{
    const size_t cols = (size_t)t->size[0], rows = (size_t)t->size[1];
    const size_t row_bytes = cols / t->type->block * t->type->bytes;
    const float scale = t->type->tail ? bt_gguf_decode_tail(t->data + rows * row_bytes) : 0.0f;
    if (param->rank == 1) {
        float value[1];
        for (size_t i = 0; i < cols; i++) {
            bt_gguf_decode(t->type, value, t->data + i * t->type->bytes, 1, scale);
            out[bt_gguf_row(param, shape, source->interleaved, i)] = value[0];
        }
        return;
    }
    for (size_t r = 0; r < rows; r++)
        bt_gguf_decode(t->type, out + bt_gguf_row(param, shape, source->interleaved, r) * cols, t->data + r * row_bytes,
                       cols, scale);
}

/* Values to codes; false when they are not of one magnitude, with ret_at the first that differs. */
static bool to_codes(float *values, size_t count, float *ret_scale, size_t *ret_at)
{
    float scale = 0.0f;
    for (size_t i = 0; i < count; i++)
        scale = fabsf(values[i]) > scale ? fabsf(values[i]) : scale;
    for (size_t i = 0; i < count; i++) {
        if (!(values[i] == 0.0f || (fabsf(values[i]) == scale && isfinite(scale)))) {
            *ret_at = i;
            return false;
        }
        values[i] = values[i] == 0.0f ? 0.0f : copysignf(1.0f, values[i]);
    }
    *ret_scale = scale;
    return true;
}

static enum bt_err read_ternary(const struct source *source, const struct bt_gguf_tensor *t, float *values,
                                size_t count, struct bt_diag *diag)
{
    float scale;
    size_t at;
    if (!to_codes(values, count, &scale, &at))
        return FAIL_TENSOR(diag, source, t->name,
                           "value %zu is %g: a ternary tensor has one scale, and this one another in another place", at,
                           (double)values[at]);
    if (!bt_ternary_masters(values, count, scale))
        return FAIL_TENSOR(diag, source, t->name,
                           "its scale is %g; BitLinear's are at least 1e-5 and give finite float32 weights",
                           (double)scale);
    return BT_OK;
}

static enum bt_err read_tensor(const struct source *source, struct bt_loaded_model *model, const struct bt_param *param,
                               struct bt_diag *diag)
{
    const struct bt_gguf_tensor *t = NULL;
    float *out = model->weights + param->offset;
    const enum bt_err err = check_tensor(source, param, &t, diag);
    if (err)
        return err;
    if (param->rank == 1 && t->type->block != 1)
        return FAIL_TENSOR(diag, source, t->name, "%s is no type for a vector", t->type->name);
    read_floats(source, t, param, &model->shape, out);
    return model->packed && param->linear && !param->excluded ? read_ternary(source, t, out, param->count, diag)
                                                              : BT_OK;
}

/* ---- the model ---- */

static enum bt_err read_model(struct source *source, struct bt_loaded_model *model, bool with_weights,
                              struct bt_diag *diag)
{
    enum bt_err err = bt_gguf_config_read(source->file, &model->config, diag);
    if (err)
        return err;
    const size_t tensors = bt_gguf_tensor_count(source->file);
    if (model->config->num_hidden_layers > tensors) /* before a table of that many layers is made */
        return bt_fail(diag, BT_EINPUT, "%s: the keys ask for %llu blocks, but there are %zu tensors in all",
                       model->path, (unsigned long long)model->config->num_hidden_layers, tensors);
    if ((err = bt_model_make_table(model, model->path, model->config->family == BT_BITNET, diag)))
        return err;
    model->packed = model->config->marks.present ? model->config->marks.ternary : bt_is_bitnet_model(model);
    if ((err = check_tensors(source, model, diag)) || !with_weights)
        return err;
    if ((err = bt_model_allocate(model, diag)))
        return err;
    source->interleaved = bt_gguf_is_interleaved(source->file);
    for (size_t i = 0; i < model->params.count && !err; i++)
        err = read_tensor(source, model, &model->params.list[i], diag);
    return err;
}

enum bt_err bt_model_read_gguf(struct bt_loaded_model *model, bool with_weights, struct bt_diag *diag)
{
    struct bt_gguf *file = NULL;
    enum bt_err err = bt_gguf_open(model->path, &file, diag);
    if (err)
        return err;
    struct source source = {.file = file};
    err = read_model(&source, model, with_weights, diag);
    bt_gguf_close(file);
    return err;
}
