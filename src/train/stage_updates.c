#include "train/stages.h"

/* Does a stage of this many updates see at least `wanted` tokens? */
static enum bt_err reaches(struct bt_cursor *start, uint64_t rows_an_update, int64_t updates, uint64_t wanted,
                           bool *ret_reaches, struct bt_diag *diag)
{
    uint64_t labels, tokens;
    enum bt_err err = bt_cursor_peek(start, (size_t)(rows_an_update * (uint64_t)updates), &labels, &tokens, diag);
    if (!err)
        *ret_reaches = tokens >= wanted;
    return err;
}

/* Rows hold different numbers of tokens under packing, so the count is found by looking: double, then halve. */
static enum bt_err updates_of_tokens(struct bt_cursor *start, uint64_t rows_an_update, uint64_t wanted,
                                     int64_t *ret_updates, struct bt_diag *diag)
{
    int64_t low = 0, high = 1; /* low updates do not reach, high ones do */
    bool enough = false;
    enum bt_err err = reaches(start, rows_an_update, high, wanted, &enough, diag);
    while (!err && !enough) {
        low = high;
        high *= 2;
        err = reaches(start, rows_an_update, high, wanted, &enough, diag);
    }
    while (!err && high - low > 1) {
        const int64_t middle = low + (high - low) / 2;
        err = reaches(start, rows_an_update, middle, wanted, &enough, diag);
        *(enough ? &high : &low) = middle;
    }
    if (!err)
        *ret_updates = high;
    return err;
}

enum bt_err bt_stage_updates(const struct bt_cfg_train_stage *stage, struct bt_rows *rows, int64_t *ret_updates,
                             struct bt_diag *diag)
{
    struct bt_cursor *start = NULL;
    if (stage->max_steps > 0) {
        *ret_updates = stage->max_steps;
        return BT_OK;
    }
    enum bt_err err = bt_cursor_open(rows, 0, &start, diag);
    if (!err)
        err = updates_of_tokens(start, (uint64_t)(stage->batch_size * stage->gradient_accumulation_steps),
                                (uint64_t)stage->total_tokens, ret_updates, diag);
    bt_cursor_close(start);
    return err;
}
