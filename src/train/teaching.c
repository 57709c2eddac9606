#include "train/teaching.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include <xxhash.h>

#include "base/mem.h"
#include "io/file.h"

static_assert((int)BT_CFG_HIDDEN_MSE == (int)BT_HIDDEN_MSE &&
                  (int)BT_CFG_HIDDEN_MSE_NORMALIZED == (int)BT_HIDDEN_MSE_NORMALIZED &&
                  (int)BT_CFG_HIDDEN_INNER_PRODUCT == (int)BT_HIDDEN_INNER_PRODUCT,
              "the config and the kernels count the forms of hidden alike");

const char *bt_term_name(enum bt_term term)
{
    static const char *const names[] = {[BT_TERM_CROSS_ENTROPY] = "cross_entropy",
                                        [BT_TERM_LOGITS] = "logits",
                                        [BT_TERM_HIDDEN] = "hidden",
                                        [BT_TERM_RELATION] = "attention_relation"};
    return names[term];
}

const struct bt_cfg_term_weight *bt_term_weight(const struct bt_cfg_losses *losses, enum bt_term term)
{
    const struct bt_cfg_term_weight *const weights[] = {[BT_TERM_CROSS_ENTROPY] = &losses->cross_entropy.weight,
                                                        [BT_TERM_LOGITS] = &losses->logits.weight,
                                                        [BT_TERM_HIDDEN] = &losses->hidden.weight,
                                                        [BT_TERM_RELATION] = &losses->relation.weight};
    return weights[term];
}

bool bt_losses_need_teacher(const struct bt_cfg_losses *losses)
{
    return losses->logits.present || losses->hidden.present || losses->relation.present;
}

/* Terms, and cross entropy also where another term is to be balanced against it. */
static void choose_terms(struct bt_teaching *t)
{
    const struct bt_cfg_losses *l = &t->config->losses;
    t->given[BT_TERM_CROSS_ENTROPY] = l->cross_entropy.present;
    t->given[BT_TERM_LOGITS] = l->logits.present;
    t->given[BT_TERM_HIDDEN] = l->hidden.present;
    t->given[BT_TERM_RELATION] = l->relation.present;
    for (int term = 0; term < BT_TERM_COUNT; term++) {
        const struct bt_cfg_term_weight *weight = bt_term_weight(l, (enum bt_term)term);
        t->distill.terms[term] |= t->given[term];
        t->distill.terms[BT_TERM_CROSS_ENTROPY] |= t->given[term] && weight->kind == BT_WEIGHT_BALANCE;
    }
}

static double layer_weight(const struct bt_cfg_name_or_list *weights, size_t layer, size_t layers)
{
    switch ((enum bt_cfg_layer_weights)weights->name) {
    case BT_LAYERS_UNIFORM:
        return 1.0;
    case BT_LAYERS_PROGRESSIVE:
        return (double)(layer + 1);
    case BT_LAYERS_EXPONENTIAL:
        return exp2((double)(layer + 1) - (double)layers); /* the same shares as 2^l, within a double's range */
    case BT_LAYERS_LIST:
        break;
    }
    return weights->list[layer];
}

static enum bt_err weigh_layers(struct bt_teaching *t, const char *stage, size_t layers, struct bt_diag *diag)
{
    const struct bt_cfg_name_or_list *weights = &t->config->losses.hidden.layer_weights;
    double sum = 0.0;
    if (!t->given[BT_TERM_HIDDEN])
        return BT_OK;
    if (weights->name == BT_LAYERS_LIST && weights->count != layers)
        return bt_fail(diag, BT_EUSAGE, "%s.losses.hidden.layer_weights: found %zu numbers, the model has %zu blocks",
                       stage, weights->count, layers);
    if (!(t->layer_weights = bt_zalloc(layers, sizeof *t->layer_weights)))
        return bt_fail_nomem(diag);
    for (size_t i = 0; i < layers; i++)
        sum += t->layer_weights[i] = layer_weight(weights, i, layers);
    if (!(sum > 0.0))
        return bt_fail(diag, BT_EUSAGE, "%s.losses.hidden.layer_weights: they are all 0", stage);
    for (size_t i = 0; i < layers; i++)
        t->layer_weights[i] /= sum;
    return BT_OK;
}

/* Block `layer` of a model, counted from the end when negative. */
static bool find_layer(int64_t layer, size_t layers, size_t *ret_layer)
{
    const int64_t from_start = layer < 0 ? layer + (int64_t)layers : layer;
    *ret_layer = (size_t)from_start;
    return from_start >= 0 && from_start < (int64_t)layers;
}

static enum bt_err check_split(size_t split, const struct bt_shape *shape, const char *stage, const char *who,
                               struct bt_diag *diag)
{
    const size_t q = shape->heads * shape->head_dim, kv = shape->kv_heads * shape->head_dim;
    if (q % split == 0 && kv % split == 0)
        return BT_OK;
    return bt_fail(
        diag, BT_EUSAGE,
        "%s.losses.attention_relation.split_heads: %zu does not divide the %zu channels of Q and the %zu of K "
        "and V of the %s",
        stage, split, q, kv, who);
}

static enum bt_err resolve_relation(struct bt_teaching *t, const char *stage, const struct bt_shape *student,
                                    const struct bt_shape *teacher, struct bt_diag *diag)
{
    const struct bt_cfg_losses *l = &t->config->losses;
    enum bt_err err;
    if (!t->given[BT_TERM_RELATION])
        return BT_OK;
    if (!find_layer(l->relation.layer, student->layers, &t->layer))
        return bt_fail(diag, BT_EUSAGE,
                       "%s.losses.attention_relation.layer: found %" PRId64 ", the model has %zu blocks", stage,
                       l->relation.layer, student->layers);
    if (!find_layer(l->relation.layer, teacher->layers, &t->teacher_layer))
        return bt_fail(diag, BT_EINPUT,
                       "%s: the teacher has %zu blocks, but %s.losses.attention_relation.layer is %" PRId64,
                       t->teacher->path, teacher->layers, stage, l->relation.layer);
    t->distill.relation_temperature = (float)l->relation.temperature;
    if (l->relation.form == BT_RELATION_ALGORITHM) {
        t->distill.split_heads = (size_t)l->relation.split_heads;
        err = check_split(t->distill.split_heads, student, stage, "model", diag);
        return err ? err : check_split(t->distill.split_heads, teacher, stage, "teacher", diag);
    }
    if (student->heads == teacher->heads && student->kv_heads == teacher->kv_heads)
        return BT_OK;
    return bt_fail(diag, BT_EINPUT,
                   "%s: the teacher has %zu heads and %zu for keys and values, the model %zu and %zu; "
                   "%s.losses.attention_relation needs them equal in the form equation",
                   t->teacher->path, teacher->heads, teacher->kv_heads, student->heads, student->kv_heads, stage);
}

static enum bt_err check_teacher(const struct bt_teaching *t, const char *stage, const struct bt_shape *student,
                                 struct bt_diag *diag)
{
    const struct bt_shape *teacher = &t->teacher->shape;
    const struct bt_hf_marks *marks = &t->teacher->config->marks;
    const char *path = t->teacher->path;
    if ((marks->present && (marks->ternary || marks->int8)) || t->teacher->config->quantization_bitnet)
        return bt_fail(diag, BT_EINPUT, "%s: the teacher is a quantised BitNet model, expected a float one", path);
    if (teacher->vocab != student->vocab)
        return bt_fail(diag, BT_EINPUT, "%s: the teacher has a vocabulary of %zu tokens, the model one of %zu", path,
                       teacher->vocab, student->vocab);
    if (!t->given[BT_TERM_HIDDEN])
        return BT_OK;
    if (teacher->hidden != student->hidden || teacher->layers != student->layers)
        return bt_fail(
            diag, BT_EINPUT,
            "%s: the teacher has %zu blocks of width %zu, the model %zu of width %zu; %s.losses.hidden needs "
            "them equal",
            path, teacher->layers, teacher->hidden, student->layers, student->hidden, stage);
    return BT_OK;
}

/* What follows the terms' own numbers once both shapes are known. */
static enum bt_err resolve(struct bt_teaching *t, const char *stage, const struct bt_shape *student,
                           struct bt_diag *diag)
{
    const struct bt_cfg_losses *l = &t->config->losses;
    const struct bt_shape *teacher = &t->teacher->shape;
    enum bt_err err;
    if ((err = check_teacher(t, stage, student, diag)) || (err = weigh_layers(t, stage, student->layers, diag)) ||
        (err = resolve_relation(t, stage, student, teacher, diag)))
        return err;
    t->distill.temperature = (float)l->logits.temperature;
    t->distill.tau_squared = l->logits.tau_squared;
    t->distill.hidden = (enum bt_hidden_loss)l->hidden.type;
    t->distill.layer_weights = t->layer_weights;
    t->blocks = l->logits.present || l->hidden.present ? teacher->layers : t->teacher_layer + 1;
    return BT_OK;
}

enum bt_err bt_teaching_open(const struct bt_cfg_train_stage *config, enum bt_stage_id stage,
                             const struct bt_shape *student, const char *path, const char *config_path,
                             bool with_weights, struct bt_teaching *ret_teaching, struct bt_diag *diag)
{
    struct bt_teaching t = {.config = config};
    enum bt_err err = BT_OK;
    choose_terms(&t);
    if (bt_losses_need_teacher(&config->losses)) {
        err =
            with_weights ? bt_model_map(path, &t.teacher, diag) : bt_model_inspect(path, config_path, &t.teacher, diag);
        if (!err)
            err = resolve(&t, bt_stage_name(stage), student, diag);
    }
    if (err)
        bt_teaching_close(&t);
    else
        *ret_teaching = t;
    return err;
}

void bt_teaching_close(struct bt_teaching *t)
{
    bt_model_unload(t->teacher);
    bt_free(t->layer_weights);
    *t = (struct bt_teaching){0};
}

struct bt_model_options bt_teaching_options(const struct bt_teaching *t, size_t rows, size_t seq)
{
    return (struct bt_model_options){.rows = rows,
                                     .seq = seq,
                                     .keep = t->given[BT_TERM_HIDDEN] ? BT_KEEP_INPUTS : BT_KEEP_LAST,
                                     .keep_qkv = t->given[BT_TERM_RELATION],
                                     .qkv_layer = t->teacher_layer,
                                     .headless = !t->given[BT_TERM_LOGITS]};
}

enum bt_err bt_teaching_hash(const struct bt_teaching *t, uint64_t *ret_hash, uint64_t *ret_bytes, struct bt_diag *diag)
{
    const struct bt_params *params = &t->teacher->params;
    uint64_t *parts = bt_zalloc(params->count + 1, sizeof *parts), ignored;
    char *path = bt_path_join(t->teacher->path, "config.json");
    enum bt_err err = path && parts ? bt_file_hash(path, &parts[params->count], &ignored, diag) : bt_fail_nomem(diag);
    if (!err) {
#pragma omp parallel for schedule(dynamic)
        for (size_t i = 0; i < params->count; i++)
            parts[i] = XXH3_64bits(t->teacher->values + params->list[i].offset, params->list[i].count * sizeof(float));
        *ret_hash = XXH3_64bits(parts, (params->count + 1) * sizeof *parts);
        *ret_bytes = params->elements * sizeof(float);
    }
    bt_free(path);
    bt_free(parts);
    return err;
}
