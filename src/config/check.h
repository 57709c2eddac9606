/* config/check.h - what takes more than one key to see. Schedules are checked here when a config fixes the number of
 * updates, and by the stage once it knows how many updates total_tokens makes. */
#ifndef BT_CONFIG_CHECK_H
#define BT_CONFIG_CHECK_H

#include <stdint.h>

#include "base/err.h"
#include "config/train_config.h"
#include "config/yaml_tree.h"

/* D of docs/numerics.md section 4: the updates over which a wsd schedule of n updates decays; ties to even. */
int64_t bt_schedule_decay_updates(const struct bt_cfg_scheduler_keys *scheduler, int64_t n);

/* BT_EUSAGE, naming the key under `stage`, when the schedule is not defined over `updates` updates: the warm-up of any
 * type ends at the last update or later, or a wsd decay is empty or begins before the warm-up ends. */
enum bt_err bt_check_schedule(const struct bt_cfg_scheduler_keys *scheduler, int64_t updates, const char *stage,
                              struct bt_diag *diag);
/* BT_EUSAGE when no update would run at lambda max: update warmup_steps + 1 is the first that does. */
enum bt_err bt_check_lambda_warmup(const struct bt_cfg_lambda_warmup *warmup, int64_t updates, const char *stage,
                                   struct bt_diag *diag);

/* BT_EUSAGE when a weight of the stage's loss is not defined over `updates` updates: a schedule whose warm-up leaves
 * fewer than two of them to move in, or a balance that is found too late to be used. */
enum bt_err bt_check_losses(const struct bt_cfg_losses *losses, int64_t updates, const char *stage,
                            struct bt_diag *diag);

/* All rules between keys. root (may be NULL) and what give the places for errors. */
enum bt_err bt_check_train_config(const struct bt_train_config *config, const struct bt_yaml_node *root,
                                  const char *what, struct bt_diag *diag);

#endif
