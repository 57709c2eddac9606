/* train/checkpoint_list.h - the names in a folder of checkpoints. Private to the checkpoint files of this folder.
 *
 *   step-00000200        a checkpoint; it got this name when it was whole and synced
 *   .tmp-step-00000200   being written, or being removed: never read
 *   .old-step-00000200   moved aside while a new one takes its place: counts as the checkpoint of its step until
 *                        step-00000200 stands again, so a kill between the two renames loses nothing */
#ifndef BT_TRAIN_CHECKPOINT_LIST_H
#define BT_TRAIN_CHECKPOINT_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct bt_checkpoint_entry {
    int64_t step;
    char *path;      /* owned */
    bool aside;      /* an .old- one */
    bool superseded; /* aside, and the one that takes its place stands */
};

struct bt_checkpoint_list { /* newest step first; of one step the one in place first */
    struct bt_checkpoint_entry *entries;
    size_t count;
};

/* A folder that is absent has none. */
enum bt_err bt_checkpoint_list_read(const char *folder, struct bt_checkpoint_list *ret_list, struct bt_diag *diag);
void bt_checkpoint_list_finish(struct bt_checkpoint_list *list); /* takes a zeroed one */

struct bt_checkpoint_paths { /* of one step, owned */
    char *place, *beside, *aside;
};
enum bt_err bt_checkpoint_paths_init(struct bt_checkpoint_paths *paths, const char *folder, int64_t step,
                                     struct bt_diag *diag);
void bt_checkpoint_paths_finish(struct bt_checkpoint_paths *paths); /* takes a zeroed one */

/* Removes the .tmp- folders. */
enum bt_err bt_checkpoint_clean(const char *folder, struct bt_diag *diag);
/* Removes one checkpoint in such a way that a kill never leaves half of it under a name that is read. */
enum bt_err bt_checkpoint_remove(const char *folder, const struct bt_checkpoint_entry *entry, struct bt_diag *diag);

#endif
