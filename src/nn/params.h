/* nn/params.h - the parameter table: one row a tensor, under its Hugging Face name, at its place in a flat float32
 * buffer.
 *
 * Parameters, gradients and both moments are flat buffers of `total` floats with this same layout; the optimizer,
 * clipping, checkpoints and export all walk the table. */
#ifndef BT_NN_PARAMS_H
#define BT_NN_PARAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "nn/shape.h"

enum bt_param_kind { /* order of the table: embedding, per layer these in order, final norm, head */
                     BT_P_EMBED,
                     BT_P_INPUT_NORM,
                     BT_P_Q,
                     BT_P_Q_BIAS,
                     BT_P_K,
                     BT_P_K_BIAS,
                     BT_P_V,
                     BT_P_V_BIAS,
                     BT_P_Q_NORM,
                     BT_P_K_NORM,
                     BT_P_ATTN_SUB_NORM,
                     BT_P_O,
                     BT_P_O_BIAS,
                     BT_P_POST_NORM,
                     BT_P_GATE,
                     BT_P_GATE_BIAS,
                     BT_P_UP,
                     BT_P_UP_BIAS,
                     BT_P_FFN_SUB_NORM,
                     BT_P_DOWN,
                     BT_P_DOWN_BIAS,
                     BT_P_FINAL_NORM,
                     BT_P_HEAD,
                     BT_P_KINDS
};

struct bt_param {
    char name[96]; /* Hugging Face name */
    enum bt_param_kind kind;
    size_t layer; /* 0 for the tensors that belong to none */
    size_t rank;  /* 1 or 2 */
    size_t shape[2];
    size_t count;  /* product of the shape */
    size_t offset; /* first element in the flat buffers; a multiple of 16, but in a mapped model */
    bool decays;   /* weight decay applies: two dimensions */
    bool linear;   /* the weight of one of the seven linear layers of a block */
    bool excluded; /* such a weight that stage1.exclude_layers keeps out of quantisation */
};

struct bt_params {
    struct bt_param *list;
    size_t count;
    size_t total;                 /* floats in a flat buffer, padding between tensors included (it stays zero) */
    size_t elements;              /* without the padding: "parameters" */
    const struct bt_shape *shape; /* borrowed */
};

/* shape is borrowed and must outlive the table. BT_ENOMEM, or BT_EINPUT when a size overflows. */
enum bt_err bt_params_init(struct bt_params *params, const struct bt_shape *shape, struct bt_diag *diag);
void bt_params_finish(struct bt_params *params); /* takes a zeroed one */

bool bt_param_is_bias(enum bt_param_kind kind);
/* NULL when the shape has no such tensor. For a tied model BT_P_HEAD gives the embedding. */
const struct bt_param *bt_params_get(const struct bt_params *params, enum bt_param_kind kind, size_t layer);
const struct bt_param *bt_params_find(const struct bt_params *params, const char *name);

/* Marks the linear layers whose module name ("model.layers.0.self_attn.q_proj") matches one of the globs as excluded.
 * A glob that matches none is BT_EUSAGE naming it. */
enum bt_err bt_params_exclude(struct bt_params *params, char *const *globs, size_t count, struct bt_diag *diag);

/* Random weights: normal with deviation `initializer_range` drawn from (seed, name, index); gains 1, biases 0. */
void bt_params_randomize(const struct bt_params *params, float *weights, uint64_t seed, double initializer_range);

#endif
