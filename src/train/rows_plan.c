#include "train/rows_plan.h"

#include <stdbool.h>

#include "base/mem.h"
#include "train/best_fit.h"

#define SCAN_TOKENS 4096 /* read at a time while looking for separators */

/* Pieces in the order of the source, as they are found. */
struct pieces {
    struct bt_piece *list;
    size_t count, capacity;
};

static enum bt_err add_piece(struct pieces *pieces, struct bt_piece piece, struct bt_diag *diag)
{
    if (pieces->count == UINT32_MAX - 1)
        return bt_fail(diag, BT_EINPUT, "a data source has more than %zu documents or windows; split it",
                       pieces->count);
    if (pieces->count == pieces->capacity) {
        const size_t capacity = pieces->capacity ? pieces->capacity * 2 : 256;
        struct bt_piece *list = bt_realloc(pieces->list, capacity, sizeof *list);
        if (!list)
            return bt_fail_nomem(diag);
        pieces->list = list;
        pieces->capacity = capacity;
    }
    pieces->list[pieces->count++] = piece;
    return BT_OK;
}

/* Cuts the tokens start .. end of a shard, one document, into pieces. */
static enum bt_err add_document(struct pieces *pieces, size_t shard, size_t start, size_t end, bool last_label,
                                size_t seq, struct bt_diag *diag)
{
    enum bt_err err = BT_OK;
    while (start < end && !err) {
        const size_t length = end - start < seq ? end - start : seq;
        const bool inside = start + length < end;
        err = add_piece(pieces,
                        (struct bt_piece){.offset = start,
                                          .length = (uint32_t)length,
                                          .shard = (uint32_t)shard,
                                          .last_label = inside || last_label},
                        diag);
        start += length;
    }
    return err;
}

struct separators {
    int64_t before, after;
    uint64_t seen;
};

static enum bt_err add_documents(struct pieces *pieces, const struct bt_shard *shard, size_t index, size_t seq,
                                 struct separators *separators, struct bt_diag *diag)
{
    enum bt_err err = BT_OK;
    int32_t tokens[SCAN_TOKENS];
    size_t start = 0; /* of the document we are in */
    bool ended = false;
    for (size_t at = 0; at < shard->count && !err; at++) {
        if (at % SCAN_TOKENS == 0)
            bt_shard_read(shard, at, shard->count - at < SCAN_TOKENS ? shard->count - at : SCAN_TOKENS, tokens);
        const bool begins = tokens[at % SCAN_TOKENS] == separators->before;
        if (begins || ended) {
            err = add_document(pieces, index, start, at, begins, seq, diag);
            start = at;
        }
        ended = tokens[at % SCAN_TOKENS] == separators->after;
        separators->seen += begins || ended;
    }
    return err ? err : add_document(pieces, index, start, shard->count, false, seq, diag);
}

/* The same where a mask knows the documents. */
static enum bt_err add_masked_documents(struct pieces *pieces, const struct bt_mask *mask, size_t index, size_t seq,
                                        struct separators *separators, struct bt_diag *diag)
{
    enum bt_err err = BT_OK;
    size_t start = 0;
    for (size_t at = 0; at < mask->count && !err; at++) {
        if (!bt_mask_begins(mask, at))
            continue;
        err = add_document(pieces, index, start, at, false, seq, diag);
        separators->seen++;
        start = at;
    }
    return err ? err : add_document(pieces, index, start, mask->count, false, seq, diag);
}

/* Stable, longest first. */
static void sort_by_length(struct bt_piece *sorted, const struct pieces *pieces, size_t *start, size_t seq)
{
    for (size_t i = 0; i < pieces->count; i++)
        start[pieces->list[i].length]++;
    size_t before = 0;
    for (size_t length = seq; length > 0; length--) {
        const size_t n = start[length];
        start[length] = before;
        before += n;
    }
    for (size_t i = 0; i < pieces->count; i++)
        sorted[start[pieces->list[i].length]++] = pieces->list[i];
}

static uint32_t piece_labels(const struct bt_plan_source *source, const struct bt_piece *piece)
{
    const struct bt_mask *mask = &source->masks[piece->shard];
    const uint32_t predicted = piece->length - 1 + piece->last_label;
    return bt_mask_exists(mask) ? (uint32_t)bt_mask_labels(mask, (size_t)piece->offset + 1, predicted) : predicted;
}

/* Counts what the rows hold once their pieces stand in place. */
static void count_rows(struct bt_plan *plan, const struct bt_plan_source *source)
{
    for (size_t r = 0; r < plan->row_count; r++) {
        struct bt_plan_row *row = &plan->rows[r];
        for (size_t p = row->first; p < row[1].first; p++) {
            row->tokens += plan->pieces[p].length;
            row->labels += piece_labels(source, &plan->pieces[p]);
        }
        plan->tokens += row->tokens;
    }
}

/* Puts the pieces (n), stably, in the order of the rows they belong to. */
static bool gather_rows(struct bt_plan *plan, const struct bt_plan_source *source, const struct bt_piece *pieces,
                        const uint32_t *row_of, size_t n)
{
    plan->rows = bt_zalloc(plan->row_count + 1, sizeof *plan->rows);
    plan->pieces = bt_zalloc(n, sizeof *plan->pieces);
    if (!plan->rows || !plan->pieces)
        return false;
    for (size_t i = 0; i < n; i++)
        plan->rows[row_of[i]].first++;
    size_t end = 0; /* from counts to ends: filling from the back then leaves the beginnings */
    for (size_t r = 0; r <= plan->row_count; r++)
        plan->rows[r].first = end += plan->rows[r].first;
    for (size_t i = n; i > 0; i--)
        plan->pieces[--plan->rows[row_of[i - 1]].first] = pieces[i - 1];
    count_rows(plan, source);
    return true;
}

static enum bt_err pack(const struct pieces *pieces, const struct bt_plan_source *source, size_t seq,
                        struct bt_plan *plan, struct bt_diag *diag)
{
    enum bt_err err = BT_ENOMEM;
    const size_t n = pieces->count;
    struct bt_piece *sorted = bt_zalloc(n, sizeof *sorted);
    size_t *start = bt_zalloc(seq + 1, sizeof *start);
    uint32_t *lengths = bt_zalloc(n, sizeof *lengths);
    uint32_t *row_of = bt_zalloc(n, sizeof *row_of);
    if (!sorted || !start || !lengths || !row_of)
        goto done;
    sort_by_length(sorted, pieces, start, seq);
    for (size_t i = 0; i < n; i++)
        lengths[i] = sorted[i].length;
    if ((err = bt_best_fit(lengths, n, seq, row_of, &plan->row_count, diag)))
        goto done;
    if (!gather_rows(plan, source, sorted, row_of, n))
        err = BT_ENOMEM;
done:
    bt_free(sorted);
    bt_free(start);
    bt_free(lengths);
    bt_free(row_of);
    return err == BT_ENOMEM ? bt_fail_nomem(diag) : err;
}

enum bt_err bt_plan_packed(const struct bt_plan_source *source, size_t seq, int64_t before, int64_t after,
                           struct bt_plan *ret_plan, uint64_t *ret_separators, struct bt_diag *diag)
{
    enum bt_err err = BT_OK;
    struct pieces pieces = {0};
    struct bt_plan plan = {0};
    struct separators separators = {.before = before, .after = after == before ? -1 : after};
    for (size_t s = 0; s < source->count && !err; s++)
        err = bt_mask_exists(&source->masks[s])
                  ? add_masked_documents(&pieces, &source->masks[s], s, seq, &separators, diag)
                  : add_documents(&pieces, &source->shards[s], s, seq, &separators, diag);
    if (!err)
        err = pack(&pieces, source, seq, &plan, diag);
    bt_free(pieces.list);
    if (err) {
        bt_plan_finish(&plan);
        return err;
    }
    *ret_plan = plan;
    *ret_separators = separators.seen;
    return BT_OK;
}

static size_t window_count(const struct bt_shard *shard, size_t seq)
{
    return shard->count ? (shard->count - 1) / seq : 0;
}

enum bt_err bt_plan_windows(const struct bt_plan_source *source, size_t seq, struct bt_plan *ret_plan,
                            struct bt_diag *diag)
{
    enum bt_err err = BT_OK;
    struct pieces pieces = {0};
    struct bt_plan plan = {0};
    for (size_t s = 0; s < source->count && !err;
         s++) /* all windows of a shard are one document whose next token is known */
        err = add_document(&pieces, s, 0, window_count(&source->shards[s], seq) * seq, true, seq, diag);
    if (err)
        goto fail;
    plan.pieces = pieces.list;
    plan.row_count = pieces.count;
    plan.rows = bt_zalloc(plan.row_count + 1, sizeof *plan.rows);
    if (!plan.rows) {
        err = bt_fail_nomem(diag);
        goto fail;
    }
    for (size_t r = 0; r <= plan.row_count; r++)
        plan.rows[r].first = r;
    count_rows(&plan, source);
    *ret_plan = plan;
    return BT_OK;
fail:
    bt_free(pieces.list);
    return err;
}

void bt_plan_finish(struct bt_plan *plan)
{
    bt_free(plan->pieces);
    bt_free(plan->rows);
    *plan = (struct bt_plan){0};
}
