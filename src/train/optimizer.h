/* train/optimizer.h - global norm, clipping, AdamW and Muon over the flat buffers (docs/numerics.md section 5). */
#ifndef BT_TRAIN_OPTIMIZER_H
#define BT_TRAIN_OPTIMIZER_H

#include <stdint.h>

#include "config/train_config.h"
#include "nn/compute.h"
#include "nn/params.h"
#include "train/muon.h"

struct bt_optimizer { /* the buffers are the caller's */
    const struct bt_params *params;
    const struct bt_kernels *kernels;
    const struct bt_cfg_optimizer *config;
    float *weights, *gradients, *m;   /* (params->total) each */
    float *v;                         /* as bt_second_moment_at says */
    const struct bt_compute *compute; /* Muon alone; may be NULL without it */
    struct bt_muon_scratch muon;      /* the same */
};

/* Muon has no second moments: those of all other parameters lie one after the other. Where that of params->list[i]
 * begins, if it has one; of i = params->count, how many floats there are. */
size_t bt_second_moment_at(const struct bt_params *params, const struct bt_cfg_optimizer *config, size_t i);

/* Global L2 norm of the gradients, summed in double, tensor by tensor. *ret_bad is the first tensor that has a gradient
 * which is not finite, or NULL. */
double bt_gradient_norm(const struct bt_optimizer *optimizer, const struct bt_param **ret_bad);

/* What every gradient is multiplied by: limit / (norm + 1e-6) when the norm exceeds the limit, else 1. 0: no limit. */
float bt_clip_scale(double norm, double limit);

/* One update; lr is AdamW's, and Muon's is as far along the same schedule. t counts applied updates from 1, this one
 * included. */
void bt_optimizer_step(const struct bt_optimizer *optimizer, double lr, int64_t t, float gradient_scale);
/* Of params->list, this one alone. */
void bt_optimizer_step_tensor(const struct bt_optimizer *optimizer, const struct bt_param *param, double lr, int64_t t,
                              float gradient_scale);

#endif
