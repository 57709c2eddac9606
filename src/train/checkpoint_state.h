/* train/checkpoint_state.h - state.json, the file of a checkpoint that says what the others must be.
 *
 *   {
 *     "format": "bitnet-train checkpoint 1",
 *     "state": {"step": 200, "row": "1600", "best_loss": null, ...}      every field of bt_train_state, under its name
 *     "data":  [{"path", "size", "xxh3_64"}, ...]                        what the stage reads
 *     "files": [{"path", "size", "xxh3_64"}, ...]                        the other files of the folder
 *     "checksum": "0123456789abcdef"
 *   }
 *
 * Counters of 64 bits without a sign are decimal strings, since a JSON integer ends at 2^63; a double that is not
 * finite is null and reads back as NaN; bytes of a path that are not plain ASCII are %XX. The checksum is the XXH3-64
 * of all bytes before the line it stands on, and what follows those bytes has one spelling only: so any byte of
 * state.json that changes is noticed, as in the files that it lists. */
#ifndef BT_TRAIN_CHECKPOINT_STATE_H
#define BT_TRAIN_CHECKPOINT_STATE_H

#include <stddef.h>

#include "base/err.h"
#include "train/checkpoint.h"

#define BT_CHECKPOINT_STATE_FILE "state.json"

struct bt_checkpoint_state { /* what state.json holds; lists and their paths are owned */
    struct bt_train_state state;
    struct bt_data_file *data;
    size_t data_count;
    struct bt_data_file *files; /* paths are plain names inside the folder */
    size_t file_count;
};

/* Writes folder/state.json, synced. */
enum bt_err bt_checkpoint_state_write(const char *folder, const struct bt_checkpoint_state *content,
                                      struct bt_diag *diag);
/* Reads it back; finish it with bt_checkpoint_state_finish. The files it lists are not looked at. BT_EINPUT naming the
 * file: missing, a checksum that does not fit, a missing or misshapen key. */
enum bt_err bt_checkpoint_state_read(const char *folder, struct bt_checkpoint_state *ret_content, struct bt_diag *diag);
void bt_checkpoint_state_finish(struct bt_checkpoint_state *content); /* takes a zeroed one */

#endif
