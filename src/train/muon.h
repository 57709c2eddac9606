/* train/muon.h - one step of Muon for one matrix: momentum, made nearly orthogonal (docs/numerics.md section 5).
 *
 * Keller Jordan and others, "Muon: An optimizer for hidden layers in neural networks" (2024), kellerjordan.github.io/
 * posts/muon: the update is U V^T of the momentum's singular value decomposition, as five steps of a Newton-Schulz
 * iteration with the quintic 3.4445 x - 4.7750 x^3 + 2.0315 x^5 give it roughly: singular values land between about 0.7
 * and 1.2. There in bfloat16, here in float32. */
#ifndef BT_TRAIN_MUON_H
#define BT_TRAIN_MUON_H

#include <stddef.h>

#include "base/mem.h"
#include "config/train_config.h"
#include "nn/compute.h"
#include "nn/params.h"

struct bt_muon_scratch {         /* for the largest of the matrices that Muon takes */
    float *update, *next;        /* (rows, columns) */
    float *square, *square_next; /* (s, s), s the shorter side */
};

/* Does Muon take this tensor? The weights of the blocks' linear layers; AdamW has all others. */
bool bt_muon_takes(const struct bt_cfg_optimizer *config, const struct bt_param *param);

/* Nothing when the config says adamw. */
void bt_muon_carve(struct bt_muon_scratch *scratch, struct bt_arena *arena, const struct bt_params *params,
                   const struct bt_cfg_optimizer *config);

/* x (rows, columns) <- nearly orthogonal, in `steps` steps; next, square and square_next are scratch. */
void bt_orthogonalize(const struct bt_compute *compute, float *x, size_t rows, size_t columns, int64_t steps,
                      const struct bt_muon_scratch *scratch);

/* w, m (rows, columns) of one matrix in place from g:
 *
 *   m <- momentum m + (1 - momentum) g       u = momentum m + (1 - momentum) g with nesterov, else m
 *   w <- w (1 - lr wd) - lr sqrt(max(1, rows / columns)) orthogonal(u)
 *
 * g is multiplied by gradient_scale first. */
void bt_muon_step(const struct bt_compute *compute, const struct bt_cfg_optimizer *config, double lr,
                  float gradient_scale, float *w, float *m, const float *g, size_t rows, size_t columns,
                  const struct bt_muon_scratch *scratch);

#endif
