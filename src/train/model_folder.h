/* train/model_folder.h - a Hugging Face model folder to weights in memory, and back. */
#ifndef BT_TRAIN_MODEL_FOLDER_H
#define BT_TRAIN_MODEL_FOLDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "config/hf_config.h"
#include "nn/params.h"
#include "nn/shape.h"

struct bt_loaded_model {
    struct bt_hf_config *config;
    struct bt_shape shape;   /* sub_norm as the tensors say */
    struct bt_params params; /* borrows shape; excluded as the folder's marks say */
    bool packed;             /* the files hold ternary codes, and weights are their masters */
    float *weights;          /* (params.total), 64-byte aligned; in memory. NULL when they are mapped */
    const float *values;     /* the weights to be read: `weights`, or the mapped file */
    struct bt_arena memory;
    struct bt_safetensors *mapped; /* NULL when they are in memory */
    char *path;                    /* of the folder that config.json (and a tokenizer) lies in, or of the GGUF file */
};

/* Reads config.json and the tensors (F32, F16 or BF16, or packed ternary codes; train/model_tensors.h has the forms).
 * BT_EINPUT naming file and tensor: missing, unknown or misshapen tensors, bytes that are no codes, a tied model with a
 * different lm_head.weight; or a file that is not the one of its checksum, where there is one. `path` may also be a
 * checkpoint folder, or a GGUF file as bitnet-export writes them.
 *
 * Packed layers become the master weights of bt_ternary_masters: quantised, they give the file's codes and scale again,
 * so the model computes at lambda 1 what the file says, and training goes on from there. */
enum bt_err bt_model_load(const char *path, struct bt_loaded_model **ret_model, struct bt_diag *diag);
/* The same for a model that is only read: where all its tensors are F32 in one file, on addresses that floats may have,
 * `values` and params' offsets lead into that file, whose pages all processes of a machine share. Else it is loaded. */
enum bt_err bt_model_map(const char *path, struct bt_loaded_model **ret_model, struct bt_diag *diag);
/* The same from a config.json alone, with random weights; BitNet's own and bitnet_<family> configs have SubLN norms. */
enum bt_err bt_model_random(const char *config_path, uint64_t seed, struct bt_loaded_model **ret_model,
                            struct bt_diag *diag);
/* Config, shape and table alone, checked against the tensors' names and shapes; weights stay NULL. path as for
 * bt_model_load, or NULL for a config_path as for bt_model_random. */
enum bt_err bt_model_inspect(const char *path, const char *config_path, struct bt_loaded_model **ret_model,
                             struct bt_diag *diag);
void bt_model_unload(struct bt_loaded_model *model); /* takes NULL */

/* Does the folder hold a BitNet model: SubLN tensors, or marked so? */
bool bt_is_bitnet_model(const struct bt_loaded_model *model);

/* Writes config.json and model.safetensors (float32) into the existing folder `path`, each synced, and copies the
 * tokenizer and generation files from `source` (NULL: none; of a GGUF file, the tokenizer). ret_hash (may be NULL):
 * XXH3-64 of model.safetensors. */
enum bt_err bt_model_write(const char *path, const struct bt_hf_config *config, const struct bt_params *params,
                           const float *weights, const struct bt_hf_marks *marks, const char *source,
                           uint64_t *ret_hash, struct bt_diag *diag);
/* The tokenizer and generation files alone, each synced. */
enum bt_err bt_model_copy_companions(const char *from, const char *to, struct bt_diag *diag);
/* Bytes that bt_model_write will need on disk, rounded up a little. */
uint64_t bt_model_disk_size(const struct bt_params *params, const char *source);

#endif
