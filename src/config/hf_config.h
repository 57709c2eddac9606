/* config/hf_config.h - config.json of a Hugging Face model folder: Llama, Mistral, Qwen2, Qwen3, BitNet, and our own
 * bitnet_<family>. Old (rope_theta, rope_scaling, torch_dtype) and new (rope_parameters, dtype) spellings are read, the
 * old ones written. What the engine cannot run is refused, never ignored. */
#ifndef BT_CONFIG_HF_CONFIG_H
#define BT_CONFIG_HF_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "io/json.h"

enum bt_family { BT_LLAMA, BT_MISTRAL, BT_QWEN2, BT_QWEN3, BT_BITNET, BT_FAMILY_COUNT };

enum bt_rope_type { BT_ROPE_DEFAULT, BT_ROPE_LINEAR, BT_ROPE_LLAMA3 };

/* What training left in the folder: "bitnet_train": {"weights", "activations", "exclude_layers", "lambda"}. */
struct bt_hf_marks {
    bool present;
    bool ternary, int8; /* weights: "ternary"; activations: "int8" */
    char **exclude_layers;
    size_t exclude_count;
    double lambda;
};

struct bt_hf_config {
    enum bt_family family; /* for bitnet_<family>: that family, and bitnet_prefix */
    bool bitnet_prefix;    /* model_type was "bitnet_<family>" */
    uint64_t vocab_size, hidden_size, intermediate_size, num_hidden_layers;
    uint64_t num_attention_heads, num_key_value_heads, head_dim;
    uint64_t max_position_embeddings;
    double rms_norm_eps, initializer_range;
    bool relu2; /* hidden_act: "relu2"; else "silu" */
    bool tie_word_embeddings;
    bool qkv_bias, o_bias, mlp_bias; /* from attention_bias, mlp_bias and the family */
    bool qk_norm;                    /* Qwen3 */
    double rope_theta;
    enum bt_rope_type rope_type;
    double rope_factor, rope_low_freq_factor, rope_high_freq_factor, rope_original_max_position;
    uint64_t sliding_window;            /* 0: none in force */
    uint64_t window_from_layer;         /* layers from this one on have the window (Qwen: max_window_layers) */
    int64_t bos_token_id, eos_token_id; /* -1: null. A list of eos gives its first. */
    bool quantization_bitnet;           /* quantization_config says bitnet */
    bool quantization_online;  /* ... autobitlinear + online: dense master weights; else packed codes and scales */
    bool quantization_inverse; /* ... bitlinear: weight_scale holds 1 / scale */
    bool quantization_norms;   /* ... use_rms_norm: every layer that is converted has a norm of its own in front */
    char **unconverted;        /* ... modules_to_not_convert: beginnings or ends of module names */
    size_t unconverted_count;
    struct bt_hf_marks marks;
    json_t *raw; /* the object as read, for keys that are passed through; owned */
};

/* BT_EINPUT naming the file and the key. */
enum bt_err bt_hf_config_parse(const char *text, size_t size, const char *what, struct bt_hf_config **ret_config,
                               struct bt_diag *diag);
enum bt_err bt_hf_config_read(const char *path, struct bt_hf_config **ret_config, struct bt_diag *diag);
void bt_hf_config_destroy(struct bt_hf_config *config); /* takes NULL */

/* The config.json of a folder that training writes (docs/numerics.md section 7): every field explicit, torch_dtype
 * float32, class BitNetForCausalLM or bitnet_<family> for SubLN models, marks and quantization_config. sub_norm: the
 * model has SubLN tensors. The new object is the caller's. */
enum bt_err bt_hf_config_write(const struct bt_hf_config *config, bool sub_norm, const struct bt_hf_marks *marks,
                               json_t **ret_object, struct bt_diag *diag);

/* Where an export differs from that. marks are not NULL when it is quantized: they say which layers are not. */
struct bt_hf_export_form {
    enum bt_family family; /* whose class the folder is for */
    const char *dtype;     /* torch_dtype */
    bool quantized;        /* with a quantization_config (bitnet): of */
    bool bitlinear;        /* linear_class: bitlinear, else autobitlinear */
    bool online;           /* quantization_mode: online, else offline */
    bool norms;            /* use_rms_norm, with the config's own rms_norm_eps */
};
enum bt_err bt_hf_config_export(const struct bt_hf_config *config, const struct bt_hf_export_form *form,
                                const struct bt_hf_marks *marks, json_t **ret_object, struct bt_diag *diag);

#endif
