#include "report/effect.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static double number_of(const char *text)
{
    char *end;
    const double value = text ? strtod(text, &end) : NAN;
    return text && end != text && !*end ? value : NAN;
}

static bool same_text(const char *a, const char *b)
{
    return a && b ? !strcmp(a, b) : a == b;
}

static bool comes_before(const struct bt_effect_value *a, const struct bt_effect_value *b)
{
    return isfinite(a->number) && (!isfinite(b->number) || a->number < b->number);
}

static void sort_values(struct bt_effect *e)
{
    for (size_t i = 1; i < e->count; i++)
        for (size_t k = i; k > 0 && comes_before(&e->values[k], &e->values[k - 1]); k--) {
            const struct bt_effect_value swap = e->values[k];
            e->values[k] = e->values[k - 1];
            e->values[k - 1] = swap;
        }
}

static size_t place_of(const struct bt_effect *e, const char *text)
{
    size_t i = 0;
    while (i < e->count && !same_text(e->values[i].text, text))
        i++;
    return i;
}

static bool takes_part(const struct bt_report *report, size_t run)
{
    return report->runs[run].config.count && isfinite(bt_report_end_loss(report, run)) &&
           !bt_report_is_twin(report, run);
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* losses: room for all runs. */
static void sum_up_value(const struct bt_report *report, struct bt_effect *e, size_t i, double *losses)
{
    struct bt_effect_value *v = &e->values[i];
    double cost = 0.0;
    size_t with_twin = 0;
    for (size_t r = 0; r < report->run_count; r++) {
        const double above = bt_report_cost(report, r);
        if (e->value_of[r] != i)
            continue;
        losses[v->runs++] = bt_report_end_loss(report, r);
        if (isfinite(above)) {
            cost += above;
            with_twin++;
        }
    }
    qsort(losses, v->runs, sizeof *losses, compare);
    v->least = v->runs ? losses[0] : NAN;
    v->most = v->runs ? losses[v->runs - 1] : NAN;
    v->median = v->runs ? 0.5 * (losses[(v->runs - 1) / 2] + losses[v->runs / 2]) : NAN;
    v->cost = with_twin ? cost / (double)with_twin : NAN;
}

static bool sum_up(const struct bt_report *report, struct bt_effect *e)
{
    double *losses = bt_alloc(report->run_count * sizeof *losses);
    e->numbers = e->count > 0;
    for (size_t i = 0; i < e->count && losses; i++) {
        sum_up_value(report, e, i, losses);
        e->numbers = e->numbers && isfinite(e->values[i].number);
    }
    bt_free(losses);
    return losses;
}

enum bt_err bt_effect_find(const struct bt_report *report, const char *key, struct bt_effect *ret_effect,
                           struct bt_diag *diag)
{
    struct bt_effect e = {.key = key,
                          .values = bt_zalloc(report->run_count, sizeof *e.values),
                          .value_of = bt_alloc(report->run_count * sizeof *e.value_of)};
    if (!e.values || !e.value_of) {
        bt_effect_finish(&e);
        return bt_fail_nomem(diag);
    }
    for (size_t r = 0; r < report->run_count; r++) {
        const char *text = bt_flat_config_get(&report->runs[r].config, key);
        if (takes_part(report, r) && place_of(&e, text) == e.count)
            e.values[e.count++] = (struct bt_effect_value){.text = text, .number = number_of(text)};
    }
    sort_values(&e);
    for (size_t r = 0; r < report->run_count; r++)
        e.value_of[r] =
            takes_part(report, r) ? place_of(&e, bt_flat_config_get(&report->runs[r].config, key)) : BT_REPORT_NONE;
    if (!sum_up(report, &e)) {
        bt_effect_finish(&e);
        return bt_fail_nomem(diag);
    }
    *ret_effect = e;
    return BT_OK;
}

void bt_effect_finish(struct bt_effect *effect)
{
    bt_free(effect->values);
    bt_free(effect->value_of);
    *effect = (struct bt_effect){0};
}
