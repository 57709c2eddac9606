/* nn/lambda_warmup.h - the global quantisation strength. The method speaks of one global LambdaWarmup, and there is
 * one: it holds the schedule and the update number; the trainer reads it in one place and hands lambda to the layers as
 * an argument. */
#ifndef BT_NN_LAMBDA_WARMUP_H
#define BT_NN_LAMBDA_WARMUP_H

#include <stdbool.h>
#include <stdint.h>

struct bt_lambda_warmup {
    int64_t warmup_steps; /* w */
    bool cosine;          /* else linear */
    double min, max;
    int64_t step; /* the update number s, from 1 */
};

/* Lambda of update s: p = min((s - 1) / w, 1), 1 when w = 0; cosine: p <- (1 - cos(pi p)) / 2; min + p (max - min). */
double bt_lambda_at(const struct bt_lambda_warmup *warmup, int64_t step);

/* NULL: none is set, lambda is 1. The struct is copied. */
void bt_set_global_lambda_warmup(const struct bt_lambda_warmup *warmup);
void bt_lambda_warmup_set_step(int64_t step);
double bt_get_current_lambda(void);

#endif
