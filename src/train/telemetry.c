#include "train/telemetry.h"

#include <math.h>
#include <string.h>

#include "base/clock.h"

/* In scales, to each side of a rounding boundary: what counts as near. */
#define NEAR_BOUNDARY 0.05f

const char *bt_projection_name(size_t projection)
{
    static const char *const names[BT_PROJECTIONS] = {"q_proj",    "k_proj",  "v_proj",   "o_proj",
                                                      "gate_proj", "up_proj", "down_proj"};
    return names[projection];
}

const char *bt_input_name(enum bt_input input)
{
    static const char *const names[BT_INPUT_COUNT] = {
        [BT_INPUT_QKV] = "qkv", [BT_INPUT_O] = "o", [BT_INPUT_GATE_UP] = "gate_up", [BT_INPUT_DOWN] = "down"};
    return names[input];
}

size_t bt_telemetry_packed_bytes(const struct bt_params *params, bool ternary)
{
    size_t bytes = 0;
    for (size_t i = 0; ternary && i < params->count; i++)
        if (params->list[i].linear && !params->list[i].excluded)
            bytes += bt_packed_codes_bytes(params->list[i].count);
    return bytes;
}

static size_t largest_linear(const struct bt_params *params)
{
    size_t most = 0;
    for (size_t i = 0; i < params->count; i++)
        if (params->list[i].linear && params->list[i].count > most)
            most = params->list[i].count;
    return most;
}

static void carve(struct bt_telemetry *t, struct bt_arena *arena)
{
    const size_t inputs = t->params->shape->layers * BT_INPUT_COUNT;
    t->weights = bt_arena_take(arena, t->count, sizeof *t->weights);
    t->packed = bt_arena_take(arena, t->packed_bytes, 1);
    t->pass = bt_arena_take(arena, inputs, sizeof *t->pass);
    t->inputs = bt_arena_take(arena, inputs, sizeof *t->inputs);
    t->before = bt_arena_take(arena, largest_linear(t->params), sizeof *t->before);
}

static struct bt_telemetry sized(const struct bt_params *params, bool ternary)
{
    return (struct bt_telemetry){.params = params,
                                 .count = params->shape->layers * BT_PROJECTIONS,
                                 .packed_bytes = bt_telemetry_packed_bytes(params, ternary)};
}

size_t bt_telemetry_memory(const struct bt_params *params, bool ternary)
{
    struct bt_telemetry t = sized(params, ternary);
    struct bt_arena measure = {0};
    carve(&t, &measure);
    return measure.used;
}

/* The linear weights of the table, which has them layer by layer. */
static void list_weights(struct bt_telemetry *t)
{
    struct bt_weight_measure *w = t->weights;
    uint8_t *packed = t->packed;
    for (size_t i = 0; i < t->params->count; i++) {
        const struct bt_param *p = &t->params->list[i];
        if (!p->linear)
            continue;
        *w = (struct bt_weight_measure){.param = p, .grad_norm = NAN, .update_ratio = NAN};
        if (t->packed_bytes && !p->excluded) {
            w->packed = packed;
            packed += bt_packed_codes_bytes(p->count);
        }
        w++;
    }
}

enum bt_err bt_telemetry_create(const struct bt_params *params, bool ternary, int64_t interval,
                                struct bt_telemetry **ret_telemetry, struct bt_diag *diag)
{
    const size_t size = bt_telemetry_memory(params, ternary);
    struct bt_telemetry *t = bt_zalloc(1, sizeof *t);
    if (!t)
        return bt_fail_nomem(diag);
    *t = sized(params, ternary);
    t->interval = interval;
    if (!bt_arena_init(&t->arena, size)) {
        bt_free(t);
        return bt_fail(diag, BT_ENOMEM, "out of memory: telemetry needs %zu bytes", size);
    }
    carve(t, &t->arena);
    list_weights(t);
    *ret_telemetry = t;
    return BT_OK;
}

void bt_telemetry_destroy(struct bt_telemetry *t)
{
    if (!t)
        return;
    bt_arena_finish(&t->arena);
    bt_free(t);
}

static void pack(struct bt_telemetry *t, const struct bt_model *model)
{
    float scale;
    for (size_t i = 0; i < t->count; i++)
        if (t->weights[i].packed)
            bt_packed_codes_make(t->weights[i].packed, bt_model_codes(model, t->weights[i].param, &scale),
                                 t->weights[i].param->count);
}

static void count(struct bt_telemetry *t, const struct bt_model *model)
{
    for (size_t i = 0; i < t->count; i++) {
        struct bt_weight_measure *w = &t->weights[i];
        const int8_t *codes = w->packed ? bt_model_codes(model, w->param, &w->scale) : NULL;
        if (!codes)
            continue;
        bt_codes_compare(&w->counts, codes, w->packed, w->param->count);
        w->near_boundary =
            bt_weights_near_boundary(bt_model_weight(model, w->param), w->param->count, w->scale, NEAR_BOUNDARY);
    }
}

void bt_telemetry_begin(struct bt_telemetry *t, const struct bt_model *model, struct bt_telemetry_state *state,
                        int64_t step)
{
    const double start = bt_clock_seconds();
    t->seconds = state->seconds;
    t->since = step;
    if (state->step < 0) {
        state->step = step;
        pack(t, model);
        count(t, model);
        for (size_t i = 0; i < t->count; i++)
            t->weights[i].first_scale = t->weights[i].scale;
    }
    t->seconds += bt_clock_seconds() - start;
}

bool bt_telemetry_due(const struct bt_telemetry *t, int64_t step)
{
    return step % t->interval == 0;
}

static void clear_pass(struct bt_telemetry *t)
{
    memset(t->pass, 0, t->params->shape->layers * BT_INPUT_COUNT * sizeof *t->pass);
}

void bt_telemetry_open(struct bt_telemetry *t, struct bt_model *model)
{
    clear_pass(t);
    memset(t->inputs, 0, t->params->shape->layers * BT_INPUT_COUNT * sizeof *t->inputs);
    bt_model_count_inputs(model, t->pass);
}

/* Forward may run over a block twice, so it overwrites what it counts, and sums are made here. */
void bt_telemetry_add_inputs(struct bt_telemetry *t)
{
    for (size_t i = 0; i < t->params->shape->layers * BT_INPUT_COUNT; i++) {
        const struct bt_input_counts *pass = &t->pass[i];
        struct bt_input_counts *sum = &t->inputs[i];
        sum->codes += pass->codes;
        sum->ends += pass->ends;
        if (isfinite(sum->absmax) && !(pass->absmax <= sum->absmax))
            sum->absmax = pass->absmax;
        t->seconds += pass->seconds;
    }
    clear_pass(t);
}

void bt_telemetry_gradients(struct bt_telemetry *t, const struct bt_optimizer *o)
{
    const double start = bt_clock_seconds();
    for (size_t i = 0; i < t->count; i++) {
        struct bt_weight_measure *w = &t->weights[i];
        w->grad_norm = sqrt(o->kernels->sum_squares(o->gradients + w->param->offset, w->param->count));
        w->update_ratio = NAN;
    }
    t->seconds += bt_clock_seconds() - start;
}

/* |w - before| / |before|; before is overwritten. */
static double change_ratio(const struct bt_optimizer *o, const float *w, float *before, size_t n)
{
    const double squares = o->kernels->sum_squares(before, n);
    o->kernels->combine(before, 1.0f, w, -1.0f, before, n);
    return sqrt(o->kernels->sum_squares(before, n) / squares);
}

void bt_telemetry_step(struct bt_telemetry *t, const struct bt_optimizer *o, double lr, int64_t applied,
                       float gradient_scale)
{
    struct bt_weight_measure *w = t->weights;
    for (size_t i = 0; i < t->params->count; i++) {
        const struct bt_param *p = &t->params->list[i];
        const float *weights = o->weights + p->offset;
        if (!p->linear) {
            bt_optimizer_step_tensor(o, p, lr, applied, gradient_scale);
            continue;
        }
        const double start = bt_clock_seconds();
        memcpy(t->before, weights, p->count * sizeof *weights);
        const double copied = bt_clock_seconds();
        bt_optimizer_step_tensor(o, p, lr, applied, gradient_scale);
        const double stepped = bt_clock_seconds();
        w++->update_ratio = change_ratio(o, weights, t->before, p->count);
        t->seconds += copied - start + bt_clock_seconds() - stepped;
    }
}

void bt_telemetry_close(struct bt_telemetry *t, struct bt_model *model, struct bt_telemetry_state *state, int64_t step)
{
    const double start = bt_clock_seconds();
    bt_model_count_inputs(model, NULL);
    count(t, model);
    pack(t, model);
    t->since = state->step;
    state->step = step;
    t->seconds += bt_clock_seconds() - start;
}
