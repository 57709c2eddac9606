#include "report/scale.h"

#include <math.h>

static const double decades_max = 1e12;

struct bt_scale bt_scale_make(double low, double high, bool log)
{
    if (!isfinite(low) || !isfinite(high)) {
        low = 0.0;
        high = 1.0;
    }
    if (low > high) {
        const double swap = low;
        low = high;
        high = swap;
    }
    log = log && high > 0.0;
    if (log && low < high / decades_max)
        low = high / decades_max;
    if (low == high) { /* one value: it stands in the middle */
        const double half = log ? 0.0 : low != 0.0 ? fabs(low) * 0.1 : 1.0;
        low = log ? low / 2.0 : low - half;
        high = log ? high * 2.0 : high + half;
    }
    return (struct bt_scale){low, high, log};
}

struct bt_scale bt_scale_padded(struct bt_scale scale, double below, double above)
{
    if (scale.log) {
        const double length = log(scale.high / scale.low);
        scale.low *= exp(-below * length);
        scale.high *= exp(above * length);
    } else {
        const double length = scale.high - scale.low;
        scale.low -= below * length;
        scale.high += above * length;
    }
    return scale;
}

double bt_scale_place(const struct bt_scale *scale, double value)
{
    double place;
    if (scale->log)
        place = value > 0.0 ? log(value / scale->low) / log(scale->high / scale->low) : 0.0;
    else
        place = (value - scale->low) / (scale->high - scale->low);
    return fmin(fmax(place, scale->log ? 0.0 : -9.0), 10.0);
}

static void add_tick(struct bt_ticks *ticks, const struct bt_scale *scale, double value, double slack)
{
    if (ticks->count < BT_TICKS_MAX && value >= scale->low - slack && value <= scale->high + slack)
        ticks->values[ticks->count++] = value;
}

static struct bt_ticks linear_ticks(const struct bt_scale *scale, size_t wanted, bool whole)
{
    struct bt_ticks ticks = {.count = 0};
    const double rough = (scale->high - scale->low) / (double)(wanted ? wanted : 1);
    const double power = pow(10.0, floor(log10(rough))), part = rough / power;
    double step = (part < 1.5 ? 1.0 : part < 3.5 ? 2.0 : part < 7.5 ? 5.0 : 10.0) * power;
    if (whole && step < 1.0)
        step = 1.0;
    const double first = ceil(scale->low / step - 1e-9);
    for (int i = 0; i < BT_TICKS_MAX; i++)
        add_tick(&ticks, scale, (first + i) * step, 1e-9 * (scale->high - scale->low));
    return ticks;
}

/* Powers of ten; where there are few of them, also 2 and 5 times these. */
static struct bt_ticks log_ticks(const struct bt_scale *scale, size_t wanted)
{
    struct bt_ticks ticks = {.count = 0};
    const double first = floor(log10(scale->low)), decades = log10(scale->high / scale->low);
    const double stride = fmax(1.0, ceil(decades / (double)(wanted ? wanted : 1)));
    for (double power = first; power <= log10(scale->high) + 1e-9; power += stride) {
        const double value = pow(10.0, power), slack = 1e-9 * value;
        add_tick(&ticks, scale, value, slack);
        if (decades < 3.0) {
            add_tick(&ticks, scale, 2.0 * value, slack);
            add_tick(&ticks, scale, 5.0 * value, slack);
        }
    }
    return ticks;
}

struct bt_ticks bt_scale_ticks(const struct bt_scale *scale, size_t wanted, bool whole)
{
    if (scale->log) {
        const struct bt_ticks ticks = log_ticks(scale, wanted);
        if (ticks.count >= 2)
            return ticks;
    }
    return linear_ticks(scale, wanted, whole);
}
