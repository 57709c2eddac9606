/* train/checksums.h - the files of an exported folder besides its weights, which carry their own checksum:
 * bitnet_checksums.json holds the XXH3-64 of each. It is no part of the model: who edits one of the files on purpose
 * deletes its line there, or the whole list. */
#ifndef BT_TRAIN_CHECKSUMS_H
#define BT_TRAIN_CHECKSUMS_H

#include "base/err.h"

#define BT_CHECKSUMS_FILE "bitnet_checksums.json"

/* Of all files that the folder holds now. */
enum bt_err bt_checksums_write(const char *folder, struct bt_diag *diag);
/* A folder without the list is fine. BT_EINPUT naming the file that is not the one of the list. */
enum bt_err bt_checksums_check(const char *folder, struct bt_diag *diag);

#endif
