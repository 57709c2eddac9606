/* export/gguf.h - a frozen model as one GGUF file, for llama.cpp and the programs that read its format. */
#ifndef BT_EXPORT_GGUF_H
#define BT_EXPORT_GGUF_H

#include <stdbool.h>

#include "base/err.h"
#include "export/frozen.h"
#include "export/report.h"

struct bt_gguf_options { /* names of ggml's types in lower case: "tq2_0", "f16"; NULL: the default, docs/interop.md */
    const char *type;    /* of the ternary tensors */
    const char *embedding_type;
    const char *head_type; /* of an untied head */
    bool verify;           /* read the file back and compare */
};

/* Writes `path` directly, synced: the caller gives a name beside the wanted one and renames. BT_EUSAGE with the reason
 * when the model or its sizes do not fit (export/matrix.h), BT_EPARTIAL when what was read back differs. */
enum bt_err bt_export_gguf(const struct bt_export_model *model, const struct bt_gguf_options *options, const char *path,
                           struct bt_export_report *report, struct bt_diag *diag);

#endif
