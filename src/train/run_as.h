/* train/run_as.h - which of its quantised forms a model folder is run in. */
#ifndef BT_TRAIN_RUN_AS_H
#define BT_TRAIN_RUN_AS_H

#include <stdbool.h>

#include "train/model_folder.h"

struct bt_run_as {
    bool ternary, int8; /* weights and activations of the linear layers */
    double lambda;
};

/* As the folder's marks say it was last trained; a BitNet model without marks is ternary with int8 activations at
 * lambda 1, any other one is float. */
struct bt_run_as bt_run_as_marked(const struct bt_loaded_model *model);

#endif
