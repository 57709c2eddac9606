/* report/heat.h - values of many rows over time as a figure of a page: a cell a record and row, its colour the value.
 */
#ifndef BT_REPORT_HEAT_H
#define BT_REPORT_HEAT_H

#include <stdbool.h>
#include <stddef.h>

#include "config/text_buf.h"
#include "report/series.h"

struct bt_heat_group { /* rows that belong together: the layers of a projection */
    const char *name;
    const struct bt_series *const *rows; /* (count) borrowed */
    size_t count;
};

struct bt_heat {
    const char *title, *unit; /* unit may be NULL */
    const char *row_name;     /* "layer" */
    const struct bt_heat_group *groups;
    size_t group_count;
    bool log;
};

/* Rows are numbered from 0 in each group; their records are columns, from the left. What is not finite is an empty
 * cell. Nothing where there are no rows. */
void bt_heat_write(struct bt_text_buf *out, const struct bt_heat *heat);

#endif
