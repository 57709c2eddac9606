#include "train/muon.h"

#include <math.h>
#include <string.h>

static size_t shorter(const struct bt_param *param)
{
    return param->shape[0] < param->shape[1] ? param->shape[0] : param->shape[1];
}

bool bt_muon_takes(const struct bt_cfg_optimizer *config, const struct bt_param *param)
{
    return config->type == BT_OPTIMIZER_MUON && param->linear;
}

void bt_muon_carve(struct bt_muon_scratch *scratch, struct bt_arena *arena, const struct bt_params *params,
                   const struct bt_cfg_optimizer *config)
{
    size_t count = 0, side = 0;
    for (size_t i = 0; i < params->count; i++) {
        const struct bt_param *param = &params->list[i];
        if (!bt_muon_takes(config, param))
            continue;
        count = param->count > count ? param->count : count;
        side = shorter(param) > side ? shorter(param) : side;
    }
    scratch->update = bt_arena_take(arena, count, sizeof(float));
    scratch->next = bt_arena_take(arena, count, sizeof(float));
    scratch->square = bt_arena_take(arena, side, side * sizeof(float));
    scratch->square_next = bt_arena_take(arena, side, side * sizeof(float));
}

/* x <- a x + (b S + c S S) x with S = x x^T, or the same from the right where x is taller than wide. */
static void newton_schulz_step(const struct bt_compute *compute, float *x, size_t rows, size_t columns,
                               const struct bt_muon_scratch *s)
{
    static const float a = 3.4445f, b = -4.7750f, c = 2.0315f;
    const struct bt_matmul *matmul = compute->matmul;
    const bool wide = rows <= columns;
    const size_t side = wide ? rows : columns;
    bt_matmul_run(matmul, wide ? BT_NT : BT_TN, side, side, wide ? columns : rows, x, x, s->square, false);
    bt_matmul_run(matmul, BT_NN, side, side, side, s->square, s->square, s->square_next, false);
    compute->kernels.combine(s->square_next, b, s->square, c, s->square_next, side * side);
    if (wide)
        bt_matmul_run(matmul, BT_NN, rows, columns, rows, s->square_next, x, s->next, false);
    else
        bt_matmul_run(matmul, BT_NN, rows, columns, columns, x, s->square_next, s->next, false);
    compute->kernels.combine(x, a, x, 1.0f, s->next, rows * columns);
}

void bt_orthogonalize(const struct bt_compute *compute, float *x, size_t rows, size_t columns, int64_t steps,
                      const struct bt_muon_scratch *scratch)
{
    const size_t count = rows * columns;
    const double norm = sqrt(compute->kernels.sum_squares(x, count)) + 1e-7; /* no singular value above 1 */
    compute->kernels.combine(x, (float)(1.0 / norm), x, 0.0f, x, count);
    for (int64_t i = 0; i < steps; i++)
        newton_schulz_step(compute, x, rows, columns, scratch);
}

void bt_muon_step(const struct bt_compute *compute, const struct bt_cfg_optimizer *config, double lr,
                  float gradient_scale, float *w, float *m, const float *g, size_t rows, size_t columns,
                  const struct bt_muon_scratch *scratch)
{
    const struct bt_cfg_muon *muon = &config->muon;
    const struct bt_kernels *kernels = &compute->kernels;
    const float keep = (float)muon->momentum, take = (float)(1.0 - muon->momentum) * gradient_scale;
    const size_t count = rows * columns;
    const double ratio = (double)rows / (double)columns;
    kernels->combine(m, keep, m, take, g, count);
    if (muon->nesterov)
        kernels->combine(scratch->update, keep, m, take, g, count);
    else
        memcpy(scratch->update, m, count * sizeof *m);
    bt_orthogonalize(compute, scratch->update, rows, columns, muon->steps, scratch);
    kernels->combine(w, (float)(1.0 - lr * config->weight_decay), w, (float)(-lr * sqrt(fmax(1.0, ratio))),
                     scratch->update, count);
}
