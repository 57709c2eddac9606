/* train/sliding.h - loss in sliding windows: every token of a shard but its first is predicted once, from as many
 * tokens before it as a window leaves it.
 *
 * Windows of T tokens begin every S tokens of a shard, T / 2 for instance. The first one predicts T tokens, each later
 * one the S that no window before it has predicted, the last one what is left; it may be shorter. Documents see each
 * other, as in plain windows, and label masks are not looked at. */
#ifndef BT_TRAIN_SLIDING_H
#define BT_TRAIN_SLIDING_H

#include "config/train_config.h"
#include "nn/model.h"
#include "train/evaluate.h"

struct bt_sliding;
/* Opens every shard of the sources, in the order of bt_rows_open, and checks every id. 0 < stride <= seq. BT_EINPUT as
 * there; also when no shard has two tokens. */
enum bt_err bt_sliding_open(const struct bt_cfg_source *sources, size_t count, size_t seq, size_t stride,
                            uint64_t vocab_size, struct bt_sliding **ret_sliding, struct bt_diag *diag);
void bt_sliding_close(struct bt_sliding *sliding); /* takes NULL */

size_t bt_sliding_rows(const struct bt_sliding *sliding);
/* Fills a row of the batch with window i of a struct bt_sliding: for struct bt_row_source. */
void bt_sliding_fill(const void *sliding, size_t i, size_t row_of_batch, struct bt_batch *batch);

#endif
