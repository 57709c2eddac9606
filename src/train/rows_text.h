/* train/rows_text.h - a source of text or jsonl: its files become token shards, which are opened like any others. */
#ifndef BT_TRAIN_ROWS_TEXT_H
#define BT_TRAIN_ROWS_TEXT_H

#include <stdbool.h>

#include "train/rows_source.h"

bool bt_source_is_text(const struct bt_cfg_source *config);
/* Fills the source's paths with those of the shards, its texts, and a separator that it has none of. Files of the same
 * content, tokenizer and options are tokenized once and kept (text/token_cache.h). */
enum bt_err bt_source_tokenize(struct bt_source *source, const struct bt_cfg_source *config,
                               const struct bt_rows_options *options, struct bt_diag *diag);
/* BT_EUSAGE when a file that is to be a shard is named like text: nothing is guessed, but the mistake is plain. */
enum bt_err bt_source_check_name(const char *path, const struct bt_cfg_source *config, struct bt_diag *diag);

#endif
