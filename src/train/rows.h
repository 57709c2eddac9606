/* train/rows.h - which tokens row r of a stage holds: a pure function of (seed, stage, r), docs/numerics.md section 3.
 *
 * A source is a list of shards; a plan cuts it into rows (plain windows, or documents packed best-fit decreasing); an
 * order mixes sources by weight and shuffles each epoch. Nothing here remembers what was drawn before, so the position
 * of a stage is one number. */
#ifndef BT_TRAIN_ROWS_H
#define BT_TRAIN_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "config/train_config.h"
#include "nn/batch.h"

struct bt_observer; /* train/run.h */

struct bt_rows_text {       /* what a source of text needs besides; all borrowed */
    const char *tokenizer;  /* folder of the model; NULL: text is refused */
    const char *output_dir; /* token caches lie in its .cache */
    int64_t before, after;  /* ids put around each document; -1: what the folder says, as bitnet-data tokenize does */
    const struct bt_observer *observer;
};

struct bt_rows_options {
    size_t seq;            /* T: tokens of a row */
    bool packing;          /* rows of whole documents; else plain windows */
    int64_t before, after; /* separators, -1: none */
    bool shuffle;
    uint64_t seed;
    const char *stage; /* "stage2": part of the key of the order; borrowed */
    uint64_t vocab_size;
    bool all_labels; /* label masks are not looked at: every token may be a label */
    struct bt_rows_text text;
};

struct bt_rows; /* all sources of `train`, or of `validation` */

/* Turns sources of text into shards (text/token_cache.h): of an equal one there are shards already. Opens every shard
 * of every source (globs expanded, files in name order) and its label mask where it has one (text/shard_mask.h), checks
 * every id, plans one epoch. A token that the mask leaves out is never a label. Errors (BT_EINPUT) name the source:
 * unreadable or malformed shard or mask, an id outside the vocabulary, no separator under packing, no row, no label;
 * BT_EUSAGE a file named like text whose format is shards. For validation sources, order is that of the config and of
 * the files, whatever shuffle says. */
enum bt_err bt_rows_open(const struct bt_cfg_source *sources, size_t count, const struct bt_rows_options *options,
                         struct bt_rows **ret_rows, struct bt_diag *diag);
/* Plain windows of options->seq tokens over the same sources in file order, whatever their weights, for calibration:
 * bt_rows_fill gives them in order, with every label whatever masks say. A source too short for a row is passed over;
 * BT_EINPUT when all are. */
enum bt_err bt_rows_open_calibration(const struct bt_cfg_source *sources, size_t count,
                                     const struct bt_rows_options *options, struct bt_rows **ret_rows,
                                     struct bt_diag *diag);
void bt_rows_close(struct bt_rows *rows); /* takes NULL */

size_t bt_rows_count(const struct bt_rows *rows);    /* rows of one epoch of all sources together */
uint64_t bt_rows_tokens(const struct bt_rows *rows); /* tokens of one epoch of all sources together, without padding */
size_t bt_rows_sources(const struct bt_rows *rows);  /* as many as the config has */
size_t bt_rows_memory(const struct bt_rows *rows);   /* bytes: the mapped files and the plan of an epoch */
/* Data files, texts, shards and masks, for the checkpoint's record of what was trained on. */
size_t bt_rows_files(const struct bt_rows *rows);
const char *bt_rows_file(const struct bt_rows *rows, size_t i);
/* Size and XXH3-64 of data file i, hashed on first use: of the bytes as they were mapped, so it has no way to fail yet.
 */
enum bt_err bt_rows_file_hash(struct bt_rows *rows, size_t i, uint64_t *ret_size, uint64_t *ret_hash,
                              struct bt_diag *diag);

/* Training order. Row r of the stage, r = k * batch_size + i. A cursor runs forward through r = 0, 1, 2, ...; seeking
 * replays the mixing, which is a pure function of r, from the start. */
struct bt_cursor;
enum bt_err bt_cursor_open(struct bt_rows *rows, uint64_t row, struct bt_cursor **ret_cursor, struct bt_diag *diag);
void bt_cursor_close(struct bt_cursor *cursor); /* takes NULL */
uint64_t bt_cursor_row(const struct bt_cursor *cursor);
/* Fills the whole batch (its rows and seq say how much; arrays are the caller's) with the next rows, sets its counts
 * and moves on. Allocates nothing. */
enum bt_err bt_cursor_fill(struct bt_cursor *cursor, struct bt_batch *batch, struct bt_diag *diag);
/* What row i ahead (0: the next one) will hold; bt_cursor_peek must have looked that far. */
struct bt_row_facts {
    size_t source;
    uint32_t tokens, labels; /* tokens without padding */
};
struct bt_row_facts bt_cursor_ahead(const struct bt_cursor *cursor, size_t i);
/* Tokens of one source that were drawn so far; rows that were only looked at count too. */
uint64_t bt_cursor_source_tokens(const struct bt_cursor *cursor, size_t source);
/* Moves on by n rows without filling them; returns their tokens. */
uint64_t bt_cursor_skip(struct bt_cursor *cursor, uint64_t n);
/* Counts the labels and tokens of the next `rows_ahead` rows without moving: the divisor of an update is known before
 * its first micro-batch. Allocates only when it looks farther ahead than ever before. */
enum bt_err bt_cursor_peek(struct bt_cursor *cursor, size_t rows_ahead, uint64_t *ret_labels, uint64_t *ret_tokens,
                           struct bt_diag *diag);

/* In plan order: row i of all sources one after the other (validation, calibration). Row i must exist. Adds to the
 * counts of the batch, which bt_batch_begin sets to zero. A token of padding, at the end of a packed row, is token 0
 * with label -100 and position 0, a document of its own, and counts nowhere. */
void bt_rows_fill(const struct bt_rows *rows, size_t i, size_t row_of_batch, struct bt_batch *batch);
/* Sets tokens and label_count to zero. */
void bt_batch_begin(struct bt_batch *batch);
#endif
