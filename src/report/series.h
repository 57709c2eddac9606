/* report/series.h - the numbers of JSON records as curves over the updates they belong to.
 *
 * Every number of a record, however deep, is a point of the series that its place in the record names: "loss",
 * "terms.logits.raw", "projections.q_proj.zero.3" (the fourth of a list). A null is a point too, whose y is NaN: what
 * was not finite when it was written. */
#ifndef BT_REPORT_SERIES_H
#define BT_REPORT_SERIES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "io/json.h"

struct bt_series {
    char *key;
    size_t count, room;
    double *x, *y; /* x: the record's "step" */
};

struct bt_series_set { /* zeroed: empty */
    size_t records;
    struct bt_series *list; /* in the order in which they first appeared */
    size_t count, room;
    json_t *places; /* key -> place in the list */
};

/* Adds a record's numbers but for its step; true and false count as 1 and 0. *ret_added is false, and nothing was
 * added, when it has no step. Only BT_ENOMEM. */
enum bt_err bt_series_add(struct bt_series_set *set, const json_t *record, bool *ret_added, struct bt_diag *diag);
/* NULL when no record has it. Borrowed. */
const struct bt_series *bt_series_find(const struct bt_series_set *set, const char *key);
/* The last finite y, or NaN; takes NULL. */
double bt_series_last(const struct bt_series *series);
void bt_series_finish(struct bt_series_set *set); /* takes a zeroed one */

#endif
