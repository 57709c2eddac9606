/* train/gguf_config.h - the keys of a GGUF file that say what its model is, as the config.json that says the same.
 * Keys: llama.cpp's src/llama-arch.cpp and src/llama-model.cpp; our own ones in gguf_names.h. */
#ifndef BT_TRAIN_GGUF_CONFIG_H
#define BT_TRAIN_GGUF_CONFIG_H

#include <stdbool.h>

#include "config/hf_config.h"
#include "io/gguf.h"

/* Architectures llama, qwen2, qwen3 and bitnet. Without our own keys the model is ternary when the architecture is
 * bitnet or its first attn_q is of a ternary type. BT_EINPUT naming the key. */
enum bt_err bt_gguf_config_read(const struct bt_gguf *file, struct bt_hf_config **ret_config, struct bt_diag *diag);
/* Rows of q and k are those of llama.cpp's architecture "llama" (bt_gguf_row). */
bool bt_gguf_is_interleaved(const struct bt_gguf *file);

#endif
