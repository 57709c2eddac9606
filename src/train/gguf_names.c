#include "train/gguf_names.h"

#include <stdio.h>

static const char *const names[BT_P_KINDS] = {
    [BT_P_EMBED] = "token_embd.weight",
    [BT_P_INPUT_NORM] = "attn_norm.weight",
    [BT_P_Q] = "attn_q.weight",
    [BT_P_Q_BIAS] = "attn_q.bias",
    [BT_P_K] = "attn_k.weight",
    [BT_P_K_BIAS] = "attn_k.bias",
    [BT_P_V] = "attn_v.weight",
    [BT_P_V_BIAS] = "attn_v.bias",
    [BT_P_Q_NORM] = "attn_q_norm.weight",
    [BT_P_K_NORM] = "attn_k_norm.weight",
    [BT_P_ATTN_SUB_NORM] = "attn_sub_norm.weight",
    [BT_P_O] = "attn_output.weight",
    [BT_P_O_BIAS] = "attn_output.bias",
    [BT_P_POST_NORM] = "ffn_norm.weight",
    [BT_P_GATE] = "ffn_gate.weight",
    [BT_P_GATE_BIAS] = "ffn_gate.bias",
    [BT_P_UP] = "ffn_up.weight",
    [BT_P_UP_BIAS] = "ffn_up.bias",
    [BT_P_FFN_SUB_NORM] = "ffn_sub_norm.weight",
    [BT_P_DOWN] = "ffn_down.weight",
    [BT_P_DOWN_BIAS] = "ffn_down.bias",
    [BT_P_FINAL_NORM] = "output_norm.weight",
    [BT_P_HEAD] = "output.weight",
};

static bool in_a_block(enum bt_param_kind kind)
{
    return kind != BT_P_EMBED && kind != BT_P_FINAL_NORM && kind != BT_P_HEAD;
}

void bt_gguf_tensor_name(const struct bt_param *param, char name[BT_GGUF_NAME_MAX + 1])
{
    if (in_a_block(param->kind))
        snprintf(name, BT_GGUF_NAME_MAX + 1, "blk.%zu.%s", param->layer, names[param->kind]);
    else
        snprintf(name, BT_GGUF_NAME_MAX + 1, "%s", names[param->kind]);
}

size_t bt_gguf_row(const struct bt_param *param, const struct bt_shape *shape, bool interleaved, size_t row)
{
    const bool turned =
        param->kind == BT_P_Q || param->kind == BT_P_Q_BIAS || param->kind == BT_P_K || param->kind == BT_P_K_BIAS;
    if (!interleaved || !turned)
        return row;
    const size_t inside = row % shape->head_dim;
    return row - inside + inside % 2 * (shape->head_dim / 2) + inside / 2;
}
