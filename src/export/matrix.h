/* export/matrix.h - which program's model class or architecture can represent which model, exactly. What none can is
 * refused with the reason and with the nearest thing that works; nothing is approximated or left out silently. The
 * table is in docs/interop.md. */
#ifndef BT_EXPORT_MATRIX_H
#define BT_EXPORT_MATRIX_H

#include "base/err.h"
#include "export/frozen.h"

/* The graphs of llama.cpp that our models can be. */
enum bt_gguf_arch { BT_GGUF_LLAMA, BT_GGUF_QWEN2, BT_GGUF_QWEN3, BT_GGUF_BITNET };
const char *bt_gguf_arch_name(enum bt_gguf_arch arch); /* "llama": general.architecture */

/* BT_EUSAGE with the reason when llama.cpp has no graph that computes this model: a window in force; with SubLN also
 * ReLU squared, an untied head, biases, q/k norm, llama3 RoPE, heads * head_dim that is not hidden_size. */
enum bt_err bt_export_gguf_arch(const struct bt_export_model *model, enum bt_gguf_arch *ret_arch, struct bt_diag *diag);

#endif
