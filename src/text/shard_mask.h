/* text/shard_mask.h - the label mask of a shard, where it has one. */
#ifndef BT_TEXT_SHARD_MASK_H
#define BT_TEXT_SHARD_MASK_H

#include "base/err.h"
#include "io/mask.h"
#include "io/shard.h"

/* The .mask file beside the shard. *ret_mask stays zeroed where there is none and the shard's manifest
 * (text/manifest.h) names none. BT_EINPUT: one that is named is missing, or one that is there does not fit the shard:
 * training without it would train on what it leaves out. */
enum bt_err bt_shard_mask_open(const char *shard_path, const struct bt_shard *shard, struct bt_mask *ret_mask,
                               struct bt_diag *diag);

#endif
