#include "train/model_folder.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "io/file.h"
#include "io/gguf.h"
#include "io/safetensors.h"
#include "train/checksums.h"
#include "train/model_parts.h"
#include "train/model_tensors.h"

static struct bt_rope rope_of(const struct bt_hf_config *config)
{
    static const enum bt_rope_scaling scaling[] = {
        [BT_ROPE_DEFAULT] = BT_ROPE_SCALING_NONE,
        [BT_ROPE_LINEAR] = BT_ROPE_SCALING_LINEAR,
        [BT_ROPE_LLAMA3] = BT_ROPE_SCALING_LLAMA3,
    };
    return (struct bt_rope){.theta = config->rope_theta,
                            .scaling = scaling[config->rope_type],
                            .factor = config->rope_factor,
                            .low_freq_factor = config->rope_low_freq_factor,
                            .high_freq_factor = config->rope_high_freq_factor,
                            .original_max_position = config->rope_original_max_position};
}

static struct bt_shape shape_of(const struct bt_hf_config *config, bool sub_norm)
{
    return (struct bt_shape){.vocab = config->vocab_size,
                             .hidden = config->hidden_size,
                             .ffn = config->intermediate_size,
                             .layers = config->num_hidden_layers,
                             .heads = config->num_attention_heads,
                             .kv_heads = config->num_key_value_heads,
                             .head_dim = config->head_dim,
                             .eps = (float)config->rms_norm_eps,
                             .act = config->relu2 ? BT_ACT_RELU2 : BT_ACT_SILU,
                             .tied = config->tie_word_embeddings,
                             .qkv_bias = config->qkv_bias,
                             .o_bias = config->o_bias,
                             .mlp_bias = config->mlp_bias,
                             .qk_norm = config->qk_norm,
                             .sub_norm = sub_norm,
                             .rope = rope_of(config),
                             .window = config->sliding_window,
                             .window_from = config->window_from_layer};
}

static bool is_unconverted(const struct bt_hf_config *config, const char *module)
{
    const size_t length = strlen(module);
    for (size_t i = 0; i < config->unconverted_count; i++) {
        const char *entry = config->unconverted[i];
        const size_t n = strlen(entry);
        if (n <= length && (!strncmp(module, entry, n) || !strcmp(module + length - n, entry)))
            return true;
    }
    return false;
}

/* A folder of another program says by its quantization_config what ours say by their marks: those are made here, so
 * that everything after this knows one form. */
static enum bt_err adopt_quantization(struct bt_loaded_model *model, struct bt_diag *diag)
{
    struct bt_hf_config *config = model->config;
    struct bt_hf_marks *marks = &config->marks;
    if (!config->quantization_bitnet || marks->present)
        return BT_OK;
    *marks = (struct bt_hf_marks){.present = true, .ternary = true, .int8 = true, .lambda = 1.0};
    marks->exclude_layers = bt_zalloc(model->params.count, sizeof *marks->exclude_layers);
    if (!marks->exclude_layers)
        return bt_fail_nomem(diag);
    for (size_t i = 0; i < model->params.count; i++) {
        const struct bt_param *param = &model->params.list[i];
        char *module = param->linear ? bt_strndup(param->name, strlen(param->name) - strlen(".weight")) : NULL;
        if (param->linear && !module)
            return bt_fail_nomem(diag);
        if (module && is_unconverted(config, module))
            marks->exclude_layers[marks->exclude_count++] = module;
        else
            bt_free(module);
    }
    return BT_OK;
}

enum bt_err bt_model_make_table(struct bt_loaded_model *model, const char *what, bool sub_norm, struct bt_diag *diag)
{
    struct bt_diag reason = {0};
    const struct bt_hf_marks *marks = &model->config->marks;
    model->shape = shape_of(model->config, sub_norm);
    enum bt_err err = bt_params_init(&model->params, &model->shape, &reason);
    if (!err)
        err = adopt_quantization(model, &reason);
    if (!err)
        err = bt_params_exclude(&model->params, marks->exclude_layers, marks->exclude_count, &reason);
    if (err == BT_ENOMEM)
        return bt_fail_nomem(diag);
    return err ? bt_fail(diag, BT_EINPUT, "%s: %s", what, reason.text) : BT_OK;
}

enum bt_err bt_model_allocate(struct bt_loaded_model *model, struct bt_diag *diag)
{
    if (!bt_arena_init(&model->memory, model->params.total * sizeof(float)))
        return bt_fail(diag, BT_ENOMEM, "out of memory: the weights of the model need %zu bytes",
                       model->params.total * sizeof(float));
    model->weights = bt_arena_take(&model->memory, model->params.total, sizeof(float));
    model->values = model->weights;
    return BT_OK;
}

/* Row r of a matrix as a tensor of its own. */
static struct bt_tensor_view row_of(const struct bt_tensor_view *matrix, size_t r)
{
    struct bt_tensor_view row = *matrix;
    row.rank = 1;
    row.shape[0] = matrix->shape[1];
    row.bytes = matrix->bytes / (size_t)matrix->shape[0];
    row.data = matrix->data + r * row.bytes;
    return row;
}

/* A head of its own in the file of a tied model must be the embedding, to the bit. head: NULL when there is none. */
static enum bt_err check_tied_head(const struct bt_loaded_model *model, const struct bt_tensor_view *head,
                                   struct bt_diag *diag)
{
    const struct bt_param *embed = bt_params_get(&model->params, BT_P_EMBED, 0);
    if (!head)
        return BT_OK;
    enum bt_err err = bt_tensor_check(head, embed, diag);
    if (err)
        return err;
    float *row = bt_zalloc(model->shape.hidden, sizeof *row);
    if (!row)
        return bt_fail_nomem(diag);
    for (size_t r = 0; r < model->shape.vocab && !err; r++) {
        const struct bt_tensor_view view = row_of(head, r);
        err = bt_tensor_to_f32(&view, row, diag);
        if (!err &&
            memcmp(row, model->values + embed->offset + r * model->shape.hidden, model->shape.hidden * sizeof *row))
            err = bt_fail(diag, BT_EINPUT,
                          "%s: tensor \"lm_head.weight\" differs from \"%s\" in row %zu, but config.json says "
                          "tie_word_embeddings: true",
                          head->file, embed->name, r);
    }
    bt_free(row);
    return err;
}

enum how { TABLE_ALONE, INTO_MEMORY, MAPPED };

/* The tensors lie in one file as floats that can be used in place. */
static bool can_stay(const struct bt_loaded_model *model, const struct bt_tensor_map *map)
{
    const char *file = map->slots[0].part[BT_PART_WHOLE]->file;
    for (size_t i = 0; i < model->params.count; i++) {
        const struct bt_slot *slot = &map->slots[i];
        const struct bt_tensor_view *view = slot->part[BT_PART_WHOLE];
        if (slot->packed || slot->part[BT_PART_FIRST] || view->dtype != BT_DTYPE_F32 || strcmp(view->file, file) != 0 ||
            (uintptr_t)view->data % _Alignof(float) != 0)
            return false;
    }
    return true;
}

/* Offsets count from the tensor that lies first. */
static void point_into_file(struct bt_loaded_model *model, const struct bt_tensor_map *map)
{
    const unsigned char *first = map->slots[0].part[BT_PART_WHOLE]->data;
    for (size_t i = 1; i < model->params.count; i++) {
        const unsigned char *data = map->slots[i].part[BT_PART_WHOLE]->data;
        first = data < first ? data : first;
    }
    for (size_t i = 0; i < model->params.count; i++)
        model->params.list[i].offset = (size_t)(map->slots[i].part[BT_PART_WHOLE]->data - first) / sizeof(float);
    model->values = (const float *)(const void *)first;
}

/* *keep_file: the values are in it. */
static enum bt_err fill(struct bt_loaded_model *model, const struct bt_tensor_map *map, enum how how, bool *keep_file,
                        struct bt_diag *diag)
{
    enum bt_err err = BT_OK;
    *keep_file = how == MAPPED && can_stay(model, map);
    if (*keep_file)
        point_into_file(model, map);
    else if (!(err = bt_model_allocate(model, diag)))
        err = bt_tensor_map_read(map, model, diag);
    return err ? err : check_tied_head(model, map->own_head, diag);
}

static enum bt_err load_tensors(struct bt_loaded_model *model, const char *config_path,
                                const struct bt_safetensors *file, enum how how, bool *keep_file, struct bt_diag *diag)
{
    enum bt_err err;
    const size_t tensors = bt_safetensors_count(file);
    if (model->config->num_hidden_layers > tensors) /* before a table of that many layers is made */
        return bt_fail(diag, BT_EINPUT, "%s: num_hidden_layers is %llu, but the weights hold %zu tensors in all",
                       config_path, (unsigned long long)model->config->num_hidden_layers, tensors);
    if ((err = bt_model_make_table(model, config_path, bt_tensors_have_sub_norm(file, model->config), diag)))
        return err;
    struct bt_tensor_map map;
    if ((err = bt_tensor_map_init(&map, model, file, diag)))
        return err;
    if (how != TABLE_ALONE)
        err = fill(model, &map, how, keep_file, diag);
    for (size_t i = 0; i < model->params.count; i++)
        model->packed |= map.slots[i].packed;
    bt_tensor_map_finish(&map);
    return err;
}

static enum bt_err load_folder(struct bt_loaded_model *model, const char *config_path, enum how how,
                               struct bt_diag *diag)
{
    struct bt_safetensors *file = NULL;
    bool keep_file = false;
    enum bt_err err = bt_checksums_check(model->path, diag);
    if (!err)
        err = bt_hf_config_read(config_path, &model->config, diag);
    if (err)
        return err;
    if ((err = bt_safetensors_open_model(model->path, &file, diag)))
        return err;
    err = load_tensors(model, config_path, file, how, &keep_file, diag);
    if (keep_file)
        model->mapped = file;
    else
        bt_safetensors_close(file);
    return err;
}

static enum bt_err load(const char *path, enum how how, struct bt_loaded_model **ret_model, struct bt_diag *diag)
{
    enum bt_err err = BT_ENOMEM;
    char *config_path = bt_path_join(path, "config.json");
    struct bt_loaded_model *model = bt_zalloc(1, sizeof *model);
    if (model)
        model->path = bt_strdup(path);
    if (!config_path || !model || !model->path)
        bt_fail_nomem(diag);
    else if (bt_gguf_is_file(path))
        err = bt_model_read_gguf(model, how != TABLE_ALONE, diag);
    else
        err = load_folder(model, config_path, how, diag);
    bt_free(config_path);
    if (err)
        bt_model_unload(model);
    else
        *ret_model = model;
    return err;
}

enum bt_err bt_model_load(const char *path, struct bt_loaded_model **ret_model, struct bt_diag *diag)
{
    return load(path, INTO_MEMORY, ret_model, diag);
}

enum bt_err bt_model_map(const char *path, struct bt_loaded_model **ret_model, struct bt_diag *diag)
{
    return load(path, MAPPED, ret_model, diag);
}

static enum bt_err describe(struct bt_loaded_model *model, const char *config_path, struct bt_diag *diag)
{
    const char *slash = strrchr(config_path, '/');
    model->path = slash ? bt_strndup(config_path, (size_t)(slash - config_path)) : bt_strdup(".");
    if (!model->path)
        return bt_fail_nomem(diag);
    enum bt_err err = bt_hf_config_read(config_path, &model->config, diag);
    if (err)
        return err;
    const struct bt_hf_config *config = model->config;
    const bool sub_norm = config->family == BT_BITNET || config->bitnet_prefix || config->quantization_norms;
    return bt_model_make_table(model, config_path, sub_norm, diag);
}

static enum bt_err from_config(const char *config_path, struct bt_loaded_model **ret_model, struct bt_diag *diag)
{
    struct bt_loaded_model *model = bt_zalloc(1, sizeof *model);
    if (!model)
        return bt_fail_nomem(diag);
    const enum bt_err err = describe(model, config_path, diag);
    if (err)
        bt_model_unload(model);
    else
        *ret_model = model;
    return err;
}

enum bt_err bt_model_random(const char *config_path, uint64_t seed, struct bt_loaded_model **ret_model,
                            struct bt_diag *diag)
{
    struct bt_loaded_model *model = NULL;
    enum bt_err err = from_config(config_path, &model, diag);
    if (!err)
        err = bt_model_allocate(model, diag);
    if (err) {
        bt_model_unload(model);
        return err;
    }
    bt_params_randomize(&model->params, model->weights, seed, model->config->initializer_range);
    *ret_model = model;
    return BT_OK;
}

enum bt_err bt_model_inspect(const char *path, const char *config_path, struct bt_loaded_model **ret_model,
                             struct bt_diag *diag)
{
    return path ? load(path, TABLE_ALONE, ret_model, diag) : from_config(config_path, ret_model, diag);
}

void bt_model_unload(struct bt_loaded_model *model)
{
    if (!model)
        return;
    bt_arena_finish(&model->memory);
    bt_safetensors_close(model->mapped);
    bt_params_finish(&model->params);
    bt_hf_config_destroy(model->config);
    bt_free(model->path);
    bt_free(model);
}

bool bt_is_bitnet_model(const struct bt_loaded_model *model)
{
    const struct bt_hf_marks *marks = &model->config->marks;
    const bool marked = marks->present && (marks->ternary || marks->int8);
    return model->shape.sub_norm || marked || model->config->quantization_bitnet;
}
