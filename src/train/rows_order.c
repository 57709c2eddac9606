/* The order of a stage: the cursor of rows.h. Every source keeps an epoch and a place in it; which source comes next is
 * a pure function of what was drawn before, so a cursor that starts at row r replays the draws before it. */
#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "train/rows_source.h"

/* Where the drawing from one source stands. */
struct drawing {
    uint64_t tokens; /* drawn so far */
    uint64_t epoch;
    size_t next;           /* in the epoch: 0 .. row_count - 1 */
    uint32_t *permutation; /* (row_count) of this epoch, made when `next` passes 0; NULL without shuffling */
};

struct drawn {
    size_t source, plan_row;
};

struct bt_cursor {
    const struct bt_rows *rows;
    uint64_t row; /* handed out so far */
    struct drawing *drawings;
    uint64_t tokens;     /* drawn so far, of all sources */
    struct drawn *ahead; /* drawn but not handed out yet: places first .. first + count - 1 */
    size_t first, count, capacity;
};

/* How many tokens source i is behind its share of those drawn so far. */
static double deficit(const struct bt_cursor *cursor, size_t i)
{
    return cursor->rows->sources[i].share * (double)cursor->tokens - (double)cursor->drawings[i].tokens;
}

/* The source that is most behind its share of the tokens so far. Deficits are differences of large numbers: each of
 * them carries the rounding of its weight, of its share and of a product, some 2^-51 of all tokens together. What lies
 * closer than that is a tie (0.7 and 0.3 after 7 and 3 rows), and goes to the lowest index. */
static size_t most_behind(const struct bt_cursor *cursor)
{
    const struct bt_rows *rows = cursor->rows;
    const double noise = (double)cursor->tokens * 0x1p-48;
    double most = deficit(cursor, 0);
    for (size_t i = 1; i < rows->count; i++)
        most = fmax(most, deficit(cursor, i));
    size_t source = 0;
    while (deficit(cursor, source) < most - noise)
        source++;
    return source;
}

static void shuffle(const struct bt_rows *rows, size_t source, struct drawing *drawing)
{
    char purpose[128];
    snprintf(purpose, sizeof purpose, "order/%s/%zu/%" PRIu64, rows->stage, source, drawing->epoch);
    bt_rng_permutation(bt_rng_key(rows->seed, purpose), drawing->permutation, rows->sources[source].plan.row_count);
}

static struct drawn draw(struct bt_cursor *cursor)
{
    const size_t source = most_behind(cursor);
    const struct bt_plan *plan = &cursor->rows->sources[source].plan;
    struct drawing *drawing = &cursor->drawings[source];
    if (drawing->permutation && drawing->next == 0)
        shuffle(cursor->rows, source, drawing);
    const size_t row = drawing->permutation ? drawing->permutation[drawing->next] : drawing->next;
    drawing->tokens += plan->rows[row].tokens;
    cursor->tokens += plan->rows[row].tokens;
    if (++drawing->next == plan->row_count) {
        drawing->next = 0;
        drawing->epoch++;
    }
    return (struct drawn){.source = source, .plan_row = row};
}

static struct drawn next_row(struct bt_cursor *cursor)
{
    cursor->row++;
    if (cursor->count == 0)
        return draw(cursor);
    cursor->count--;
    return cursor->ahead[cursor->first++];
}

static const struct bt_plan_row *plan_row_of(const struct bt_cursor *cursor, const struct drawn *drawn)
{
    return &cursor->rows->sources[drawn->source].plan.rows[drawn->plan_row];
}

uint64_t bt_cursor_skip(struct bt_cursor *cursor, uint64_t n)
{
    uint64_t tokens = 0;
    for (uint64_t i = 0; i < n; i++) {
        const struct drawn drawn = next_row(cursor);
        tokens += plan_row_of(cursor, &drawn)->tokens;
    }
    return tokens;
}

static bool allocate_drawings(struct bt_cursor *cursor)
{
    const struct bt_rows *rows = cursor->rows;
    cursor->drawings = bt_zalloc(rows->count, sizeof *cursor->drawings);
    if (!cursor->drawings)
        return false;
    for (size_t i = 0; rows->shuffle && i < rows->count; i++) {
        cursor->drawings[i].permutation = bt_zalloc(rows->sources[i].plan.row_count, sizeof(uint32_t));
        if (!cursor->drawings[i].permutation)
            return false;
    }
    return true;
}

enum bt_err bt_cursor_open(struct bt_rows *rows, uint64_t row, struct bt_cursor **ret_cursor, struct bt_diag *diag)
{
    struct bt_cursor *cursor = bt_zalloc(1, sizeof *cursor);
    if (!cursor)
        return bt_fail_nomem(diag);
    cursor->rows = rows;
    if (!allocate_drawings(cursor)) {
        bt_cursor_close(cursor);
        return bt_fail_nomem(diag);
    }
    bt_cursor_skip(cursor, row);
    *ret_cursor = cursor;
    return BT_OK;
}

void bt_cursor_close(struct bt_cursor *cursor)
{
    if (!cursor)
        return;
    for (size_t i = 0; cursor->drawings && i < cursor->rows->count; i++)
        bt_free(cursor->drawings[i].permutation);
    bt_free(cursor->drawings);
    bt_free(cursor->ahead);
    bt_free(cursor);
}

uint64_t bt_cursor_row(const struct bt_cursor *cursor)
{
    return cursor->row;
}

enum bt_err bt_cursor_fill(struct bt_cursor *cursor, struct bt_batch *batch, struct bt_diag *diag)
{
    (void)diag;
    assert(batch->seq == cursor->rows->seq);
    bt_batch_begin(batch);
    for (size_t i = 0; i < batch->rows; i++) {
        const struct drawn drawn = next_row(cursor);
        bt_source_fill(&cursor->rows->sources[drawn.source], drawn.plan_row, i, batch);
    }
    return BT_OK;
}

/* Draws until n rows are ahead. */
static bool draw_ahead(struct bt_cursor *cursor, size_t n)
{
    if (n > cursor->capacity) {
        struct drawn *ahead = bt_realloc(cursor->ahead, n, sizeof *ahead);
        if (!ahead)
            return false;
        cursor->ahead = ahead;
        cursor->capacity = n;
    }
    if (cursor->first)
        memmove(cursor->ahead, cursor->ahead + cursor->first, cursor->count * sizeof *cursor->ahead);
    cursor->first = 0;
    while (cursor->count < n)
        cursor->ahead[cursor->count++] = draw(cursor);
    return true;
}

enum bt_err bt_cursor_peek(struct bt_cursor *cursor, size_t rows_ahead, uint64_t *ret_labels, uint64_t *ret_tokens,
                           struct bt_diag *diag)
{
    uint64_t labels = 0, tokens = 0;
    if (!draw_ahead(cursor, rows_ahead))
        return bt_fail_nomem(diag);
    for (size_t i = 0; i < rows_ahead; i++) {
        const struct bt_plan_row *row = plan_row_of(cursor, &cursor->ahead[i]);
        labels += row->labels;
        tokens += row->tokens;
    }
    *ret_labels = labels;
    *ret_tokens = tokens;
    return BT_OK;
}

struct bt_row_facts bt_cursor_ahead(const struct bt_cursor *cursor, size_t i)
{
    assert(i < cursor->count);
    const struct drawn *drawn = &cursor->ahead[cursor->first + i];
    const struct bt_plan_row *row = plan_row_of(cursor, drawn);
    return (struct bt_row_facts){.source = drawn->source, .tokens = row->tokens, .labels = row->labels};
}

uint64_t bt_cursor_source_tokens(const struct bt_cursor *cursor, size_t source)
{
    return cursor->drawings[source].tokens;
}
