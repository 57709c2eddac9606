/* Reading an exported GGUF file back: every weight as it was to be written, and what that does to the logits. */
#include <string.h>

#include "base/mem.h"
#include "export/gguf_parts.h"
#include "export/verify.h"
#include "kernels/quantize.h"

/* Weights (count) as the type rounds them. */
static enum bt_err round_through(const struct bt_gguf_type_info *type, float *weights, size_t count,
                                 struct bt_diag *diag)
{
    unsigned char *bytes = bt_alloc(count / type->block * type->bytes);
    if (!bytes)
        return bt_fail_nomem(diag);
    bt_gguf_encode_floats(type, bytes, weights, count);
    bt_gguf_decode(type, weights, bytes, count, 0.0f);
    bt_free(bytes);
    return BT_OK;
}

static enum bt_err compare_tensors(const struct bt_gguf_job *job, const struct bt_loaded_model *again, float *want,
                                   const char *path, struct bt_diag *diag)
{
    const struct bt_params *params = &job->model->source->params;
    enum bt_err err = BT_OK;
    for (size_t i = 0; i < params->count && !err; i++) {
        const struct bt_param *param = &params->list[i], *found;
        err = bt_verify_find(again, param, path, &found, diag);
        if (!err && !job->model->tensors[i].codes)
            err = round_through(bt_gguf_job_type(job, i), want + param->offset, param->count, diag);
        if (!err)
            err = bt_verify_values(param, want + param->offset, again->weights + found->offset, path, diag);
    }
    return err;
}

static enum bt_err compare_logits(const struct bt_gguf_job *job, const struct bt_loaded_model *again,
                                  const float *frozen, struct bt_export_report *report, struct bt_diag *diag)
{
    const struct bt_export_model *model = job->model;
    const struct bt_verify_side want = {&model->source->params, frozen, model->ternary, model->int8};
    const struct bt_verify_side got = {&again->params, again->weights, model->ternary, model->int8};
    return bt_verify_logits(&want, &got, report, diag);
}

enum bt_err bt_gguf_verify(const struct bt_gguf_job *job, const char *path, struct bt_export_report *report,
                           struct bt_diag *diag)
{
    struct bt_loaded_model *again = NULL;
    const size_t total = job->model->source->params.total;
    float *frozen = bt_alloc(total * sizeof *frozen), *want = bt_alloc(total * sizeof *want);
    enum bt_err err = frozen && want ? BT_OK : bt_fail_nomem(diag);
    if (!err)
        err = bt_verify_load(path, &again, diag);
    if (!err)
        err = bt_export_frozen_masters(job->model, frozen, diag);
    if (!err) {
        memcpy(want, frozen, total * sizeof *want);
        err = compare_tensors(job, again, want, path, diag);
    }
    if (!err)
        err = compare_logits(job, again, frozen, report, diag);
    if (!err)
        report->verified_tensors = job->model->source->params.count;
    bt_model_unload(again);
    bt_free(want);
    bt_free(frozen);
    return err;
}
