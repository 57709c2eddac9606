/* export/matrix.h - which program's model class or architecture can represent which model, exactly. What none can is
 * refused with the reason and with the nearest thing that works; nothing is approximated or left out silently. The
 * table is in docs/interop.md. */
#ifndef BT_EXPORT_MATRIX_H
#define BT_EXPORT_MATRIX_H

#include <stdbool.h>

#include "base/err.h"
#include "export/frozen.h"

/* A class of transformers, and how the model is put into it. */
struct bt_hf_target {
    enum bt_family family;
    bool norms;       /* by use_rms_norm: a norm in front of every ternary layer, which is how classes have SubLN that
                         know nothing of it */
    bool zero_o_bias; /* the class has biases of q, k, v and o together: o's are zeros */
};

/* quantized: there will be a quantization_config, and so use_rms_norm. BT_EUSAGE with the reason. */
enum bt_err bt_export_hf_target(const struct bt_export_model *model, bool quantized, struct bt_hf_target *ret_target,
                                struct bt_diag *diag);

/* The graphs of llama.cpp that our models can be. */
enum bt_gguf_arch { BT_GGUF_LLAMA, BT_GGUF_QWEN2, BT_GGUF_QWEN3, BT_GGUF_BITNET };
const char *bt_gguf_arch_name(enum bt_gguf_arch arch); /* "llama": general.architecture */

/* BT_EUSAGE with the reason when llama.cpp has no graph that computes this model: a window in force, ReLU squared; with
 * SubLN also an untied head, biases, q/k norm, llama3 RoPE, heads * head_dim that is not hidden_size. */
enum bt_err bt_export_gguf_arch(const struct bt_export_model *model, enum bt_gguf_arch *ret_arch, struct bt_diag *diag);

#endif
