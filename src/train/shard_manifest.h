/* train/shard_manifest.h - are shards and model of one tokenizer? */
#ifndef BT_TRAIN_SHARD_MANIFEST_H
#define BT_TRAIN_SHARD_MANIFEST_H

#include "base/err.h"
#include "train/rows.h"

/* Ids of another tokenizer train without a complaint, and to nothing: so where a shard has a manifest that lists it
 * (text/manifest.h) and model_folder has a tokenizer.json, the manifest's hash must be that of the file. BT_EINPUT
 * names both. rows and model_folder may be NULL: nothing to compare. */
enum bt_err bt_check_shard_tokenizer(const struct bt_rows *rows, const char *model_folder, struct bt_diag *diag);

#endif
