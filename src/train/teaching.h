/* train/teaching.h - what a stage that learns from a teacher (1.9 and 3) has besides: the teacher, and the terms of its
 * loss as nn/ takes them (docs/numerics.md section 8). */
#ifndef BT_TRAIN_TEACHING_H
#define BT_TRAIN_TEACHING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "config/train_config.h"
#include "nn/model.h"
#include "train/model_folder.h"

struct bt_teaching {
    const struct bt_cfg_train_stage *config; /* borrowed */
    bool given[BT_TERM_COUNT];               /* terms that the config has; distill.terms adds what has to be measured */
    struct bt_distill distill;
    double *layer_weights;
    size_t layer, teacher_layer;     /* of the relations; from 0 */
    size_t blocks;                   /* of the teacher: what the terms need of it */
    struct bt_loaded_model *teacher; /* NULL: no term needs one */
};

const char *bt_term_name(enum bt_term term); /* "cross_entropy" ... "attention_relation" */
const struct bt_cfg_term_weight *bt_term_weight(const struct bt_cfg_losses *losses, enum bt_term term);

/* Whether a teacher takes part at all. */
bool bt_losses_need_teacher(const struct bt_cfg_losses *losses);
/* Resolves the terms for a student of this shape. path: the teacher's folder, or NULL with a config_path as for
 * bt_model_inspect; neither is looked at when no term needs a teacher. with_weights: ready to run; else its table
 * alone. BT_EUSAGE naming the key of a term that the student cannot have; BT_EINPUT naming the teacher: missing,
 * quantised, or of another vocabulary, width, depth or number of heads than a term needs. */
enum bt_err bt_teaching_open(const struct bt_cfg_train_stage *config, enum bt_stage_id stage,
                             const struct bt_shape *student, const char *path, const char *config_path,
                             bool with_weights, struct bt_teaching *ret_teaching, struct bt_diag *diag);
void bt_teaching_close(struct bt_teaching *teaching); /* takes a zeroed one */

/* Options of the teacher's model for batches of rows * seq tokens. */
struct bt_model_options bt_teaching_options(const struct bt_teaching *teaching, size_t rows, size_t seq);

/* XXH3-64 of the teacher's values and of its config.json; *ret_bytes: how many the values are. */
enum bt_err bt_teaching_hash(const struct bt_teaching *teaching, uint64_t *ret_hash, uint64_t *ret_bytes,
                             struct bt_diag *diag);

#endif
