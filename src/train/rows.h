/* train/rows.h - which tokens row r of a stage holds: a pure function of (seed, stage, r), semantics section 3.
 *
 * A source is a list of shards; a plan cuts it into rows (plain windows, or documents packed best-fit decreasing); an order
 * mixes sources by weight and shuffles each epoch. Nothing here remembers what was drawn before, so the position of a
 * stage is one number. */
#ifndef BT_TRAIN_ROWS_H
#define BT_TRAIN_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "config/train_config.h"
#include "nn/batch.h"

struct bt_rows_options {
    size_t seq;         /* T: tokens of a row */
    bool packing;       /* rows of whole documents; else plain windows */
    int64_t before, after; /* separators, -1: none */
    bool shuffle;
    uint64_t seed;
    const char *stage;  /* "stage2": part of the key of the order; borrowed */
    uint64_t vocab_size;
};

struct bt_rows; /* all sources of `train`, or of `validation` */

/* Opens every shard of every source (globs expanded, files in name order), checks every id, plans one epoch. Errors
 * (BT_EINPUT) name the source: unreadable or malformed shard, an id outside the vocabulary, no separator under packing, no
 * row. For validation sources, order is that of the config and of the files, whatever shuffle says. */
enum bt_err bt_rows_open(const struct bt_cfg_source *sources, size_t count, const struct bt_rows_options *options,
                         struct bt_rows **ret_rows, struct bt_diag *diag);
void bt_rows_close(struct bt_rows *rows); /* takes NULL */

size_t bt_rows_count(const struct bt_rows *rows);   /* rows of one epoch of all sources together */
uint64_t bt_rows_tokens(const struct bt_rows *rows); /* tokens of one epoch of all sources together, without padding */
size_t bt_rows_files(const struct bt_rows *rows);   /* data files, for the checkpoint's record of what was trained on */
const char *bt_rows_file(const struct bt_rows *rows, size_t i);
/* Size and XXH3-64 of data file i, hashed on first use. */
enum bt_err bt_rows_file_hash(struct bt_rows *rows, size_t i, uint64_t *ret_size, uint64_t *ret_hash,
                              struct bt_diag *diag);

/* Training order. Row r of the stage, r = k * batch_size + i. A cursor runs forward through r = 0, 1, 2, ...; seeking
 * replays the mixing, which is a pure function of r, from the start. */
struct bt_cursor;
enum bt_err bt_cursor_open(struct bt_rows *rows, uint64_t row, struct bt_cursor **ret_cursor, struct bt_diag *diag);
void bt_cursor_close(struct bt_cursor *cursor); /* takes NULL */
uint64_t bt_cursor_row(const struct bt_cursor *cursor);
/* Fills the batch (its rows and seq say how much; arrays are the caller's) with the next rows and moves on; allocates only
 * when an epoch ends. */
enum bt_err bt_cursor_fill(struct bt_cursor *cursor, struct bt_batch *batch, struct bt_diag *diag);
/* Counts the labels and tokens of the next `rows_ahead` rows without moving: the divisor of an update is known before its
 * first micro-batch. */
enum bt_err bt_cursor_peek(struct bt_cursor *cursor, size_t rows_ahead, uint64_t *ret_labels, uint64_t *ret_tokens,
                           struct bt_diag *diag);

/* In plan order: row i of all sources one after the other (validation, calibration). Row i must exist. */
void bt_rows_fill(const struct bt_rows *rows, size_t i, size_t row_of_batch, struct bt_batch *batch);
/* Makes the rest of a batch pure padding: token 0, label -100, documents of their own. */
void bt_batch_pad(struct bt_batch *batch, size_t from_row);
/* Sets tokens and label_count to zero; bt_rows_fill and bt_cursor_fill add to what is there only through this start. */
void bt_batch_begin(struct bt_batch *batch);

/* Plain windows over all train sources in file order, for calibration: how many rows of `seq` tokens there are; labels as
 * usual. */
#endif
