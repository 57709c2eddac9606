/* text/hold_out.h - which documents are held out for validation: a function of a seed and of each document's number.
 *
 * A share holds out the documents whose draw is below it; a count holds out as many as it says, those of the smallest
 * draws, and for that all of them are shown first. */
#ifndef BT_TEXT_HOLD_OUT_H
#define BT_TEXT_HOLD_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* What is drawn for a document; ties, rare as they are, go to the earlier one. */
struct bt_draw {
    uint64_t value, index;
};

struct bt_hold_out { /* begun by bt_hold_out_begin */
    uint64_t key, count;
    struct bt_draw limit;  /* a document is held out when its draw is not above it */
    struct bt_draw *heap;  /* of a count: the smallest draws so far, the largest of them at the front */
    size_t held, capacity; /* in the heap */
    uint64_t shown;
};

/* share: inside (0, 1), or 0: `count` documents, at least 1. */
void bt_hold_out_begin(struct bt_hold_out *h, uint64_t seed, double share, uint64_t count);
/* Whether all documents must be shown before any is asked for. */
bool bt_hold_out_counts(const struct bt_hold_out *h);
enum bt_err bt_hold_out_show(struct bt_hold_out *h, uint64_t index, struct bt_diag *diag);
/* All were shown. BT_EINPUT when none would be left to train on. */
enum bt_err bt_hold_out_decide(struct bt_hold_out *h, struct bt_diag *diag);
bool bt_hold_out_takes(const struct bt_hold_out *h, uint64_t index);
void bt_hold_out_finish(struct bt_hold_out *h); /* takes a zeroed one */

#endif
