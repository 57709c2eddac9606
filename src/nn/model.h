/* nn/model.h - a decoder of the Llama family, forward and backward, over memory that is sized once.
 *
 *   ids -> embedding -> blocks -> final norm -> head and cross entropy, in slices of rows
 *
 * The model borrows its parameter table and the flat buffers of weights and gradients; all else it needs lies in one
 * arena. A pass allocates nothing. */
#ifndef BT_NN_MODEL_H
#define BT_NN_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "nn/batch.h"
#include "nn/compute.h"
#include "nn/distill.h"
#include "nn/params.h"

/* What is left of a forward when it is done. */
enum bt_keep {
    BT_KEEP_ALL,    /* everything: what backward and bt_model_branch_squares want */
    BT_KEEP_INPUTS, /* what bt_model_hidden gives; the blocks share all other buffers, and backward runs forward again
                     * inside each block: less memory, more time, the same bits (activation checkpointing) */
    BT_KEEP_LAST,   /* only what goes into the final norm; not with gradients */
};

struct bt_model_options {
    size_t rows, seq;     /* the largest batch; seq is also the number of RoPE positions */
    bool ternary_weights; /* linear layers are quantised (but for params' excluded ones) */
    bool int8_activations;
    bool gradients; /* false: forward only, no backward buffers */
    enum bt_keep keep;
    bool keep_qkv; /* q, k and v of the block qkv_layer stay, for bt_model_qkv */
    size_t qkv_layer;
    bool headless;                    /* forward only, and nothing behind the blocks is ever asked for */
    const struct bt_distill *distill; /* room for bt_model_learn with these terms; NULL: none. Borrowed */
};

struct bt_model;
struct bt_qkv; /* nn/block.h */
struct bt_input_counts;

/* Bytes of the model's own memory: codes, saved activations, scratch. 0 when the sizes overflow. */
size_t bt_model_memory(const struct bt_params *params, const struct bt_model_options *options);

/* params, weights, gradients (NULL without options->gradients) and compute are borrowed and outlive the model.
 * BT_ENOMEM; BT_EINPUT when a row is too long for the exact product. */
enum bt_err bt_model_create(const struct bt_params *params, const struct bt_model_options *options,
                            const float *weights, float *gradients, const struct bt_compute *compute,
                            struct bt_model **ret_model, struct bt_diag *diag);
void bt_model_destroy(struct bt_model *model); /* takes NULL */

/* Ternary codes and scales of all weights: once after every change of the weights, before the passes that use them. */
void bt_model_prepare(struct bt_model *model);

/* As that left them: the codes of a weight of `params`, in its shape, and their scale. NULL for one without. */
const int8_t *bt_model_codes(const struct bt_model *model, const struct bt_param *param, float *ret_scale);
/* A tensor of `params` where it lies in the weights. */
const float *bt_model_weight(const struct bt_model *model, const struct bt_param *param);
/* From now on each forward of a block overwrites what it counts in its inputs, (layers, BT_INPUT_COUNT), where codes
 * are made at all. NULL: no longer. */
void bt_model_count_inputs(struct bt_model *model, struct bt_input_counts *counts);

/* Forward. Returns the sum of the losses over the batch's labels, in nats. batch->rows <= options.rows; seq as created.
 */
double bt_model_loss(struct bt_model *model, const struct bt_batch *batch, float lambda);
/* Forward and backward: adds to the gradients those of (sum of losses) * scale. scale is not 0. Returns the sum
 * of the losses, unscaled. */
double bt_model_backward(struct bt_model *model, const struct bt_batch *batch, float lambda, float scale);

/* Forward of the first `blocks` blocks alone, nothing behind them. */
void bt_model_forward(struct bt_model *model, const struct bt_batch *batch, float lambda, size_t blocks);
/* After a forward of a model with keep_qkv. Whoever reads them may write into them. */
const struct bt_qkv *bt_model_qkv(const struct bt_model *model);
/* Forward and backward of a model that was created with options->distill: adds to the gradients those of the sum of all
 * terms, each times its scale. sums: of the terms over the batch, unscaled, 0 for a term that the stage lacks. Returns
 * whether bt_model_losses has the losses of the labels: not where no term asks for logits. */
bool bt_model_learn(struct bt_model *model, const struct bt_batch *batch, float lambda, const struct bt_lesson *lesson,
                    double sums[BT_TERM_COUNT]);

/* Forward, and the logits (n, vocab) of every position: for tests and small batches. */
void bt_model_logits(struct bt_model *model, const struct bt_batch *batch, float lambda, float *logits);
/* After a loss or a backward: the loss of each token of the batch (n), in nats; 0 where there is no label. */
const double *bt_model_losses(const struct bt_model *model);
/* The same slice by slice: each(context, first, rows, logits) is given the logits (rows, vocab) of the tokens from
 * `first` on, which are gone when it returns. */
void bt_model_each_logits(struct bt_model *model, const struct bt_batch *batch, float lambda,
                          void (*each)(void *context, size_t first, size_t rows, const float *logits), void *context);
/* After a forward: the input of block i (i < layers), or of the final norm (i = layers), (n, hidden). */
const float *bt_model_hidden(const struct bt_model *model, size_t i);
/* After a forward: sums of squares, in double, over the batch's first n tokens, of what enters (or would enter) block
 * i's attn_sub_norm and ffn_sub_norm. */
void bt_model_branch_squares(struct bt_model *model, size_t i, size_t n, double *ret_attn, double *ret_ffn);

#endif
