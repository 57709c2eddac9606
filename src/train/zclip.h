/* train/zclip.h - adaptive clipping of the gradient norm: ZClip, arXiv 2504.02507 (docs/numerics.md section 5).
 *
 * Mean and variance of the norms of applied updates: those of the first `warmup_steps` norms as they are, then moving
 * averages of `ema_decay`. A norm that lies z > z_threshold standard deviations above the mean is clipped to
 * z_threshold^2 / z of them, and what it was clipped to enters the averages. */
#ifndef BT_TRAIN_ZCLIP_H
#define BT_TRAIN_ZCLIP_H

#include <stdint.h>

#include "config/train_config.h"

struct bt_zclip_state { /* part of the checkpoint; begins as zeros */
    int64_t norms;      /* seen; -1 in a checkpoint that is older than this */
    double mean, variance;
};

/* Takes in one finite norm and returns the norm that is left of it. *ret_z: its z-score before the averages move; NaN
 * in the warm-up, and while all norms were the same, where nothing is clipped. */
double bt_zclip(const struct bt_cfg_zclip *config, struct bt_zclip_state *state, double norm, double *ret_z);

#endif
