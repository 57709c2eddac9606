/* train/feed.h - micro-batches that are made by a thread of their own while the one before them is trained on.
 *
 * There are two slots. A slot belongs to the thread until it is full, then to the caller from the bt_feed_next that
 * lends it to the one after it; nobody else touches it meanwhile, and the cursor belongs to the thread alone. What
 * stands in the slots is a function of the cursor's first row, so no bit depends on which of the two is faster. */
#ifndef BT_TRAIN_FEED_H
#define BT_TRAIN_FEED_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "nn/batch.h"
#include "train/rows.h"

enum { BT_FEED_SLOTS = 2 };

struct bt_micro_batch {
    struct bt_batch batch;
    struct bt_row_facts *rows;             /* (batch.rows) */
    uint64_t update_labels, update_tokens; /* of the whole update that it is a part of */
};
void bt_micro_batch_carve(struct bt_micro_batch *micro, struct bt_arena *arena, size_t rows, size_t seq);

/* Starts the thread. Takes the cursor over, also when it fails; slots (BT_FEED_SLOTS, carved) are borrowed.
 * micro_batches make an update. BT_ENOMEM when there is no thread to be had. */
struct bt_feed;
enum bt_err bt_feed_open(struct bt_cursor *cursor, struct bt_micro_batch *slots, size_t micro_batches,
                         struct bt_feed **ret_feed, struct bt_diag *diag);
/* Lends the next micro-batch until the next call. An error of the thread comes in the place of the micro-batch that it
 * could not make, and of all after it. ret_waited: seconds that the caller stood still for it. Allocates nothing. */
enum bt_err bt_feed_next(struct bt_feed *feed, const struct bt_micro_batch **ret_micro, double *ret_waited,
                         struct bt_diag *diag);
void bt_feed_close(struct bt_feed *feed); /* ends the thread; takes NULL */

#endif
