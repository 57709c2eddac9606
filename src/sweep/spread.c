#include "sweep/spread.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"

static bool same_value(const char *a, const char *b)
{
    return a && b ? !strcmp(a, b) : a == b;
}

static bool is_alike(const struct bt_sweep *sweep, const struct bt_sweep_run *a, const struct bt_sweep_run *b,
                     size_t seed)
{
    if (a->is_twin != b->is_twin)
        return false;
    for (size_t k = 0; k < sweep->combinations.key_count; k++)
        if (k != seed && !same_value(a->values[k], b->values[k]))
            return false;
    return true;
}

struct sums {
    double loss, best, cost;
};

static struct sums sum_up(const struct bt_sweep_table *table, struct bt_spread_line *line, size_t seed)
{
    struct sums sums = {0};
    line->least = INFINITY;
    line->most = -INFINITY;
    for (size_t r = 0; r < table->count; r++) {
        const struct bt_sweep_row *row = &table->rows[r];
        if (!is_alike(table->sweep, line->run, row->run, seed))
            continue;
        line->members++;
        if (row->outcome.status != BT_SWEEP_FINISHED)
            continue;
        line->finished++;
        sums.loss += row->outcome.eval_loss;
        sums.best += row->outcome.best_eval_loss;
        sums.cost += row->cost;
        line->least = fmin(line->least, row->outcome.eval_loss);
        line->most = fmax(line->most, row->outcome.eval_loss);
    }
    return sums;
}

static double squares(const struct bt_sweep_table *table, const struct bt_spread_line *line, size_t seed)
{
    double sum = 0.0;
    for (size_t r = 0; r < table->count; r++) {
        const struct bt_sweep_row *row = &table->rows[r];
        const double off = row->outcome.eval_loss - line->mean;
        if (row->outcome.status == BT_SWEEP_FINISHED && is_alike(table->sweep, line->run, row->run, seed))
            sum += off * off;
    }
    return sum;
}

static void fill(const struct bt_sweep_table *table, struct bt_spread_line *line, size_t seed)
{
    const struct sums sums = sum_up(table, line, seed);
    const double n = (double)line->finished;
    line->mean = sums.loss / n; /* NaN when there is none */
    line->best_mean = sums.best / n;
    line->cost_mean = sums.cost / n;
    line->deviation = line->finished > 1 ? sqrt(squares(table, line, seed) / (n - 1.0)) : NAN;
    if (!line->finished)
        line->least = line->most = NAN;
}

/* Insertion keeps the order of the members where means are the same or missing. */
static void insert(struct bt_sweep_table *table, const struct bt_spread_line *line)
{
    size_t at = table->spread_count++;
    while (at > 0 && !isnan(line->mean) && !(table->spread[at - 1].mean <= line->mean)) {
        table->spread[at] = table->spread[at - 1];
        at--;
    }
    table->spread[at] = *line;
}

/* Is it the first of those that it is alike to? */
static bool is_first(const struct bt_sweep *sweep, size_t member, size_t seed)
{
    for (size_t i = 0; i < member; i++)
        if (is_alike(sweep, &sweep->runs[i], &sweep->runs[member], seed))
            return false;
    return true;
}

enum bt_err bt_sweep_spread(struct bt_sweep_table *table, struct bt_diag *diag)
{
    const struct bt_sweep *sweep = table->sweep;
    size_t seed = 0;
    while (seed < sweep->combinations.key_count && strcmp(sweep->combinations.keys[seed], "seed"))
        seed++;
    if (seed == sweep->combinations.key_count)
        return BT_OK;
    table->spread = bt_zalloc(sweep->member_count, sizeof *table->spread);
    if (!table->spread)
        return bt_fail_nomem(diag);
    for (size_t i = 0; i < sweep->member_count; i++) {
        struct bt_spread_line line = {.run = &sweep->runs[i]};
        if (!is_first(sweep, i, seed))
            continue;
        fill(table, &line, seed);
        insert(table, &line);
    }
    if (table->spread_count == sweep->member_count) /* every member stands for itself */
        table->spread_count = 0;
    return BT_OK;
}
