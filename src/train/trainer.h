/* train/trainer.h - the memory of a training stage, and one update over it.
 *
 * Everything is sized from the config and the parameter table when the trainer is created; an update allocates nothing.
 */
#ifndef BT_TRAIN_TRAINER_H
#define BT_TRAIN_TRAINER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "config/train_config.h"
#include "nn/model.h"
#include "train/checkpoint.h"
#include "train/feed.h"
#include "train/lessons.h"
#include "train/optimizer.h"
#include "train/rows.h"
#include "train/telemetry.h"

struct bt_trainer {
    const struct bt_cfg_train_stage *config; /* borrowed, like params, weights and rows */
    const struct bt_params *params;
    float *weights;
    struct bt_rows *rows;
    struct bt_compute compute;
    struct bt_arena arena; /* gradients, both moments, the batches */
    struct bt_optimizer optimizer;
    struct bt_batch batch; /* for validations */
    struct bt_micro_batch slots[BT_FEED_SLOTS];
    struct bt_model *model;
    struct bt_feed *feed;
    const struct bt_micro_batch *micro; /* that the feed has lent last */
    struct bt_source_report *sources;   /* (rows' sources) of the last update */
    double waited;                      /* seconds for rows, those before a resume included */
    struct bt_lessons *lessons;         /* NULL: cross entropy is the loss */
    struct bt_telemetry *telemetry;     /* borrowed; NULL, as it is at first: nothing is measured */
    struct bt_train_state state;
    int64_t updates; /* N */
};

struct bt_source_report {
    uint64_t tokens; /* of the stage so far, without padding: a function of the position, so no checkpoint keeps it */
    uint64_t labels; /* of the update */
    double loss;     /* mean over them; NaN without one */
};

struct bt_update_report {
    int64_t step; /* s */
    double loss;  /* mean over the labels of the update, or the weighted sum of its terms; NaN without a label */
    struct bt_term_report terms[BT_TERM_COUNT]; /* of a stage that learns from a teacher */
    double grad_norm;
    double z_score, clipped_norm; /* with zclip: of grad_norm, NaN while there is none; what all clipping left of it */
    double lr, lambda;
    uint64_t tokens, labels;                /* of this update */
    double padding;                         /* share of its row positions that hold no token */
    const struct bt_source_report *sources; /* (source_count) the trainer's, until the next update */
    size_t source_count;
    bool applied;
    const char *bad_tensor; /* the first with a gradient that is not finite; NULL when none is */
};

/* Bytes that a trainer for these rows a micro-batch will reserve, weights not counted; 0 when they overflow. teaching:
 * NULL in a stage without a teacher. */
size_t bt_trainer_memory(const struct bt_params *params, const struct bt_cfg_train_stage *config, size_t seq,
                         const struct bt_teaching *teaching);

/* The global lambda warm-up is set from the config. rows and teaching (which may be NULL) stay the caller's. */
enum bt_err bt_trainer_create(const struct bt_cfg_train_stage *config, const struct bt_params *params, float *weights,
                              struct bt_rows *rows, size_t seq, int64_t updates, const struct bt_compute *compute,
                              const struct bt_teaching *teaching, struct bt_trainer **ret_trainer,
                              struct bt_diag *diag);
void bt_trainer_destroy(struct bt_trainer *trainer); /* takes NULL; unsets the global lambda warm-up */

/* Call once weights, moments and state are in place, new or from a checkpoint: codes are made, the data position
 * sought. */
enum bt_err bt_trainer_begin(struct bt_trainer *trainer, struct bt_diag *diag);

/* Update state.step + 1. An update whose loss or gradient norm is not finite, or that has no label, changes no weight
 * and no moment but is counted. BT_EDIVERGED after max_skipped_updates in a row: the report is filled all the same. */
enum bt_err bt_trainer_update(struct bt_trainer *trainer, struct bt_update_report *report, struct bt_diag *diag);

/* Moves the global LambdaWarmup to an update of the stage whose trainer is alive, and reads it: 1 without a warm-up.
 * The one place that does. */
double bt_lambda_of_update(int64_t step);

#endif
