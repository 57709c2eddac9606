/* train/rows_source.h - what stands behind struct bt_rows: shared by rows.c (files, plans, filling) and rows_order.c
 * (which row comes next). */
#ifndef BT_TRAIN_ROWS_SOURCE_H
#define BT_TRAIN_ROWS_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "io/mask.h"
#include "io/shard.h"
#include "text/token_cache.h"
#include "train/rows.h"
#include "train/rows_plan.h"

struct bt_source {
    char **paths; /* (count) in name order */
    struct bt_shard *shards;
    struct bt_mask *masks; /* (count) of each shard; zeroed where every token may be a label */
    size_t count;
    char **texts;                            /* (text_count) files that the shards were made of, in name order */
    struct bt_token_cache_input *text_files; /* (text_count) */
    size_t text_count;
    int64_t before, after; /* separators, -1: none */
    struct bt_plan plan;
    double share; /* of the tokens; those of all sources sum to 1 */
};

struct bt_rows_input {
    char *path;
    const struct bt_map *map; /* of the source; NULL for a text */
    uint64_t size, hash;
    bool hashed;
};

struct bt_rows {
    struct bt_source *sources;
    size_t count;
    size_t seq;
    bool shuffle;
    uint64_t seed;
    const char *stage;           /* borrowed */
    struct bt_rows_input *files; /* (file_count) of all sources: the texts, then each shard with its mask */
    size_t file_count;
};

/* Writes row `plan_row` of the source to row `row_of_batch` of the batch and adds to its counts. */
void bt_source_fill(const struct bt_source *source, size_t plan_row, size_t row_of_batch, struct bt_batch *batch);

#endif
