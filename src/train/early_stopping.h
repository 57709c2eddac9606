/* train/early_stopping.h - when validations no longer get better. Only those at full lambda count: losses at different
 * lambdas are those of different models. */
#ifndef BT_TRAIN_EARLY_STOPPING_H
#define BT_TRAIN_EARLY_STOPPING_H

#include <stdbool.h>
#include <stdint.h>

#include "config/train_config.h"

struct bt_early_stopping_state { /* part of the checkpoint */
    double best;                 /* NaN: no validation yet */
    int64_t best_step;
    int64_t stalled; /* validations in a row since, none of them better by more than min_delta; -1 in a checkpoint that
                        is older than this */
};

/* Takes in a validation at full lambda, after update `step`. A loss that is not finite is not better. */
void bt_early_stopping_look(const struct bt_cfg_early_stopping *config, struct bt_early_stopping_state *state,
                            int64_t step, double loss);
/* Has the stage come to its end? */
bool bt_early_stopping_stops(const struct bt_cfg_early_stopping *config, const struct bt_early_stopping_state *state);

#endif
