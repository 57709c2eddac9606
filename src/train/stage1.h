/* train/stage1.h - what the files of stage 1 share: one conversion while it runs. */
#ifndef BT_TRAIN_STAGE1_H
#define BT_TRAIN_STAGE1_H

#include "nn/convert.h"
#include "nn/model.h"
#include "train/stages.h"

struct bt_conversion {
    const struct bt_run *run;
    const struct bt_cfg_stage1 *config;
    struct bt_loaded_model *from;
    bool bitnet; /* was one already: passes through */
    struct bt_conversion_data data;
    struct bt_compute compute;
    struct bt_arena arena; /* the batch, the converted weights */
    struct bt_batch batch;
    struct bt_shape shape; /* of the converted model */
    struct bt_params params;
    float *weights;
    struct bt_subln_gains gains;
    struct bt_subln_squares squares;
    double loss_before, loss_lambda_0, loss_lambda_1; /* NaN without validation data */
};

/* Writes conversion.json, the records of metrics.jsonl and the stage's part of summary.json. */
enum bt_err bt_conversion_report(const struct bt_conversion *c, struct bt_diag *diag);

#endif
