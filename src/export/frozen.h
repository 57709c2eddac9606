/* export/frozen.h - a model folder as every export sees it: ternary codes and one scale a tensor, fixed once, so that
 * all files made from one model hold the same numbers.
 *
 * The scale is that of training, rounded once to bfloat16: a value that float32, bfloat16 and (from 2^-17 on, and 1e-5
 * is above that) half precision hold alike. Whoever writes a file takes codes and scale from here and never derives
 * them again: the mean magnitude of codes * scale is smaller than scale. */
#ifndef BT_EXPORT_FROZEN_H
#define BT_EXPORT_FROZEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "train/model_folder.h"

struct bt_frozen {
    const struct bt_param *param;
    const int8_t *codes; /* (param->count), row-major -1, 0, 1; NULL: the tensor keeps its full precision */
    float scale;         /* weight = code * scale; a bfloat16 value of at least 1e-5; 0 without codes */
};

struct bt_export_model {
    struct bt_loaded_model *source; /* config, shape, table and weights; owned */
    bool ternary, int8;             /* what the linear layers do; a SubLN model without marks does both */
    double lambda;                  /* of training when the folder was written; an export is always that of lambda 1 */
    struct bt_frozen *tensors;      /* (source->params.count), in the order of the table */
    struct bt_arena memory;         /* of the codes */
};

/* Takes any model folder or checkpoint that bt_model_load takes, packed ones too. Fails as that does; BT_EINPUT naming
 * the tensor when a weight is not finite. */
enum bt_err bt_export_open(const char *path, struct bt_export_model **ret_model, struct bt_diag *diag);
void bt_export_close(struct bt_export_model *model); /* takes NULL */

/* The weights (param->count) that the folder holds for a row of the table: the tensor itself where it has no codes. */
const float *bt_export_weights(const struct bt_export_model *model, size_t i);
/* Fills weights (source->params.total) so that a bt_model with ternary_weights = model->ternary computes the frozen
 * model at lambda 1, to the bit: bt_ternary_masters of codes and scales, and copies of the rest. */
enum bt_err bt_export_frozen_masters(const struct bt_export_model *model, float *weights, struct bt_diag *diag);

#endif
