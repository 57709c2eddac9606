/* train/model_parts.h - steps of loading a model that do not depend on the files it comes from. Private to the files
 * model_*.c of this folder. */
#ifndef BT_TRAIN_MODEL_PARTS_H
#define BT_TRAIN_MODEL_PARTS_H

#include <stdbool.h>

#include "train/model_folder.h"

/* Shape, table and what the marks exclude, from model->config; `what` names the config. */
enum bt_err bt_model_make_table(struct bt_loaded_model *model, const char *what, bool sub_norm, struct bt_diag *diag);
/* Weights as the table says, zeroed. */
enum bt_err bt_model_allocate(struct bt_loaded_model *model, struct bt_diag *diag);
/* Fills a model of which only the path is set from the GGUF file there. */
enum bt_err bt_model_read_gguf(struct bt_loaded_model *model, bool with_weights, struct bt_diag *diag);

#endif
