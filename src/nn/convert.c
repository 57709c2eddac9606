#include "nn/convert.h"

#include <math.h>
#include <string.h>

#include "nn/model.h"

static void fill(float *out, size_t n, float value)
{
    for (size_t i = 0; i < n; i++)
        out[i] = value;
}

static float new_gain(const struct bt_param *param, const struct bt_subln_gains *gains)
{
    if (!gains)
        return 1.0f;
    return param->kind == BT_P_ATTN_SUB_NORM ? gains->attn[param->layer] : gains->ffn[param->layer];
}

void bt_convert_model_to_bitnet(const struct bt_params *from, const float *from_weights, const struct bt_params *to,
                                float *to_weights, const struct bt_subln_gains *gains)
{
    for (size_t i = 0; i < to->count; i++) {
        const struct bt_param *target = &to->list[i];
        const struct bt_param *source = bt_params_find(from, target->name);
        if (source)
            memcpy(to_weights + target->offset, from_weights + source->offset, target->count * sizeof(float));
        else
            fill(to_weights + target->offset, target->count, new_gain(target, gains));
    }
}

void bt_subln_squares_add(struct bt_subln_squares *squares, struct bt_model *model, const struct bt_shape *shape,
                          size_t n)
{
    for (size_t i = 0; i < shape->layers; i++) {
        double attn, ffn;
        bt_model_branch_squares(model, i, n, &attn, &ffn);
        squares->attn[i] += attn;
        squares->ffn[i] += ffn;
    }
    squares->tokens += n;
}

void bt_subln_gains_from(const struct bt_subln_squares *squares, const struct bt_shape *shape,
                         struct bt_subln_gains *gains)
{
    const double tokens = (double)squares->tokens;
    for (size_t i = 0; i < shape->layers; i++) {
        const double attn_width = (double)(shape->heads * shape->head_dim), ffn_width = (double)shape->ffn;
        gains->attn[i] = (float)sqrt(squares->attn[i] / (tokens * attn_width) + (double)shape->eps);
        gains->ffn[i] = (float)sqrt(squares->ffn[i] / (tokens * ffn_width) + (double)shape->eps);
    }
}
