/* train/gguf_names.h - what llama.cpp calls the tensors of a model, and in which order it wants their rows. For reading
 * and for writing. Sources: gguf-py's tensor_mapping.py and the permutation of conversion/llama.py. */
#ifndef BT_TRAIN_GGUF_NAMES_H
#define BT_TRAIN_GGUF_NAMES_H

#include <stdbool.h>
#include <stddef.h>

#include "io/gguf.h"
#include "nn/params.h"

#define BT_GGUF_ROPE_FREQS "rope_freqs.weight" /* f32 (head_dim / 2): divisors of the frequencies; llama3 alone */

/* "blk.3.attn_q.weight" for model.layers.3.self_attn.q_proj.weight. */
void bt_gguf_tensor_name(const struct bt_param *param, char name[BT_GGUF_NAME_MAX + 1]);

/* The row of our tensor that is row `row` of the file's. They differ for q and k of the architecture "llama"
 * (interleaved), whose RoPE turns neighbours, where ours turns a head's halves: in each head, row 2 j + c of the file
 * is row c (head_dim / 2) + j. Biases too. */
size_t bt_gguf_row(const struct bt_param *param, const struct bt_shape *shape, bool interleaved, size_t row);

/* Keys that llama.cpp passes over: what was trained, and how, for a file that is read here again. */
#define BT_GGUF_WEIGHTS        "bitnet_train.weights"        /* "ternary" or "none" */
#define BT_GGUF_ACTIVATIONS    "bitnet_train.activations"    /* "int8" or "none" */
#define BT_GGUF_EXCLUDE_LAYERS "bitnet_train.exclude_layers" /* globs */
#define BT_GGUF_LAMBDA         "bitnet_train.lambda"         /* f64 */
#define BT_GGUF_ROPE_FACTOR    "bitnet_train.rope.factor"    /* f64, these four: what rope_freqs was computed from */
#define BT_GGUF_ROPE_LOW       "bitnet_train.rope.low_freq_factor"
#define BT_GGUF_ROPE_HIGH      "bitnet_train.rope.high_freq_factor"
#define BT_GGUF_ROPE_ORIGINAL  "bitnet_train.rope.original_max_position_embeddings"

#endif
