/* nn/infer.h - the same model, forward alone and token by token: weights in the form that is read fastest, keys and
 * values of earlier tokens kept.
 *
 * The block is that of training (nn/block.h), so are its formulas. Ternary weights that meet int8 activations at
 * lambda 1 are kept in 2 bits and their sums are exact; all other weights are kept as the floats that training would
 * use, in bfloat16 where that changes none of them. What a token gives does not depend on how many others it was
 * processed with, nor on the number of threads: a prompt fed at once or token by token leaves the same bits. */
#ifndef BT_NN_INFER_H
#define BT_NN_INFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "kernels/panels.h"
#include "nn/compute.h"
#include "nn/params.h"

enum bt_infer_head {                     /* how the weights of the output head are kept */
                     BT_INFER_HEAD_AUTO, /* bfloat16 when every weight is such a number, else float32: exact */
                     BT_INFER_HEAD_F32,
                     BT_INFER_HEAD_BF16, /* rounded */
                     BT_INFER_HEAD_INT8, /* rounded, with a scale a row of the vocabulary */
};

struct bt_infer_options {
    size_t context;       /* tokens that have room */
    bool ternary_weights; /* as in struct bt_model_options */
    bool int8_activations;
    float lambda;
    enum bt_infer_head head;
};

/* Gives the values of a tensor of the table, which stay where they are until the next call. Called several times for
 * some; it cannot fail. */
typedef const float *bt_infer_tensor_fn(void *context, const struct bt_param *param);
/* The one for a flat buffer: context is a const float * with the table's layout. */
bt_infer_tensor_fn bt_infer_flat_tensor;

struct bt_infer;

/* Takes over all weights; what `tensor` reads from may go afterwards. params and compute are borrowed and outlive the
 * engine. BT_ENOMEM; BT_EINPUT when a row is too long for the exact product. */
enum bt_err bt_infer_create(const struct bt_params *params, const struct bt_infer_options *options,
                            bt_infer_tensor_fn *tensor, void *context, const struct bt_compute *compute,
                            struct bt_infer **ret_engine, struct bt_diag *diag);
/* Bytes that it reserves at most while it is created and after, whatever the weights are; 0 when they overflow. */
size_t bt_infer_memory(const struct bt_params *params, const struct bt_infer_options *options);
void bt_infer_destroy(struct bt_infer *engine); /* takes NULL */

size_t bt_infer_length(const struct bt_infer *engine);       /* tokens that it holds */
size_t bt_infer_weight_bytes(const struct bt_infer *engine); /* read for each token: linear layers and head */
enum bt_panel_format bt_infer_head_format(const struct bt_infer *engine);
/* Forgets all but the first `length` tokens; length is at most what it holds. */
void bt_infer_cut(struct bt_infer *engine, size_t length);
/* Appends n ids, each inside the vocabulary; with those that it holds they must fit the context. logits (vocab) of the
 * last one, or NULL. n is not 0. Allocates nothing. */
void bt_infer_feed(struct bt_infer *engine, const int32_t *ids, size_t n, float *logits);

#endif
