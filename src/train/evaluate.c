#include "train/evaluate.h"

#include <math.h>

/* Fills the batch with rows from `next` on, as long as more tokens are wanted; returns the row after the last. */
static size_t fill_batch(const struct bt_rows *rows, size_t next, uint64_t wanted, uint64_t have, size_t capacity,
                         struct bt_batch *batch)
{
    const size_t count = bt_rows_count(rows);
    batch->rows = 0;
    bt_batch_begin(batch);
    while (batch->rows < capacity && next < count && (!wanted || have + batch->tokens < wanted))
        bt_rows_fill(rows, next++, batch->rows++, batch);
    return next;
}

void bt_evaluate(struct bt_model *model, const struct bt_rows *rows, int64_t eval_tokens, struct bt_batch *batch,
                 float lambda, struct bt_evaluation *evaluation)
{
    const size_t capacity = batch->rows;
    double sum = 0.0;
    size_t next = 0;
    *evaluation = (struct bt_evaluation){0};
    for (;;) {
        next = fill_batch(rows, next, (uint64_t)eval_tokens, evaluation->tokens, capacity, batch);
        if (!batch->rows)
            break;
        sum += bt_model_loss(model, batch, lambda);
        evaluation->tokens += batch->tokens;
        evaluation->labels += batch->label_count;
    }
    batch->rows = capacity;
    evaluation->loss = evaluation->labels ? sum / (double)evaluation->labels : NAN;
    evaluation->perplexity = exp(evaluation->loss);
}
