/* train/rows_plan.h - one epoch of one source, cut into rows. A plan is a function of the tokens of the shards, their
 * label masks and the length of a row alone; it holds places, no tokens. */
#ifndef BT_TRAIN_ROWS_PLAN_H
#define BT_TRAIN_ROWS_PLAN_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "io/mask.h"
#include "io/shard.h"

struct bt_piece {    /* of a document, or a whole plain window */
    uint64_t offset; /* of its first token in the shard */
    uint32_t length; /* tokens, 1 .. seq */
    uint32_t shard : 31;
    uint32_t last_label : 1; /* the token after it is the label of its last token */
};

struct bt_plan_row {
    size_t first; /* index of its first piece; the next row's `first` is where it ends */
    uint32_t tokens, labels;
};

struct bt_plan {
    struct bt_piece *pieces;  /* row by row */
    struct bt_plan_row *rows; /* (row_count + 1), the last one says where the pieces end */
    size_t row_count;
    uint64_t tokens; /* of all rows, without padding */
};

/* The shards of a source. A mask that exists says which tokens are labels, and where documents begin. */
struct bt_plan_source {
    const struct bt_shard *shards; /* (count) */
    const struct bt_mask *masks;   /* (count) */
    size_t count;
};

/* Plain windows: each shard of n tokens gives floor((n - 1) / seq) rows of seq tokens, in file order. */
enum bt_err bt_plan_windows(const struct bt_plan_source *source, size_t seq, struct bt_plan *ret_plan,
                            struct bt_diag *diag);

/* Packing (docs/numerics.md section 3). A `before` id begins a document, an `after` id ends one, and so does the end of
 * a shard; -1 is no id. One id for both would make documents of its own: it is taken as `before`. Pieces of at most seq
 * tokens are placed best-fit decreasing, ties by position; rows stand in the order in which they were opened, pieces in
 * the order in which they were placed. In a shard with a mask the ids say nothing: documents begin where the mask says
 * so, and the last token of one predicts nothing. ret_separators: how many separators occurred, or beginnings. */
enum bt_err bt_plan_packed(const struct bt_plan_source *source, size_t seq, int64_t before, int64_t after,
                           struct bt_plan *ret_plan, uint64_t *ret_separators, struct bt_diag *diag);

void bt_plan_finish(struct bt_plan *plan); /* takes a zeroed one */

#endif
