/* export/place.h - a file or folder that gets its name when it is whole: written as ".tmp-NAME" beside it, renamed at
 * the end. A folder that is replaced stands as ".old-NAME" between the two renames; the next call after a kill there
 * puts it back. */
#ifndef BT_EXPORT_PLACE_H
#define BT_EXPORT_PLACE_H

#include <stdbool.h>

#include "base/err.h"

struct bt_place {
    char *final, *beside, *aside; /* owned */
};

/* Checks and clears the way. BT_EUSAGE naming the path when something stands at `path` and overwrite is false; when it
 * is, or holds, the folder `source` that is read; or when it is a folder that no export made: one without config.json,
 * or with folders in it. */
enum bt_err bt_place_begin(struct bt_place *place, const char *path, const char *source, bool overwrite,
                           struct bt_diag *diag);
/* What stands at place->beside, synced, gets its name. */
enum bt_err bt_place_finish(struct bt_place *place, struct bt_diag *diag);
/* Removes what was written if it has not got its name, and frees. Takes a zeroed one. */
void bt_place_end(struct bt_place *place);

#endif
