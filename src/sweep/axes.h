/* sweep/axes.h - what files of src/sweep share about combinations: an axis is a table of values for some keys, one row
 * of which goes into each member. */
#ifndef BT_SWEEP_AXES_H
#define BT_SWEEP_AXES_H

#include "sweep/combinations.h"

struct bt_sweep_axis {
    const char **keys;
    size_t key_count;
    const char **values; /* (count, key_count); NULL: not set */
    size_t count;
};

/* Memory for an axis of that size, values NULL. */
enum bt_err bt_sweep_axis_make(struct bt_sweep_file *file, size_t key_count, size_t count,
                               struct bt_sweep_axis *ret_axis, struct bt_diag *diag);
/* The axis of all random draws. */
enum bt_err bt_sweep_draw(struct bt_sweep_file *file, struct bt_sweep_axis *ret_axis, struct bt_diag *diag);

#endif
