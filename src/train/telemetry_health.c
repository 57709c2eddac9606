#include "train/telemetry_health.h"

#include <math.h>
#include <stdio.h>

/* Normal weights have 31 % zeros and Laplace's 39 %: what lies far from both has lost that shape. */
static const double zeros_low = 0.25, zeros_high = 0.45;
/* Shares of flipped codes from record to record below this are calm, whatever the least one was. */
static const double calm_flips = 0.005, flips_rise = 2.0;
static const int64_t rising_records = 3;
static const double gradient_low = 1e-3;
static const double scale_low = 0.1;

const char *bt_warning_name(enum bt_warning_kind kind)
{
    static const char *const names[BT_WARNING_KINDS] = {[BT_WARN_ZERO_SHARE] = "zero_share",
                                                        [BT_WARN_FLIPS_RISING] = "flips_rising",
                                                        [BT_WARN_GRADIENT_VANISHED] = "gradient_vanished",
                                                        [BT_WARN_SCALE_COLLAPSED] = "scale_collapsed"};
    return names[kind];
}

/* What a kind of layers looks at; NaN for a weight without codes. */
static double layer_value(enum bt_warning_kind kind, const struct bt_weight_measure *w)
{
    if (!w->packed)
        return NAN;
    return kind == BT_WARN_ZERO_SHARE ? (double)w->counts.zero / (double)w->param->count
                                      : (double)w->scale / (double)w->first_scale;
}

/* How far a value lies outside; not above 0 inside, and for what could not be measured. */
static double outside(const struct bt_warning *warning, double value)
{
    return fmax(fmax(warning->low - value, value - warning->high), 0.0);
}

bool bt_warning_meets(const struct bt_warning *warning, const struct bt_weight_measure *w)
{
    return outside(warning, layer_value(warning->kind, w)) > 0.0;
}

static bool layers_left(const struct bt_telemetry *t, struct bt_warning *warning)
{
    double worst = 0.0;
    warning->of_layers = true;
    for (size_t layer = 0; layer < t->params->shape->layers; layer++) {
        const double value = layer_value(warning->kind, &t->weights[layer * BT_PROJECTIONS + warning->projection]);
        if (outside(warning, value) > worst) {
            worst = outside(warning, value);
            warning->layer = layer;
            warning->value = value;
        }
    }
    return worst > 0.0;
}

/* Sums over some of the weights: those of one projection, or (first 0, step 1) of all. */
struct sums {
    double weights, squares; /* squares: of gradients */
    double codes, flipped;
};

static struct sums sums_of(const struct bt_telemetry *t, size_t first, size_t step)
{
    struct sums s = {0};
    for (size_t i = first; i < t->count; i += step) {
        const struct bt_weight_measure *w = &t->weights[i];
        s.weights += (double)w->param->count;
        s.squares += w->grad_norm * w->grad_norm;
        s.codes += w->packed ? (double)w->param->count : 0.0;
        s.flipped += w->packed ? (double)w->counts.flipped : 0.0;
    }
    return s;
}

static bool gradient_left(const struct bt_telemetry *t, const struct bt_health_moment *moment,
                          struct bt_warning *warning)
{
    const struct sums all = sums_of(t, 0, 1), own = sums_of(t, warning->projection, BT_PROJECTIONS);
    if (!moment->updated)
        return false;
    warning->value = all.squares > 0.0 ? sqrt(own.squares / own.weights / (all.squares / all.weights)) : 0.0;
    return outside(warning, warning->value) > 0.0;
}

static double flips_high(const struct bt_telemetry_state *state, size_t projection)
{
    return flips_rise * fmax(state->calmest[projection], calm_flips);
}

/* A single record with many flips is noise, above all where records are close together. */
static bool flips_left(const struct bt_telemetry *t, const struct bt_telemetry_state *state, struct bt_warning *warning)
{
    const struct sums own = sums_of(t, warning->projection, BT_PROJECTIONS);
    warning->high = flips_high(state, warning->projection);
    warning->value = own.flipped / own.codes;
    return state->rising[warning->projection] >= rising_records;
}

/* Shares over another number of updates are not to be compared. */
static void note_flips(const struct bt_telemetry *t, const struct bt_health_moment *moment,
                       struct bt_telemetry_state *state)
{
    if (!moment->full_lambda || !moment->span)
        return;
    for (size_t p = 0; p < BT_PROJECTIONS; p++) {
        const struct sums own = sums_of(t, p, BT_PROJECTIONS);
        const double share = own.flipped / own.codes; /* NaN without codes */
        if (moment->span != state->flip_span)
            state->calmest[p] = NAN;
        const bool many = moment->late && !isnan(state->calmest[p]) && share > flips_high(state, p);
        state->rising[p] = many ? state->rising[p] + 1 : 0;
        if (!(state->calmest[p] <= share))
            state->calmest[p] = share;
    }
    state->flip_span = moment->span;
}

static bool has_left(const struct bt_telemetry *t, const struct bt_health_moment *moment,
                     const struct bt_telemetry_state *state, struct bt_warning *warning)
{
    switch (warning->kind) {
    case BT_WARN_ZERO_SHARE:
        warning->low = zeros_low;
        warning->high = zeros_high;
        return layers_left(t, warning);
    case BT_WARN_SCALE_COLLAPSED:
        warning->low = scale_low;
        return layers_left(t, warning);
    case BT_WARN_GRADIENT_VANISHED:
        warning->low = gradient_low;
        return gradient_left(t, moment, warning);
    case BT_WARN_FLIPS_RISING:
    case BT_WARNING_KINDS:
        break;
    }
    return flips_left(t, state, warning);
}

size_t bt_telemetry_warnings(const struct bt_telemetry *t, const struct bt_health_moment *moment,
                             struct bt_telemetry_state *state, struct bt_warning list[BT_WARNINGS_MAX])
{
    size_t count = 0;
    note_flips(t, moment, state);
    for (unsigned i = 0; i < BT_WARNINGS_MAX; i++) {
        struct bt_warning *warning = &list[count];
        *warning = (struct bt_warning){.kind = (enum bt_warning_kind)(i / BT_PROJECTIONS),
                                       .projection = i % BT_PROJECTIONS,
                                       .low = NAN,
                                       .high = NAN};
        if (state->warned >> i & 1 || !has_left(t, moment, state, warning))
            continue;
        state->warned |= UINT64_C(1) << i;
        count++;
    }
    return count;
}

void bt_warning_sentence(const struct bt_warning *w, char *text, size_t size)
{
    const char *name = bt_projection_name(w->projection);
    switch (w->kind) {
    case BT_WARN_ZERO_SHARE:
        snprintf(text, size, "%s: %.1f %% of the codes of layer %zu are 0, healthy are %.0f to %.0f %%", name,
                 100.0 * w->value, w->layer, 100.0 * w->low, 100.0 * w->high);
        return;
    case BT_WARN_FLIPS_RISING:
        snprintf(text, size, "%s: %.2f %% of the codes flipped since the last record, healthy is at most %.2f %%", name,
                 100.0 * w->value, 100.0 * w->high);
        return;
    case BT_WARN_GRADIENT_VANISHED:
        snprintf(text, size, "%s: its gradients are %.1e of those of all projections, healthy is at least %.0e", name,
                 w->value, w->low);
        return;
    case BT_WARN_SCALE_COLLAPSED:
    case BT_WARNING_KINDS:
        break;
    }
    snprintf(text, size, "%s: the scale of layer %zu has fallen to %.3f of what it was, healthy is at least %.1f", name,
             w->layer, w->value, w->low);
}

const char *bt_warning_advice(const struct bt_warning *w)
{
    switch (w->kind) {
    case BT_WARN_ZERO_SHARE:
        return w->value < w->low
                   ? "so few zeros leave two values in place of three: a lower optimizer.lr and a longer lambda_warmup "
                     "let weights settle around 0 again"
                   : "most weights crowd around 0 while a few large ones make the scale: a lower optimizer.lr, less "
                     "optimizer.weight_decay, or stage1.exclude_layers for a layer that was so from the start";
    case BT_WARN_FLIPS_RISING:
        return "codes should settle as a stage ends: a lower optimizer.lr, a larger scheduler.decay_ratio, or more "
               "rows "
               "an update (gradient_accumulation_steps)";
    case BT_WARN_GRADIENT_VANISHED:
        return "what does not get a gradient does not learn: stage1.subln_init: calibrated, a longer lambda_warmup; "
               "look "
               "at absmax of its input, which an outlier may dominate";
    case BT_WARN_SCALE_COLLAPSED:
    case BT_WARNING_KINDS:
        break;
    }
    return "weights that shrink this far are decaying, not learning: less optimizer.weight_decay or a lower "
           "optimizer.lr; if its gradients have vanished too, see to these first";
}
