/* nn/shape.h - the shape of a decoder of the Llama family, as plain numbers. Knows no file and no config. */
#ifndef BT_NN_SHAPE_H
#define BT_NN_SHAPE_H

#include <stdbool.h>
#include <stddef.h>

#include "kernels/kernels.h"

enum bt_rope_scaling { BT_ROPE_SCALING_NONE, BT_ROPE_SCALING_LINEAR, BT_ROPE_SCALING_LLAMA3 };

struct bt_rope {
    double theta;
    enum bt_rope_scaling scaling;
    double factor, low_freq_factor, high_freq_factor, original_max_position; /* the last three: llama3 only */
};

struct bt_shape {
    size_t vocab, hidden, ffn, layers;
    size_t heads, kv_heads, head_dim;
    float eps; /* of every norm */
    enum bt_activation act;
    bool tied;                       /* the output head is the embedding */
    bool qkv_bias, o_bias, mlp_bias; /* Qwen2 has the first, Llama may have all */
    bool qk_norm;                    /* Qwen3: RMSNorm over head_dim before RoPE */
    bool sub_norm;                   /* the two SubLN norms of a BitNet block */
    struct bt_rope rope;
    size_t window;      /* sliding window, 0: none */
    size_t window_from; /* layers from this one on have it */
};

#endif
