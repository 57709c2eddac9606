/* export/gguf_parts.h - what the files gguf*.c share. */
#ifndef BT_EXPORT_GGUF_PARTS_H
#define BT_EXPORT_GGUF_PARTS_H

#include "export/gguf.h"
#include "export/matrix.h"
#include "io/gguf.h"

struct bt_gguf_job {
    const struct bt_export_model *model;
    enum bt_gguf_arch arch;
    const struct bt_gguf_type_info *type; /* of the linear layers of the blocks */
    const struct bt_gguf_type_info *embedding, *head;
};

/* Of row i of the table: vectors are f32, and linear layers that were kept out of quantisation have the embedding's. */
const struct bt_gguf_type_info *bt_gguf_job_type(const struct bt_gguf_job *job, size_t i);

/* gguf_keys.c: all pairs, with the tokenizer. */
enum bt_err bt_gguf_put_keys(const struct bt_gguf_job *job, struct bt_gguf_out *out, struct bt_export_report *report,
                             struct bt_diag *diag);

/* gguf_verify.c: reads the file back as a model and compares it with what was to be written. */
enum bt_err bt_gguf_verify(const struct bt_gguf_job *job, const char *path, struct bt_export_report *report,
                           struct bt_diag *diag);

#endif
