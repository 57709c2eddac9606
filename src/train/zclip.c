#include "train/zclip.h"

#include <math.h>

/* Welford's form of mean and variance over the norms so far. */
static void warm_up(struct bt_zclip_state *s, double norm)
{
    const double count = (double)s->norms, off = norm - s->mean;
    s->mean += off / count;
    s->variance = ((count - 1.0) * s->variance + off * (norm - s->mean)) / count;
}

/* The variance is taken around the new mean, as the paper's own program does. */
static void average(struct bt_zclip_state *s, double decay, double norm)
{
    s->mean = decay * s->mean + (1.0 - decay) * norm;
    const double off = norm - s->mean;
    s->variance = decay * s->variance + (1.0 - decay) * off * off;
}

double bt_zclip(const struct bt_cfg_zclip *config, struct bt_zclip_state *s, double norm, double *ret_z)
{
    const double deviation = sqrt(s->variance), threshold = config->z_threshold;
    *ret_z = NAN;
    s->norms++;
    if (s->norms == 1 || s->norms <= config->warmup_steps) { /* there is no average before the first norm */
        warm_up(s, norm);
        return norm;
    }
    if (deviation > 0.0)
        *ret_z = (norm - s->mean) / deviation;
    if (*ret_z > threshold)
        norm = s->mean + threshold * threshold / *ret_z * deviation;
    average(s, config->ema_decay, norm);
    return norm;
}
