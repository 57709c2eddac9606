/* export/hf.h - a frozen model as a Hugging Face folder, in one of the forms that transformers loads. */
#ifndef BT_EXPORT_HF_H
#define BT_EXPORT_HF_H

#include <stdbool.h>

#include "base/err.h"
#include "export/frozen.h"
#include "export/report.h"

enum bt_hf_form {
    BT_HF_AUTOBITLINEAR, /* packed codes, weight_scale holds the scale (linear_class autobitlinear, mode offline) */
    BT_HF_BITLINEAR,     /* packed codes, weight_scale holds 1 / scale (linear_class bitlinear) */
    BT_HF_ONLINE,        /* float32 master weights, quantised in every forward (autobitlinear, mode online) */
    BT_HF_DENSE,         /* code * scale, no quantization_config: activations are not quantised */
};

struct bt_hf_options {
    enum bt_hf_form form;
    bool float32; /* what is not packed: in float32, else in bfloat16. Master weights always are float32 */
    bool verify;  /* read the folder back, compare codes, scales and logits */
};

/* Writes into the empty folder `path`, each file synced: the caller gives a name beside the wanted one and renames.
 * BT_EUSAGE with the reason and the nearest form that works when the model does not fit the form, BT_EPARTIAL when what
 * was read back differs. */
enum bt_err bt_export_hf(const struct bt_export_model *model, const struct bt_hf_options *options, const char *path,
                         struct bt_export_report *report, struct bt_diag *diag);

#endif
