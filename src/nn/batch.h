/* nn/batch.h - a micro-batch as the model sees it. */
#ifndef BT_NN_BATCH_H
#define BT_NN_BATCH_H

#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"

struct bt_batch {
    size_t rows, seq;  /* n = rows * seq */
    int32_t *ids;      /* (n) */
    int32_t *labels;   /* (n) already shifted; BT_IGNORE_LABEL where there is nothing to predict */
    int32_t *position; /* (n) RoPE position: 0 at the first token of each document (or piece) */
    int32_t *first;    /* (n) index within the row of the first token of the same document: what attention may see */
    int32_t *used;     /* (rows) tokens in front of a row's padding; NULL: no row has any */
    size_t tokens;     /* without padding */
    size_t label_count;
};

/* A batch of rows x seq with its arrays in the arena. */
void bt_batch_carve(struct bt_batch *batch, struct bt_arena *arena, size_t rows, size_t seq);

#endif
