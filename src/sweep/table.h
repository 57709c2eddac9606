/* sweep/table.h - the results of a sweep as one table, on the terminal and as files. What it says comes from the run
 * folders alone, so it is the same whoever ran them, and however often that was interrupted. */
#ifndef BT_SWEEP_TABLE_H
#define BT_SWEEP_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "sweep/outcome.h"
#include "sweep/sweep.h"

struct bt_sweep_row {
    const struct bt_sweep_run *run;
    struct bt_sweep_outcome outcome;
    double cost; /* validation loss above that of the float twin, or NaN */
};

/* Members that differ in nothing but the seed. */
struct bt_spread_line {
    const struct bt_sweep_run *run; /* the first of them, for the values they have in common */
    size_t members, finished;
    double mean, deviation, least,
        most;                    /* of the finished ones' eval_loss; deviation is that of a sample, NaN of one */
    double best_mean, cost_mean; /* of best_eval_loss and cost */
};

struct bt_sweep_table {
    const struct bt_sweep *sweep;
    struct bt_sweep_row *rows; /* (count) finished ones first, by the column that the sweep sorts by */
    size_t count;
    struct bt_spread_line *spread; /* (spread_count) by mean; none when no two members differ in the seed alone */
    size_t spread_count;
};

/* Looks at all members. locks: also find out which are being worked on. */
enum bt_err bt_sweep_table_make(const struct bt_sweep *sweep, bool locks, struct bt_sweep_table *ret_table,
                                struct bt_diag *diag);
void bt_sweep_table_finish(struct bt_sweep_table *table); /* takes a zeroed one */

/* results.csv and .jsonl, spread.csv and .jsonl in the sweep's folder, replaced whole; several processes may do so at
 * once. */
enum bt_err bt_sweep_table_write(const struct bt_sweep_table *table, struct bt_diag *diag);
/* For people; with the mean over seeds where there are several, and what failed. bt_free; NULL when memory is out. */
char *bt_sweep_table_text(const struct bt_sweep_table *table);

#endif
