/* train/lessons.h - a stage's teacher at work: what it says of each micro-batch, live or out of its cache, and what
 * each term of the loss weighs in each update. */
#ifndef BT_TRAIN_LESSONS_H
#define BT_TRAIN_LESSONS_H

#include "train/checkpoint.h"
#include "train/teaching.h"

struct bt_lessons;

/* Bytes that it reserves for micro-batches of rows * seq tokens, the teacher's weights not counted; 0 when they
 * overflow. */
size_t bt_lessons_memory(const struct bt_teaching *teaching, size_t rows, size_t seq);
/* teaching and compute are borrowed. BT_ENOMEM. */
enum bt_err bt_lessons_create(const struct bt_teaching *teaching, size_t rows, size_t seq,
                              const struct bt_compute *compute, struct bt_lessons **ret_lessons, struct bt_diag *diag);
void bt_lessons_destroy(struct bt_lessons *lessons); /* takes NULL */
/* Once it is settled what computes: opens the cache, which is one for each way to compute. */
enum bt_err bt_lessons_begin(struct bt_lessons *lessons, struct bt_diag *diag);

/* Update s of n begins; it has so many labels and tokens in all. */
void bt_lessons_update(struct bt_lessons *lessons, const struct bt_train_state *state, int64_t s, int64_t n,
                       uint64_t labels, uint64_t tokens);
/* What is taught of a micro-batch; valid until the next one. */
enum bt_err bt_lessons_teach(struct bt_lessons *lessons, const struct bt_batch *batch,
                             const struct bt_lesson **ret_lesson, struct bt_diag *diag);

struct bt_term_report { /* of one update */
    bool given;
    double raw, weighted;
    double share; /* of the sum of all |weighted|; NaN when that is 0 */
};
/* From the terms' sums over the whole update: fills the report, sets balances that are due in the state, and returns
 * the loss, the sum of what is weighted. */
double bt_lessons_report(const struct bt_lessons *lessons, const double sums[BT_TERM_COUNT],
                         struct bt_train_state *state, struct bt_term_report report[BT_TERM_COUNT]);

#endif
