/* train/evaluate.h - validation loss: the mean over the labels of the first rows, in order, unshuffled. */
#ifndef BT_TRAIN_EVALUATE_H
#define BT_TRAIN_EVALUATE_H

#include <stddef.h>
#include <stdint.h>

#include "nn/model.h"
#include "train/rows.h"

/* Rows of some kind: how many there are, and row i into a row of a batch, whose counts grow. */
struct bt_row_source {
    const void *context;
    size_t count;
    void (*fill)(const void *context, size_t i, size_t row_of_batch, struct bt_batch *batch);
};

struct bt_evaluation {
    double loss; /* nats a label; NaN without a label */
    double perplexity;
    uint64_t tokens, labels;
};

/* Rows are taken until they hold eval_tokens tokens (0: all rows). batch is scratch of the model's size; its rows are
 * restored. */
void bt_evaluate(struct bt_model *model, const struct bt_rows *rows, int64_t eval_tokens, struct bt_batch *batch,
                 float lambda, struct bt_evaluation *evaluation);

/* The same for rows of any kind. */
void bt_evaluate_rows(struct bt_model *model, const struct bt_row_source *rows, int64_t eval_tokens,
                      struct bt_batch *batch, float lambda, struct bt_evaluation *evaluation);

#endif
