#include "train/schedule.h"

#include <math.h>

#include "config/check.h"

/* The order of operations is that of the formulas as they stand in each comment, left to right: traces of other
 * programs are compared with these numbers to the last digit. */

/* lo + (lr - lo) (1 + cos(angle)) / 2 */
static double half_cosine(double lr, double lo, double angle)
{
    return lo + (lr - lo) * (1.0 + cos(angle)) / 2.0;
}

/* lr while s <= n - d; then p = (s - (n - d)) / d runs from lr down to lo. */
static double warmup_stable_decay(const struct bt_cfg_scheduler_keys *scheduler, double lr, double lo, int64_t s,
                                  int64_t n)
{
    const double d = (double)bt_schedule_decay_updates(scheduler, n);
    const double stable = (double)n - d;
    if ((double)s <= stable)
        return lr;
    const double p = ((double)s - stable) / d;
    return scheduler->decay_type == BT_CURVE_COSINE ? half_cosine(lr, lo, M_PI * p) : lo + (lr - lo) * (1.0 - p);
}

double bt_learning_rate(const struct bt_cfg_scheduler_keys *scheduler, double lr, int64_t s, int64_t n)
{
    const double lo = lr * scheduler->min_lr_ratio;
    const int64_t w = scheduler->warmup_steps;
    if (s <= w)
        return lr * (double)s / (double)w;
    switch (scheduler->type) {
    case BT_SCHEDULE_LINEAR: /* lo + (lr - lo) (n - s) / (n - w) */
        return lo + (lr - lo) * (double)(n - s) / (double)(n - w);
    case BT_SCHEDULE_COSINE: /* the angle is pi (s - w) / (n - w) */
        return half_cosine(lr, lo, M_PI * (double)(s - w) / (double)(n - w));
    case BT_SCHEDULE_WSD:
        return warmup_stable_decay(scheduler, lr, lo, s, n);
    case BT_SCHEDULE_CONSTANT:
        break;
    }
    return lr;
}

static double scheduled_weight(const struct bt_cfg_term_weight *weight, int64_t s, int64_t n)
{
    const int64_t w = weight->warmup_steps;
    if (s <= w)
        return weight->initial;
    const double p = (double)(s - 1 - w) / (double)(n - 1 - w);
    if (weight->type == BT_CURVE_COSINE)
        return half_cosine(weight->initial, weight->final, M_PI * p);
    return weight->initial + p * (weight->final - weight->initial);
}

double bt_term_weight_at(const struct bt_cfg_term_weight *weight, double balance, int64_t s, int64_t n)
{
    switch (weight->kind) {
    case BT_WEIGHT_CONSTANT:
        return weight->constant;
    case BT_WEIGHT_SCHEDULE:
        return scheduled_weight(weight, s, n);
    case BT_WEIGHT_BALANCE:
        break;
    }
    return isnan(balance) ? 0.0 : balance;
}
