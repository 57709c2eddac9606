/* report/effect.h - what a key that varies between runs does to their final validation loss. */
#ifndef BT_REPORT_EFFECT_H
#define BT_REPORT_EFFECT_H

#include <stdbool.h>
#include <stddef.h>

#include "report/report.h"

struct bt_effect_value {
    const char *text;           /* borrowed from a config; NULL: the key is not there */
    double number;              /* NaN when the text is none */
    size_t runs;                /* that have it, and a loss */
    double median, least, most; /* of their losses; NaN without runs */
    double cost;                /* mean of the losses above those of their float twins; NaN where no run has a twin */
};

struct bt_effect {
    const char *key;
    struct bt_effect_value *values; /* numbers rising, then texts as they first appear */
    size_t count;
    bool numbers;     /* every value is one */
    size_t *value_of; /* (run_count) or BT_REPORT_NONE: a float twin, a run without a loss */
};

enum bt_err bt_effect_find(const struct bt_report *report, const char *key, struct bt_effect *ret_effect,
                           struct bt_diag *diag);
void bt_effect_finish(struct bt_effect *effect); /* takes a zeroed one */

#endif
