/* train/compute_choice.h - what `compute:` of the config means on this machine: a fixed rule on CPU features and on
 * what the build has, never a timing. The choice is written into the start record and the checkpoint, and a resume
 * keeps it.
 *
 *   kernels: auto     the best instruction set of the machine, with VNNI for products of codes, and our own float32
 *                     products; oneDNN's only without AVX2
 *   kernels: onednn   the same with oneDNN's float32 products
 *   kernels: LEVEL    at most that level and without VNNI, float32 products by our own kernels too
 *   matmul: auto      at lambda = 1 on int8 codes with AVX2 or better: the same bits as float32, sooner
 *   gradient: auto    float32 (docs/performance.md has what int16 costs and gives) */
#ifndef BT_TRAIN_COMPUTE_CHOICE_H
#define BT_TRAIN_COMPUTE_CHOICE_H

#include "base/err.h"
#include "config/train_config.h"
#include "nn/compute.h"
#include "train/checkpoint.h"

/* BT_EUSAGE when oneDNN is asked for and the build is without it. */
enum bt_err bt_compute_choose(const struct bt_train_config *config, struct bt_compute *compute, struct bt_diag *diag);

/* Writes the choice into a checkpoint's state by name. */
void bt_compute_record(const struct bt_compute *compute, struct bt_train_state *state);
/* The choice that a checkpoint names; BT_EINPUT when this machine or build does not have it. */
enum bt_err bt_compute_restore(const struct bt_train_state *state, struct bt_compute *compute, struct bt_diag *diag);

#endif
