/* train/shard_manifest.h - are shards what their manifests say, and of the model's tokenizer? */
#ifndef BT_TRAIN_SHARD_MANIFEST_H
#define BT_TRAIN_SHARD_MANIFEST_H

#include "base/err.h"
#include "train/rows.h"

/* Bytes that were damaged are ids like others, and ids of another tokenizer train without a complaint, and to nothing:
 * so where a shard has a manifest that lists it (text/manifest.h), the shard's hash must be the one that stands there,
 * and so must that of model_folder's tokenizer.json, where it has one. BT_EINPUT names what differs. rows and
 * model_folder may be NULL: nothing to compare. */
enum bt_err bt_check_shard_manifests(struct bt_rows *rows, const char *model_folder, struct bt_diag *diag);
/* The tokenizer alone, of all shards that a pattern names (bt_glob). */
enum bt_err bt_check_shard_tokenizer(const char *pattern, const char *model_folder, struct bt_diag *diag);

#endif
