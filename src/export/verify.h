/* export/verify.h - what was exported, read back as a model and compared with what was to be written. Differences are
 * BT_EPARTIAL. */
#ifndef BT_EXPORT_VERIFY_H
#define BT_EXPORT_VERIFY_H

#include <stdbool.h>

#include "base/err.h"
#include "export/report.h"
#include "nn/params.h"
#include "train/model_folder.h"

/* As bt_model_load, and what cannot be read is BT_EPARTIAL. */
enum bt_err bt_verify_load(const char *path, struct bt_loaded_model **ret_again, struct bt_diag *diag);

/* The row of the table that was read which is `param` of the one that was written. */
enum bt_err bt_verify_find(const struct bt_loaded_model *again, const struct bt_param *param, const char *path,
                           const struct bt_param **ret_found, struct bt_diag *diag);

/* (param->count) values, to the bit. */
enum bt_err bt_verify_values(const struct bt_param *param, const float *want, const float *got, const char *path,
                             struct bt_diag *diag);

/* What gives logits: weights at lambda 1. */
struct bt_verify_side {
    const struct bt_params *params;
    const float *weights;
    bool ternary, int8;
};
/* The largest difference of logits, on a few rows of ids that depend on the vocabulary's size alone, into the report;
 * NaN when a logit is one. Judges nothing: BT_ENOMEM. */
enum bt_err bt_verify_logits(const struct bt_verify_side *want, const struct bt_verify_side *got,
                             struct bt_export_report *report, struct bt_diag *diag);

#endif
