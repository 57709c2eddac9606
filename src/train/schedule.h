/* train/schedule.h - the learning rate and the weights of a loss's terms as pure functions of the update number
 * (docs/numerics.md sections 4 and 8). */
#ifndef BT_TRAIN_SCHEDULE_H
#define BT_TRAIN_SCHEDULE_H

#include <stdint.h>

#include "config/train_config.h"

/* s = 1 .. n. The config has been checked (config/check.h), so every case is defined. Arithmetic in double. */
double bt_learning_rate(const struct bt_cfg_scheduler_keys *scheduler, double lr, int64_t s, int64_t n);

/* The weight of a term in update s; balance: what was found for one that is balanced, NaN while nothing is. */
double bt_term_weight_at(const struct bt_cfg_term_weight *weight, double balance, int64_t s, int64_t n);

#endif
