#include "export/gguf_parts.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "nn/rope_table.h"
#include "train/gguf_names.h"

/* ---- types ---- */

const struct bt_gguf_type_info *bt_gguf_job_type(const struct bt_gguf_job *job, size_t i)
{
    const struct bt_frozen *tensor = &job->model->tensors[i];
    const struct bt_param *param = tensor->param;
    if (param->rank == 1)
        return bt_gguf_type_find(BT_GGUF_F32);
    if (param->kind == BT_P_HEAD)
        return job->head;
    if (!param->linear || (job->model->ternary && !tensor->codes))
        return job->embedding;
    return job->type;
}

/* The rows of every linear layer that gets the type of the blocks fill its blocks; or the first that does not. */
static const struct bt_param *first_unfit(const struct bt_gguf_job *job, const struct bt_gguf_type_info *type)
{
    const struct bt_params *params = &job->model->source->params;
    for (size_t i = 0; i < params->count; i++)
        if (params->list[i].linear && bt_gguf_job_type(job, i) == job->type && params->list[i].shape[1] % type->block)
            return &params->list[i];
    return NULL;
}

/* Types that llama.cpp has had for long, the smallest that fits; with block sizes of 256, 32 and 1, the last one does.
 */
static const struct bt_gguf_type_info *nearest_type(const struct bt_gguf_job *job)
{
    static const char *const wanted[] = {"tq2_0", "q8_0", "f16"};
    const struct bt_gguf_type_info *type = NULL;
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        type = bt_gguf_type_named(wanted[i]);
        if (!(type->ternary && !job->model->ternary) && !first_unfit(job, type))
            break;
    }
    return type;
}

static enum bt_err fail_unknown(const char *option, const char *name, struct bt_diag *diag)
{
    return bt_fail(diag, BT_EUSAGE,
                   "--%s: there is no type \"%.40s\"; f32, f16, bf16, q8_0, q2_0, tq2_0, i2_s and tq1_0 are "
                   "supported",
                   option, name);
}

static enum bt_err choose_block_type(struct bt_gguf_job *job, const char *name, struct bt_diag *diag)
{
    if (!name) {
        job->type = job->model->ternary ? nearest_type(job) : bt_gguf_type_named("f16");
        return BT_OK;
    }
    job->type = bt_gguf_type_named(name);
    if (!job->type)
        return fail_unknown("type", name, diag);
    if (job->type->ternary && !job->model->ternary)
        return bt_fail(
            diag, BT_EUSAGE,
            "--type %s holds ternary weights, and those of %s are not; f32, f16, bf16 and q8_0 can hold them", name,
            job->model->source->path);
    const struct bt_param *unfit = first_unfit(job, job->type);
    if (unfit)
        return bt_fail(diag, BT_EUSAGE,
                       "--type %s has blocks of %zu, and the rows of \"%s\" are %zu long; the smallest type that fits "
                       "and that all releases of llama.cpp know is %s",
                       name, job->type->block, unfit->name, unfit->shape[1], nearest_type(job)->name);
    return BT_OK;
}

/* Embedding, head, and linear layers that were left out of quantisation: not ternary. */
static enum bt_err choose_full_type(const struct bt_gguf_job *job, const char *option, const char *name,
                                    const struct bt_gguf_type_info **ret_type, struct bt_diag *diag)
{
    const struct bt_gguf_type_info *type = bt_gguf_type_named(name);
    const size_t hidden = job->model->source->shape.hidden;
    if (!type)
        return fail_unknown(option, name, diag);
    if (type->ternary)
        return bt_fail(diag, BT_EUSAGE, "--%s %s: it is not ternary; f32, f16, bf16 and q8_0 can hold it", option,
                       name);
    if (hidden % type->block)
        return bt_fail(diag, BT_EUSAGE, "--%s %s has blocks of %zu, and hidden_size is %zu; f16 fits", option, name,
                       type->block, hidden);
    *ret_type = type;
    return BT_OK;
}

static enum bt_err check_full_layers(const struct bt_gguf_job *job, struct bt_diag *diag)
{
    const struct bt_params *params = &job->model->source->params;
    for (size_t i = 0; i < params->count; i++)
        if (params->list[i].rank == 2 && params->list[i].shape[1] % bt_gguf_job_type(job, i)->block)
            return bt_fail(diag, BT_EUSAGE,
                           "--embedding-type %s does not fit \"%s\", which is not ternary: its rows are %zu "
                           "long; f16 does",
                           job->embedding->name, params->list[i].name, params->list[i].shape[1]);
    return BT_OK;
}

static enum bt_err choose_types(struct bt_gguf_job *job, const struct bt_gguf_options *options, struct bt_diag *diag)
{
    const char *embedding = options->embedding_type ? options->embedding_type : "f16";
    enum bt_err err = choose_full_type(job, "embedding-type", embedding, &job->embedding, diag);
    if (!err)
        err = choose_full_type(job, "head-type", options->head_type ? options->head_type : embedding, &job->head, diag);
    if (!err && options->head_type && job->model->source->shape.tied)
        err = bt_fail(diag, BT_EUSAGE,
                      "--head-type %s: the head of this model is its embedding; --embedding-type is "
                      "for both",
                      options->head_type);
    if (!err)
        err = choose_block_type(job, options->type, diag);
    return err ? err : check_full_layers(job, diag);
}

/* ---- tensors ---- */

static void name_tensors(const struct bt_gguf_job *job, struct bt_gguf_out *out)
{
    const struct bt_params *params = &job->model->source->params;
    const struct bt_shape *shape = &job->model->source->shape;
    for (size_t i = 0; i < params->count; i++) {
        const struct bt_param *param = &params->list[i];
        char name[BT_GGUF_NAME_MAX + 1];
        bt_gguf_tensor_name(param, name);
        bt_gguf_put_tensor(out, name, bt_gguf_job_type(job, i), param->shape[param->rank - 1],
                           param->rank == 2 ? param->shape[0] : 0);
    }
    if (shape->rope.scaling == BT_ROPE_SCALING_LLAMA3)
        bt_gguf_put_tensor(out, BT_GGUF_ROPE_FREQS, bt_gguf_type_find(BT_GGUF_F32), shape->head_dim / 2, 0);
}

/* One row at a time. scratch has room for a row in any type. */
static void put_rows(const struct bt_gguf_job *job, size_t i, struct bt_gguf_out *out, unsigned char *scratch)
{
    const struct bt_frozen *tensor = &job->model->tensors[i];
    const struct bt_param *param = tensor->param;
    const struct bt_gguf_type_info *type = bt_gguf_job_type(job, i);
    const size_t cols = param->rank == 2 ? param->shape[1] : 1, bytes = cols / type->block * type->bytes;
    for (size_t r = 0; r < param->shape[0]; r++) {
        const size_t from = bt_gguf_row(param, &job->model->source->shape, job->arch == BT_GGUF_LLAMA, r) * cols;
        if (tensor->codes)
            bt_gguf_encode_codes(type, scratch, tensor->codes + from, cols, tensor->scale);
        else
            bt_gguf_encode_floats(type, scratch, bt_export_weights(job->model, i) + from, cols);
        bt_gguf_put_data(out, scratch, bytes);
    }
    if (type->tail) {
        bt_gguf_encode_tail(scratch, tensor->scale);
        bt_gguf_put_data(out, scratch, type->tail);
    }
}

/* What llama.cpp divides the frequencies by. */
static void put_rope_divisors(const struct bt_shape *shape, struct bt_gguf_out *out)
{
    struct bt_rope plain = shape->rope;
    plain.scaling = BT_ROPE_SCALING_NONE;
    for (size_t j = 0; j < shape->head_dim / 2; j++) {
        const float divisor = (float)(bt_rope_frequency(&plain, j, shape->head_dim) /
                                      bt_rope_frequency(&shape->rope, j, shape->head_dim));
        bt_gguf_put_data(out, &divisor, sizeof divisor);
    }
}

static enum bt_err put_values(const struct bt_gguf_job *job, struct bt_gguf_out *out, struct bt_diag *diag)
{
    const struct bt_loaded_model *source = job->model->source;
    size_t widest = 64; /* a tail has 32 bytes */
    for (size_t i = 0; i < source->params.count; i++)
        if (source->params.list[i].rank == 2 && source->params.list[i].shape[1] > widest)
            widest = source->params.list[i].shape[1];
    unsigned char *scratch = bt_zalloc(widest, sizeof(float));
    if (!scratch)
        return bt_fail_nomem(diag);
    for (size_t i = 0; i < source->params.count; i++)
        put_rows(job, i, out, scratch);
    if (source->shape.rope.scaling == BT_ROPE_SCALING_LLAMA3)
        put_rope_divisors(&source->shape, out);
    bt_free(scratch);
    return BT_OK;
}

/* ---- the file ---- */

static enum bt_err write_file(const struct bt_gguf_job *job, const char *path, struct bt_export_report *report,
                              struct bt_diag *diag)
{
    struct bt_gguf_out *out = NULL;
    enum bt_err err = bt_gguf_out_open(path, &out, diag);
    if (err)
        return err;
    err = bt_gguf_put_keys(job, out, report, diag);
    if (!err) {
        name_tensors(job, out);
        err = put_values(job, out, diag);
    }
    if (!err)
        return bt_gguf_out_close(out, &report->bytes, diag);
    bt_gguf_out_abandon(out);
    return err;
}

static void note_differences(const struct bt_gguf_job *job, struct bt_export_report *report)
{
    if (job->type->type == BT_GGUF_I2_S)
        bt_export_note(report, "i2_s is a type of bitnet.cpp (x86); llama.cpp refuses its number");
    if (job->type->type == BT_GGUF_Q2_0)
        bt_export_note(report, "q2_0 is known to llama.cpp since July 2026; earlier releases refuse its number");
    if (job->model->int8 && !job->type->ternary)
        bt_export_note(report,
                       "llama.cpp does not quantise activations to 8 bits a token as training did: what it does "
                       "with %s is described in docs/interop.md",
                       job->type->name);
}

enum bt_err bt_export_gguf(const struct bt_export_model *model, const struct bt_gguf_options *options, const char *path,
                           struct bt_export_report *report, struct bt_diag *diag)
{
    struct bt_gguf_job job = {.model = model};
    *report = (struct bt_export_report){0};
    enum bt_err err = bt_export_gguf_arch(model, &job.arch, diag);
    if (!err)
        err = choose_types(&job, options, diag);
    if (err)
        return err;
    for (size_t i = 0; i < model->source->params.count; i++)
        report->ternary += model->tensors[i].codes != NULL;
    report->full = model->source->params.count - report->ternary;
    err = write_file(&job, path, report, diag);
    if (!err && options->verify)
        err = bt_gguf_verify(&job, path, report, diag);
    note_differences(&job, report);
    return err;
}
