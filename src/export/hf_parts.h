/* export/hf_parts.h - what the files hf_*.c of this folder share. */
#ifndef BT_EXPORT_HF_PARTS_H
#define BT_EXPORT_HF_PARTS_H

#include "export/hf.h"
#include "export/matrix.h"
#include "io/safetensors.h"

struct bt_hf_job {
    const struct bt_export_model *model;
    const struct bt_hf_options *options;
    struct bt_hf_target target;
};

bool bt_hf_is_packed(const struct bt_hf_job *job);
/* weight_scale of a packed tensor, and the scale that a reader takes from it. */
float bt_hf_stored_scale(const struct bt_hf_job *job, const struct bt_frozen *tensor);
float bt_hf_scale(const struct bt_hf_job *job, const struct bt_frozen *tensor);
/* A tensor that is not ternary is stored divided by a factor that a reader multiplies by: the scale of AutoBitLinear,
 * which multiplies its bias too; or for a norm behind a norm what train/second_norm.h says. 1 for all else. */
double bt_hf_factor(const struct bt_hf_job *job, size_t i);
/* value / factor as it is stored, so rounded that writing, reading and writing give the same bytes; and what a reader
 * makes of it. */
float bt_hf_stored(const struct bt_hf_job *job, float value, double factor);
float bt_hf_read_back(float stored, double factor);

/* The tensors of the file, with what they borrow. */
struct bt_hf_tensors {
    struct bt_tensor_source *list;
    size_t count;
    char (*names)[128];
    void **buffers;
    size_t buffer_count, full; /* full: how many are neither codes nor scales */
};
enum bt_err bt_hf_tensors_make(const struct bt_hf_job *job, struct bt_hf_tensors *tensors, struct bt_diag *diag);
void bt_hf_tensors_finish(struct bt_hf_tensors *tensors); /* takes a zeroed one */

/* Reads the folder as any user of bt_model_load and compares tensors and logits. BT_EPARTIAL naming what differs. */
enum bt_err bt_hf_verify(const struct bt_hf_job *job, const char *path, struct bt_export_report *report,
                         struct bt_diag *diag);

#endif
