/* Reading an exported folder back: the same numbers, and the same logits. */
#include <string.h>

#include "base/mem.h"
#include "export/hf_parts.h"
#include "export/verify.h"
#include "kernels/quantize.h"
#include "train/packed.h"

/* What the folder must hold for row i of the table, as weights of a model; false when no weights have such a scale. */
static bool expect(const struct bt_hf_job *job, size_t i, float *w)
{
    const struct bt_frozen *tensor = &job->model->tensors[i];
    const size_t n = tensor->param->count;
    const float *source = bt_export_weights(job->model, i);
    const double factor = bt_hf_factor(job, i);
    if (!tensor->codes) {
        for (size_t j = 0; j < n; j++)
            w[j] = bt_hf_read_back(bt_hf_stored(job, source[j], factor), factor);
        return true;
    }
    if (job->options->form == BT_HF_ONLINE) {
        memcpy(w, source, n * sizeof *w);
        return true;
    }
    if (job->options->form == BT_HF_DENSE) {
        bt_weight_dequantize(w, tensor->codes, n, tensor->scale);
        return true;
    }
    bt_weight_codes_float(w, tensor->codes, n);
    return bt_ternary_masters(w, n, bt_hf_scale(job, tensor));
}

/* Codes as any user of the folder gets them: by quantising what was read. */
static enum bt_err compare_codes(const struct bt_frozen *tensor, const float *found, const char *path,
                                 struct bt_diag *diag)
{
    const size_t n = tensor->param->count;
    enum bt_err err = BT_OK;
    int8_t *codes = bt_alloc(n);
    if (!codes)
        return bt_fail_nomem(diag);
    bt_weight_codes(codes, found, n, bt_weight_scale(found, n));
    for (size_t i = 0; i < n && !err; i++)
        if (codes[i] != tensor->codes[i])
            err = bt_fail(diag, BT_EPARTIAL, "%s: verification failed: tensor \"%s\": code %zu read back differs", path,
                          tensor->param->name, i);
    bt_free(codes);
    return err;
}

static enum bt_err compare_tensor(const struct bt_hf_job *job, size_t i, const float *expected, const float *found,
                                  const char *path, struct bt_diag *diag)
{
    const struct bt_frozen *tensor = &job->model->tensors[i];
    const size_t n = tensor->param->count;
    if (tensor->codes && job->options->form != BT_HF_DENSE) {
        const enum bt_err err = compare_codes(tensor, found, path, diag);
        if (err)
            return err;
        if (bt_weight_scale(found, n) != bt_weight_scale(expected, n))
            return bt_fail(diag, BT_EPARTIAL,
                           "%s: verification failed: tensor \"%s\": its scale is %.9g when read back, and was %.9g",
                           path, tensor->param->name, (double)bt_weight_scale(found, n),
                           (double)bt_weight_scale(expected, n));
    }
    return bt_verify_values(tensor->param, expected, found, path, diag);
}

static enum bt_err compare_tensors(const struct bt_hf_job *job, const struct bt_loaded_model *again,
                                   const float *expected, const char *path, struct bt_diag *diag)
{
    const struct bt_params *params = &job->model->source->params;
    enum bt_err err = BT_OK;
    for (size_t i = 0; i < params->count && !err; i++) {
        const struct bt_param *param = &params->list[i], *found;
        err = bt_verify_find(again, param, path, &found, diag);
        if (!err)
            err = compare_tensor(job, i, expected + param->offset, again->weights + found->offset, path, diag);
    }
    return err;
}

static enum bt_err compare_logits(const struct bt_hf_job *job, const struct bt_loaded_model *again,
                                  const float *expected, const char *path, struct bt_export_report *report,
                                  struct bt_diag *diag)
{
    const struct bt_export_model *model = job->model;
    const struct bt_hf_marks *marks = &again->config->marks;
    const bool quantized = job->options->form != BT_HF_DENSE;
    const struct bt_verify_side want = {&model->source->params, expected, quantized && model->ternary,
                                        quantized && model->int8};
    const struct bt_verify_side got = {&again->params, again->weights, marks->ternary, marks->int8};
    const enum bt_err err = bt_verify_logits(&want, &got, report, diag);
    if (!err && !(report->logit_difference == 0.0))
        return bt_fail(diag, BT_EPARTIAL,
                       "%s: verification failed: the tensors are the same when read back, but logits differ by %g",
                       path, report->logit_difference);
    return err;
}

/* The weights that the folder must give. */
static enum bt_err expect_all(const struct bt_hf_job *job, float *expected, struct bt_diag *diag)
{
    const struct bt_params *params = &job->model->source->params;
    for (size_t i = 0; i < params->count; i++)
        if (!expect(job, i, expected + params->list[i].offset))
            return bt_fail(diag, BT_EINPUT, "%s: tensor \"%s\": no float32 weights have its scale %g",
                           job->model->source->path, params->list[i].name, (double)job->model->tensors[i].scale);
    return BT_OK;
}

enum bt_err bt_hf_verify(const struct bt_hf_job *job, const char *path, struct bt_export_report *report,
                         struct bt_diag *diag)
{
    const struct bt_params *params = &job->model->source->params;
    struct bt_loaded_model *again = NULL;
    float *expected = bt_zalloc(params->total, sizeof *expected);
    enum bt_err err = expected ? expect_all(job, expected, diag) : bt_fail_nomem(diag);
    if (err)
        goto done;
    if (!(err = bt_verify_load(path, &again, diag)))
        err = compare_tensors(job, again, expected, path, diag);
    if (!err)
        err = compare_logits(job, again, expected, path, report, diag);
    if (!err)
        report->verified_tensors = params->count;
done:
    bt_model_unload(again);
    bt_free(expected);
    return err;
}
