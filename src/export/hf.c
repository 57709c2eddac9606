#include "export/hf.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "export/hf_parts.h"
#include "io/file.h"
#include "io/json.h"
#include "train/checksums.h"

/* What the forms with a quantization_config compute: ternary weights and int8 activations, both or not at all. */
static enum bt_err check_quantisation(const struct bt_hf_job *job, struct bt_diag *diag)
{
    const struct bt_export_model *model = job->model;
    if (job->options->form == BT_HF_DENSE || (model->ternary && model->int8))
        return BT_OK;
    return bt_fail(
        diag, BT_EUSAGE,
        "%s: its linear layers have %s weights and %s activations, and transformers' BitNet layers are ternary "
        "with int8 activations; --quantization-mode none writes it without quantising activations",
        model->source->path, model->ternary ? "ternary" : "float", model->int8 ? "int8" : "float");
}

static enum bt_err check_rows(const struct bt_hf_job *job, struct bt_diag *diag)
{
    const struct bt_params *params = &job->model->source->params;
    for (size_t i = 0; bt_hf_is_packed(job) && i < params->count; i++)
        if (job->model->tensors[i].codes && params->list[i].shape[0] % 4)
            return bt_fail(
                diag, BT_EUSAGE,
                "%s: tensor \"%s\" has %zu rows, and packed folders need multiples of 4; --quantization-mode "
                "online or none can hold it",
                job->model->source->path, params->list[i].name, params->list[i].shape[0]);
    return BT_OK;
}

/* The largest relative error of 1 / weight_scale. */
static double reciprocal_error(const struct bt_hf_job *job)
{
    double largest = 0.0;
    for (size_t i = 0; i < job->model->source->params.count; i++) {
        const struct bt_frozen *tensor = &job->model->tensors[i];
        if (tensor->codes)
            largest = fmax(largest, fabs((double)bt_hf_scale(job, tensor) / (double)tensor->scale - 1.0));
    }
    return largest;
}

static void note_differences(const struct bt_hf_job *job, struct bt_export_report *report)
{
    const struct bt_export_model *model = job->model;
    const enum bt_hf_form form = job->options->form;
    if (model->ternary && model->lambda < 1.0)
        bt_export_note(report, "training ended at lambda %g; the export is the model at lambda 1", model->lambda);
    if (form == BT_HF_BITLINEAR)
        bt_export_note(report,
                       "weight_scale holds 1 / scale: the scales that it gives are off by up to %.2g of their size",
                       reciprocal_error(job));
    if (form == BT_HF_DENSE && model->int8)
        bt_export_note(report, "activations will not be quantised: logits differ from those of the ternary model");
    if (form == BT_HF_DENSE && model->ternary)
        bt_export_note(report,
                       "weights are codes times scale: quantising them again would shrink the scales, so do not "
                       "train from this folder");
    if (job->target.norms)
        bt_export_note(report, "SubLN norms are in quantization_config.use_rms_norm, for a class that has none; other "
                               "programs than transformers do not know it");
}

static enum bt_err write_config(const struct bt_hf_job *job, const char *folder, struct bt_diag *diag)
{
    const struct bt_export_model *model = job->model;
    const enum bt_hf_form form = job->options->form;
    const struct bt_hf_export_form written = {.family = job->target.family,
                                              .dtype = form == BT_HF_ONLINE || job->options->float32 ? "float32"
                                                                                                     : "bfloat16",
                                              .quantized = form != BT_HF_DENSE,
                                              .bitlinear = form == BT_HF_BITLINEAR,
                                              .online = form == BT_HF_ONLINE,
                                              .norms = job->target.norms};
    struct bt_hf_marks marks = model->source->config->marks;
    marks.present = true;
    marks.ternary = marks.int8 = written.quantized;
    marks.lambda = 1.0;
    json_t *object = NULL;
    char *path = bt_path_join(folder, "config.json");
    enum bt_err err =
        path ? bt_hf_config_export(model->source->config, &written, &marks, &object, diag) : bt_fail_nomem(diag);
    if (!err)
        err = bt_json_write(path, object, diag);
    json_decref(object);
    bt_free(path);
    return err;
}

static enum bt_err write_weights(const struct bt_hf_job *job, const char *folder, struct bt_export_report *report,
                                 struct bt_diag *diag)
{
    struct bt_hf_tensors tensors = {0};
    char *path = bt_path_join(folder, "model.safetensors");
    enum bt_err err = path ? bt_hf_tensors_make(job, &tensors, diag) : bt_fail_nomem(diag);
    if (!err)
        err = bt_safetensors_write_sealed(path, tensors.list, tensors.count, diag);
    report->full = tensors.full;
    report->ternary = job->model->source->params.count - tensors.full;
    bt_hf_tensors_finish(&tensors);
    bt_free(path);
    return err;
}

static enum bt_err measure(const char *folder, uint64_t *ret_bytes, struct bt_diag *diag)
{
    char **names = NULL;
    size_t count = 0;
    enum bt_err err = bt_dir_list(folder, &names, &count, diag);
    *ret_bytes = 0;
    for (size_t i = 0; i < count && !err; i++) {
        uint64_t hash, size = 0;
        char *path = bt_path_join(folder, names[i]);
        err = path ? bt_file_hash(path, &hash, &size, diag) : bt_fail_nomem(diag);
        *ret_bytes += size;
        bt_free(path);
    }
    bt_names_free(names, count);
    return err;
}

enum bt_err bt_export_hf(const struct bt_export_model *model, const struct bt_hf_options *options, const char *path,
                         struct bt_export_report *report, struct bt_diag *diag)
{
    struct bt_hf_job job = {.model = model, .options = options};
    *report = (struct bt_export_report){0};
    enum bt_err err = check_quantisation(&job, diag);
    if (!err)
        err = bt_export_hf_target(model, options->form != BT_HF_DENSE, &job.target, diag);
    if (!err)
        err = check_rows(&job, diag);
    if (!err)
        err = write_config(&job, path, diag);
    if (!err)
        err = bt_model_copy_companions(model->source->path, path, diag);
    if (!err)
        err = bt_checksums_write(path, diag);
    if (!err)
        err = write_weights(&job, path, report, diag);
    if (!err)
        err = bt_dir_sync(path, diag);
    if (!err)
        err = measure(path, &report->bytes, diag);
    if (!err && options->verify)
        err = bt_hf_verify(&job, path, report, diag);
    note_differences(&job, report);
    return err;
}
