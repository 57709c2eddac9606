/* train/schedule.h - the learning rate as a pure function of the update number (docs/numerics.md section 4). */
#ifndef BT_TRAIN_SCHEDULE_H
#define BT_TRAIN_SCHEDULE_H

#include <stdint.h>

#include "config/train_config.h"

/* s = 1 .. n. The config has been checked (config/check.h), so every case is defined. Arithmetic in double. */
double bt_learning_rate(const struct bt_cfg_scheduler_keys *scheduler, double lr, int64_t s, int64_t n);

#endif
