/* nn/infer_state.h - what the engine's two files share: its memory and weights (infer_load.c), its passes (infer.c). */
#ifndef BT_NN_INFER_STATE_H
#define BT_NN_INFER_STATE_H

#include "base/mem.h"
#include "nn/block.h"
#include "nn/infer.h"

/* Tokens of a prompt that go through the blocks together; a multiple of attention's tile. */
enum { BT_INFER_PIECE = 256 };

struct bt_infer {
    struct bt_arena arena;
    const struct bt_params *params;
    const struct bt_shape *shape;
    const struct bt_compute *compute;
    struct bt_infer_options options;
    enum bt_panel_format linear_format, head_format;
    float *small;                  /* gains and biases, one behind the other in the order of the table */
    float *embedding;              /* (vocab, hidden) */
    struct bt_block *blocks;       /* (layers) */
    struct bt_fixed_linear *fixed; /* (layers, 7) in the order of the table */
    const float *final_gain;       /* (hidden) */
    struct bt_panels head;
    void *head_panels;
    float *head_scales;   /* (vocab) of INT8 */
    float *keys, *values; /* (layers, context, kv_heads * head_dim) */
    float *cosine, *sine; /* (context, head_dim / 2) */
    struct bt_block_scratch scratch;
    float *x[2];                              /* (piece, hidden) a block's input and its output */
    float *normed;                            /* (hidden) */
    int32_t *position, *first, *first_window; /* (piece) */
    size_t length, weight_bytes;
};

#endif
