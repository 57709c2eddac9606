#include "text/shard_mask.h"

#include "base/mem.h"
#include "text/manifest.h"

enum bt_err bt_shard_mask_open(const char *shard_path, const struct bt_shard *shard, struct bt_mask *ret_mask,
                               struct bt_diag *diag)
{
    struct bt_shard_origin origin;
    char *path = bt_mask_path(shard_path);
    enum bt_err err = path ? bt_manifest_find(shard_path, &origin, diag) : bt_fail_nomem(diag);
    if (!err && bt_file_exists(path))
        err = bt_mask_open(path, shard, shard_path, ret_mask, diag);
    else if (!err && origin.masked)
        err = bt_fail(diag, BT_EINPUT, "%s: the file is missing; the manifest names it as the label mask of %s", path,
                      shard_path);
    bt_free(path);
    return err;
}
