#include "train/optimizer.h"

#include <math.h>

double bt_gradient_norm(const struct bt_optimizer *o, const struct bt_param **ret_bad)
{
    double sum = 0.0;
    *ret_bad = NULL;
    for (size_t i = 0; i < o->params->count; i++) {
        const struct bt_param *p = &o->params->list[i];
        const double squares = o->kernels->sum_squares(o->gradients + p->offset, p->count);
        if (!isfinite(squares) && !*ret_bad)
            *ret_bad = p;
        sum += squares;
    }
    return sqrt(sum);
}

float bt_clip_scale(double norm, double limit)
{
    return limit > 0.0 && norm > limit ? (float)(limit / (norm + 1e-6)) : 1.0f;
}

size_t bt_second_moment_at(const struct bt_params *params, const struct bt_cfg_optimizer *config, size_t i)
{
    size_t at = 0;
    for (size_t j = 0; j < i; j++) {
        const size_t next = j + 1 < params->count ? params->list[j + 1].offset : params->total;
        at += bt_muon_takes(config, &params->list[j]) ? 0 : next - params->list[j].offset;
    }
    return at;
}

static void adamw_step(const struct bt_optimizer *o, const struct bt_param *p, float *v, double lr, int64_t t,
                       float gradient_scale)
{
    const struct bt_cfg_optimizer *c = o->config;
    const float beta1 = (float)c->beta1, beta2 = (float)c->beta2;
    /* The corrections are those of the betas as the kernel has them: 1 - 0.999 in float is off by 1.3e-5. */
    const struct bt_adamw step = {.lr = (float)lr,
                                  .beta1 = beta1,
                                  .beta2 = beta2,
                                  .eps = (float)c->eps,
                                  .weight_decay = p->decays ? (float)c->weight_decay : 0.0f,
                                  .gradient_scale = gradient_scale,
                                  .correction1 = (float)(1.0 - pow((double)beta1, (double)t)),
                                  .correction2 = (float)(1.0 - pow((double)beta2, (double)t))};
    o->kernels->adamw(o->weights + p->offset, o->m + p->offset, v, o->gradients + p->offset, p->count, &step);
}

void bt_optimizer_step_tensor(const struct bt_optimizer *o, const struct bt_param *p, double lr, int64_t t,
                              float gradient_scale)
{
    const double muon_lr = lr / o->config->lr * o->config->muon.lr;
    const size_t i = (size_t)(p - o->params->list);
    if (bt_muon_takes(o->config, p))
        bt_muon_step(o->compute, o->config, muon_lr, gradient_scale, o->weights + p->offset, o->m + p->offset,
                     o->gradients + p->offset, p->shape[0], p->shape[1], &o->muon);
    else
        adamw_step(o, p, o->v + bt_second_moment_at(o->params, o->config, i), lr, t, gradient_scale);
}

void bt_optimizer_step(const struct bt_optimizer *o, double lr, int64_t t, float gradient_scale)
{
    for (size_t i = 0; i < o->params->count; i++)
        bt_optimizer_step_tensor(o, &o->params->list[i], lr, t, gradient_scale);
}
