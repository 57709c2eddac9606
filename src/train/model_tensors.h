/* train/model_tensors.h - which tensors of a model's files fill which row of its table, under whatever names and in
 * whatever form they lie there. Private to the files model_*.c of this folder.
 *
 * Besides our own (Hugging Face's) names and dense tensors:
 *   WrinkleFree     o_proj and down_proj are a norm and a matrix: o_proj.0.weight, o_proj.1.weight
 *   packed          a linear layer's codes (train/packed.h), or -1, 0 and 1 as floats, beside its .weight_scale
 *   use_rms_norm    a norm X.rms_norm in front of each converted layer X: those of o_proj and down_proj are the SubLN
 *                   norms. The others stand behind the norm of the class, and the two are one: train/second_norm.h. */
#ifndef BT_TRAIN_MODEL_TENSORS_H
#define BT_TRAIN_MODEL_TENSORS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "io/safetensors.h"
#include "train/model_folder.h"

enum bt_part {                /* what a tensor of the files is to a row of the table */
               BT_PART_WHOLE, /* its values or its codes */
               BT_PART_SCALE, /* weight_scale */
               BT_PART_FIRST, /* use_rms_norm: the norm in front of the norms (train/second_norm.h) */
               BT_PART_SAME,  /* use_rms_norm: gains that must be equal, because our layers share one norm */
               BT_PART_SAME2,
               BT_PARTS
};

struct bt_slot {
    const struct bt_tensor_view *part[BT_PARTS]; /* NULL: not there */
    bool packed;                                 /* codes and a scale */
    float scale;                                 /* then: weight = code * scale */
};

struct bt_tensor_map {
    struct bt_slot *slots;                 /* one for each row of the table; owned */
    const struct bt_tensor_view *own_head; /* lm_head.weight of a tied model, or NULL */
};

/* Is the folder's model one with SubLN norms? All of them must be there when one is. */
bool bt_tensors_have_sub_norm(const struct bt_safetensors *file, const struct bt_hf_config *config);

/* Finds every tensor its place and checks everything but the values: after this the memory for them is earned. No
 * tensor of the files goes unused without a word. BT_EINPUT naming file and tensor. */
enum bt_err bt_tensor_map_init(struct bt_tensor_map *map, const struct bt_loaded_model *model,
                               const struct bt_safetensors *file, struct bt_diag *diag);
void bt_tensor_map_finish(struct bt_tensor_map *map); /* takes a zeroed one */

/* Fills model->weights. BT_EINPUT naming the tensor: values that are no codes, scales that quantising never gives. */
enum bt_err bt_tensor_map_read(const struct bt_tensor_map *map, struct bt_loaded_model *model, struct bt_diag *diag);

/* dtype float and shape as the table says. */
enum bt_err bt_tensor_check(const struct bt_tensor_view *view, const struct bt_param *param, struct bt_diag *diag);

#endif
