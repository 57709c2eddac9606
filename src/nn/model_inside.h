/* nn/model_inside.h - what a model is made of, for the files that make its passes. Private to src/nn. */
#ifndef BT_NN_MODEL_INSIDE_H
#define BT_NN_MODEL_INSIDE_H

#include "base/mem.h"
#include "nn/block.h"
#include "nn/head.h"
#include "nn/model.h"

struct bt_pupil {        /* memory of the terms; what a stage lacks is NULL */
    double *kl;          /* (n) */
    double *hidden;      /* (n) */
    struct bt_qkv slope; /* gradients of the relations */
    float *stats;        /* (3, n, groups) */
    float *length;       /* (n, groups) */
    double *relation;    /* (n, groups) */
};

struct bt_model {
    struct bt_arena arena;
    const struct bt_params *params;
    const struct bt_shape *shape;
    const struct bt_compute *compute;
    struct bt_model_options options;
    const float *weights;
    float *gradients;
    struct bt_block *blocks; /* (layers) */
    struct bt_block_scratch scratch;
    struct bt_head head;
    float *x_last;         /* (n, hidden) input of the final norm */
    float *dx;             /* (n, hidden) */
    float *cosine, *sine;  /* (seq, head_dim / 2) */
    int32_t *first_window; /* (n) */
    struct bt_qkv qkv;     /* of options.qkv_layer */
    struct bt_pupil pupil; /* with options.distill */
};

struct bt_qkv bt_qkv_carve(struct bt_arena *arena, const struct bt_shape *shape, size_t n);
void bt_pupil_carve(struct bt_pupil *pupil, struct bt_arena *arena, const struct bt_shape *shape,
                    const struct bt_distill *distill, size_t rows, size_t seq);

struct bt_block_context bt_model_context(struct bt_model *model, const struct bt_batch *batch, float lambda);
struct bt_head_context bt_model_head(const struct bt_model *model, const struct bt_batch *batch);
/* Embedding and the first `blocks` blocks. */
void bt_model_run(struct bt_model *model, const struct bt_block_context *context, const struct bt_batch *batch,
                  size_t blocks);
/* The input of block i, or of the final norm for i = layers. */
float *bt_model_block_input(const struct bt_model *model, size_t i);
/* dx: the gradient of block i's output, turned into that of its input. After those of the blocks behind it. */
void bt_model_block_bwd(struct bt_model *model, const struct bt_block_context *context, size_t i);
/* From the gradient of the first block's input, in dx. */
void bt_model_embedding_bwd(struct bt_model *model, const struct bt_batch *batch);

#endif
