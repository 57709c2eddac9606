/* The numbers that a file of each form holds. */
#include <string.h>

#include "base/half.h"
#include "export/hf_parts.h"
#include "train/second_norm.h"

bool bt_hf_is_packed(const struct bt_hf_job *job)
{
    return job->options->form == BT_HF_AUTOBITLINEAR || job->options->form == BT_HF_BITLINEAR;
}

/* To what the file will hold. */
static float rounded(const struct bt_hf_job *job, float value)
{
    const bool wide = job->options->float32 || job->options->form == BT_HF_ONLINE;
    return wide ? value : bt_f32_from_bf16(bt_bf16_from_f32(value));
}

float bt_hf_stored_scale(const struct bt_hf_job *job, const struct bt_frozen *tensor)
{
    return job->options->form == BT_HF_BITLINEAR ? rounded(job, 1.0f / tensor->scale) : tensor->scale;
}

float bt_hf_scale(const struct bt_hf_job *job, const struct bt_frozen *tensor)
{
    const float stored = bt_hf_stored_scale(job, tensor);
    return job->options->form == BT_HF_BITLINEAR ? 1.0f / stored : stored;
}

double bt_hf_factor(const struct bt_hf_job *job, size_t i)
{
    const struct bt_frozen *tensor = &job->model->tensors[i];
    const enum bt_param_kind kind = tensor->param->kind;
    const double eps = job->model->source->config->rms_norm_eps;
    double factor;
    if (job->target.norms && (kind == BT_P_INPUT_NORM || kind == BT_P_POST_NORM) &&
        bt_second_norm_factor(eps, bt_second_norm_first_gain(eps), &factor))
        return factor;
    /* a bias stands in the table right behind its weight */
    if (job->options->form == BT_HF_AUTOBITLINEAR && bt_param_is_bias(kind) && tensor[-1].codes)
        return (double)tensor[-1].scale;
    return 1.0;
}

/* To 16 significant bits, to nearest, ties to even. Times the 8 of a bfloat16 scale they fit float32's 24, so that is
 * exact; and what another factor adds in the last of 24 bits does not survive the next rounding to 16. */
static float round_to_16_bits(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    bits += 0x7f + (bits >> 8 & 1);
    bits &= ~UINT32_C(0xff);
    memcpy(&value, &bits, sizeof value);
    return value;
}

float bt_hf_stored(const struct bt_hf_job *job, float value, double factor)
{
    return rounded(job, factor == 1.0 ? value : round_to_16_bits((float)((double)value / factor)));
}

float bt_hf_read_back(float stored, double factor)
{
    return (float)((double)stored * factor);
}
