/* sweep/take_over.h - a run folder that begins with the stages another run has finished. */
#ifndef BT_SWEEP_TAKE_OVER_H
#define BT_SWEEP_TAKE_OVER_H

#include "sweep/sweep.h"

/* Makes the folder of `run`, which must not be there, with the finished stages of `from`: models and conversion.json as
 * further names of the same files (copies where the disk has no such thing; nothing ever writes into them), records and
 * summary as copies. It is made beside and renamed, so a folder that is there has all of it. */
enum bt_err bt_sweep_take_over(const struct bt_sweep_run *run, const struct bt_sweep_run *from, struct bt_diag *diag);

#endif
