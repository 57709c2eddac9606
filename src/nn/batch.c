#include "nn/batch.h"

void bt_batch_carve(struct bt_batch *batch, struct bt_arena *arena, size_t rows, size_t seq)
{
    *batch = (struct bt_batch){.rows = rows, .seq = seq};
    batch->ids = bt_arena_take(arena, rows, seq * sizeof *batch->ids);
    batch->labels = bt_arena_take(arena, rows, seq * sizeof *batch->labels);
    batch->position = bt_arena_take(arena, rows, seq * sizeof *batch->position);
    batch->first = bt_arena_take(arena, rows, seq * sizeof *batch->first);
    batch->used = bt_arena_take(arena, rows, sizeof *batch->used);
}
