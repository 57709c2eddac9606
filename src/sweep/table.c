#include "sweep/table.h"

#include <math.h>

#include "base/mem.h"
#include "sweep/spread.h"

static double sort_value(const struct bt_sweep_row *row, unsigned sort)
{
    switch ((enum bt_sweep_sort)sort) {
    case BT_SORT_EVAL_LOSS:
        return isnan(row->outcome.eval_loss) ? row->outcome.loss : row->outcome.eval_loss;
    case BT_SORT_BEST_EVAL_LOSS:
        return row->outcome.best_eval_loss;
    case BT_SORT_LOSS:
        return row->outcome.loss;
    case BT_SORT_ORDER:
        break;
    }
    return NAN;
}

/* Numbers rising, then what has none, each in the order of the members. */
static bool comes_before(const struct bt_sweep_row *a, const struct bt_sweep_row *b, unsigned sort)
{
    const double x = sort_value(a, sort), y = sort_value(b, sort);
    if (isnan(x) != isnan(y))
        return isnan(y);
    if (!isnan(x) && x != y)
        return x < y;
    return a->run < b->run;
}

static void sort_rows(struct bt_sweep_table *table)
{
    const unsigned sort = table->sweep->file->sort;
    for (size_t i = 1; i < table->count; i++) {
        const struct bt_sweep_row row = table->rows[i];
        size_t at = i;
        for (; at > 0 && comes_before(&row, &table->rows[at - 1], sort); at--)
            table->rows[at] = table->rows[at - 1];
        table->rows[at] = row;
    }
}

static enum bt_err fill(struct bt_sweep_table *table, bool locks, struct bt_diag *diag)
{
    const struct bt_sweep *sweep = table->sweep;
    enum bt_err err = BT_OK;
    for (; !err && table->count < sweep->member_count; table->count++) {
        struct bt_sweep_row *row = &table->rows[table->count];
        row->run = &sweep->runs[table->count];
        err = bt_sweep_look(sweep, row->run, locks, &row->outcome, diag);
    }
    for (size_t i = 0; !err && i < table->count; i++) { /* rows are in the order of the runs until they are sorted */
        const size_t twin = table->rows[i].run->twin;
        const double loss = table->rows[i].outcome.eval_loss;
        table->rows[i].cost = twin == BT_SWEEP_NONE ? NAN : loss - table->rows[twin].outcome.eval_loss;
    }
    return err;
}

enum bt_err bt_sweep_table_make(const struct bt_sweep *sweep, bool locks, struct bt_sweep_table *ret_table,
                                struct bt_diag *diag)
{
    struct bt_sweep_table table = {.sweep = sweep, .rows = bt_zalloc(sweep->member_count, sizeof *table.rows)};
    enum bt_err err = table.rows ? fill(&table, locks, diag) : bt_fail_nomem(diag);
    if (!err) {
        sort_rows(&table);
        err = bt_sweep_spread(&table, diag);
    }
    if (err)
        bt_sweep_table_finish(&table);
    else
        *ret_table = table;
    return err;
}

void bt_sweep_table_finish(struct bt_sweep_table *table)
{
    for (size_t i = 0; i < table->count; i++)
        bt_sweep_outcome_finish(&table->rows[i].outcome);
    bt_free(table->rows);
    bt_free(table->spread);
    *table = (struct bt_sweep_table){0};
}
