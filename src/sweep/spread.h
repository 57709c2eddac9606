/* sweep/spread.h - mean and spread over seeds, for the table. Private to src/sweep. */
#ifndef BT_SWEEP_SPREAD_H
#define BT_SWEEP_SPREAD_H

#include "sweep/table.h"

/* Fills spread and spread_count from the rows. */
enum bt_err bt_sweep_spread(struct bt_sweep_table *table, struct bt_diag *diag);

#endif
