/* The numbers that a file of each form holds. */
#include <string.h>

#include "base/half.h"
#include "export/hf_parts.h"

bool bt_hf_is_packed(const struct bt_hf_job *job)
{
    return job->options->form == BT_HF_AUTOBITLINEAR || job->options->form == BT_HF_BITLINEAR;
}

float bt_hf_round(const struct bt_hf_job *job, float value)
{
    const bool wide = job->options->float32 || job->options->form == BT_HF_ONLINE;
    return wide ? value : bt_f32_from_bf16(bt_bf16_from_f32(value));
}

float bt_hf_stored_scale(const struct bt_hf_job *job, const struct bt_frozen *tensor)
{
    return job->options->form == BT_HF_BITLINEAR ? bt_hf_round(job, 1.0f / tensor->scale) : tensor->scale;
}

float bt_hf_scale(const struct bt_hf_job *job, const struct bt_frozen *tensor)
{
    const float stored = bt_hf_stored_scale(job, tensor);
    return job->options->form == BT_HF_BITLINEAR ? 1.0f / stored : stored;
}

float bt_hf_bias_scale(const struct bt_hf_job *job, size_t i)
{
    const struct bt_frozen *tensor = &job->model->tensors[i];
    /* a bias stands in the table right behind its weight */
    const bool scaled = job->options->form == BT_HF_AUTOBITLINEAR && tensor->param->rank == 1 && i > 0 &&
                        tensor[-1].codes && bt_param_is_bias(tensor->param->kind);
    return scaled ? tensor[-1].scale : 1.0f;
}

/* To 16 significant bits, to nearest, ties to even: times the 8 of a bfloat16 scale that fits float32's 24. */
static float round_to_16_bits(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    bits += 0x7f + (bits >> 8 & 1);
    bits &= ~UINT32_C(0xff);
    memcpy(&value, &bits, sizeof value);
    return value;
}

float bt_hf_stored_bias(const struct bt_hf_job *job, float bias, float scale)
{
    if (scale == 1.0f)
        return bt_hf_round(job, bias);
    return bt_hf_round(job, round_to_16_bits(bias / scale));
}
