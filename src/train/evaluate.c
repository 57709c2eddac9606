#include "train/evaluate.h"

#include <math.h>

/* Fills the batch with rows from `next` on, as long as more tokens are wanted; returns the row after the last. */
static size_t fill_batch(const struct bt_row_source *rows, size_t next, uint64_t wanted, uint64_t have, size_t capacity,
                         struct bt_batch *batch)
{
    batch->rows = 0;
    bt_batch_begin(batch);
    while (batch->rows < capacity && next < rows->count && (!wanted || have + batch->tokens < wanted))
        rows->fill(rows->context, next++, batch->rows++, batch);
    return next;
}

void bt_evaluate_rows(struct bt_model *model, const struct bt_row_source *rows, int64_t eval_tokens,
                      struct bt_batch *batch, float lambda, struct bt_evaluation *evaluation)
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

static void fill_from_plan(const void *context, size_t i, size_t row_of_batch, struct bt_batch *batch)
{
    bt_rows_fill(context, i, row_of_batch, batch);
}

void bt_evaluate(struct bt_model *model, const struct bt_rows *rows, int64_t eval_tokens, struct bt_batch *batch,
                 float lambda, struct bt_evaluation *evaluation)
{
    const struct bt_row_source source = {.context = rows, .count = bt_rows_count(rows), .fill = fill_from_plan};
    bt_evaluate_rows(model, &source, eval_tokens, batch, lambda, evaluation);
}
