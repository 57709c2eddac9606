#include "train/rows.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include "base/mem.h"
#include "kernels/kernels.h"
#include "text/manifest.h"
#include "text/shard_mask.h"
#include "train/rows_source.h"
#include "train/rows_text.h"

static void source_finish(struct bt_source *source)
{
    for (size_t i = 0; source->shards && i < source->count; i++)
        bt_shard_close(&source->shards[i]);
    for (size_t i = 0; source->masks && i < source->count; i++)
        bt_mask_close(&source->masks[i]);
    bt_free(source->shards);
    bt_free(source->masks);
    bt_names_free(source->paths, source->count);
    bt_names_free(source->texts, source->text_count);
    bt_free(source->text_files);
    bt_plan_finish(&source->plan);
}

/* The shards of the source, which text becomes here. */
static enum bt_err find_shards(struct bt_source *source, const struct bt_cfg_source *config,
                               const struct bt_rows_options *options, struct bt_diag *diag)
{
    if (bt_source_is_text(config))
        return bt_source_tokenize(source, config, options, diag);
    enum bt_err err = bt_glob(config->path, &source->paths, &source->count, diag);
    for (size_t i = 0; !err && i < source->count; i++)
        err = bt_source_check_name(source->paths[i], config, diag);
    return err;
}

/* Opens every file of the source and checks every id: after this its tokens are trusted. */
static enum bt_err open_shards(struct bt_source *source, const struct bt_cfg_source *config,
                               const struct bt_rows_options *options, struct bt_diag *diag)
{
    const enum bt_shard_format format = config->format == BT_CFG_NANOGPT ? BT_SHARD_NANOGPT : BT_SHARD_LLMC;
    enum bt_err err = find_shards(source, config, options, diag);
    if (err)
        return err;
    source->shards = bt_zalloc(source->count, sizeof *source->shards);
    source->masks = bt_zalloc(source->count, sizeof *source->masks);
    if (!source->shards || !source->masks)
        return bt_fail_nomem(diag);
    for (size_t i = 0; i < source->count && !err; i++) {
        err = bt_shard_open(source->paths[i], format, &source->shards[i], diag);
        if (!err)
            err = bt_shard_check(&source->shards[i], source->paths[i], options->vocab_size, diag);
        if (!err && !options->all_labels)
            err = bt_shard_mask_open(source->paths[i], &source->shards[i], &source->masks[i], diag);
    }
    return err;
}

static size_t count_masks(const struct bt_source *source)
{
    size_t masks = 0;
    for (size_t i = 0; i < source->count; i++)
        masks += bt_mask_exists(&source->masks[i]);
    return masks;
}

static struct bt_plan_source plan_source(const struct bt_source *source)
{
    return (struct bt_plan_source){source->shards, source->masks, source->count};
}

/* What its manifest says may be what data.separators has to be. */
static enum bt_err fail_no_separator(const struct bt_source *source, const char *path, struct bt_diag *diag)
{
    struct bt_shard_origin origin = {0};
    char made_with[80] = "";
    if (!bt_manifest_find(source->paths[0], &origin, NULL) && origin.known)
        snprintf(made_with, sizeof made_with, " (its manifest says before %" PRId32 ", after %" PRId32 ")",
                 origin.separators.before, origin.separators.after);
    return bt_fail(diag, BT_EINPUT,
                   "%s: no separator (before %" PRId64 ", after %" PRId64 ", -1 is none) occurs in its %" PRIu64
                   " tokens, which packing needs; set data.separators%s, or packing: false",
                   path, source->before, source->after, source->plan.tokens, made_with);
}

static enum bt_err plan_packed(struct bt_source *source, const char *path, const struct bt_rows_options *options,
                               struct bt_diag *diag)
{
    uint64_t separators = 0;
    const struct bt_plan_source shards = plan_source(source);
    if (source->before < 0 && source->after < 0 && count_masks(source) < source->count)
        return bt_fail(diag, BT_EINPUT,
                       "%s: packing needs to know where documents begin or end, but data.separators is not set and the "
                       "model names no BOS or EOS id",
                       path);
    enum bt_err err =
        bt_plan_packed(&shards, options->seq, source->before, source->after, &source->plan, &separators, diag);
    return err || separators > 0 ? err : fail_no_separator(source, path, diag);
}

static size_t longest_shard(const struct bt_source *source)
{
    size_t longest = 0;
    for (size_t i = 0; i < source->count; i++)
        longest = source->shards[i].count > longest ? source->shards[i].count : longest;
    return longest;
}

static enum bt_err fail_no_row(const struct bt_source *source, const char *path, size_t seq, struct bt_diag *diag)
{
    return bt_fail(
        diag, BT_EINPUT,
        "%s: no row of %zu tokens and the label after them in %zu file%s, the longest of which has %zu tokens", path,
        seq, source->count, source->count == 1 ? "" : "s", longest_shard(source));
}

static enum bt_err open_source(struct bt_source *source, const struct bt_cfg_source *config,
                               const struct bt_rows_options *options, struct bt_diag *diag)
{
    source->before = options->before;
    source->after = options->after;
    const enum bt_err err = open_shards(source, config, options, diag);
    if (err)
        return err;
    if (options->packing)
        return plan_packed(source, config->path, options, diag);
    const struct bt_plan_source shards = plan_source(source);
    return bt_plan_windows(&shards, options->seq, &source->plan, diag);
}

/* A text's identity is that of the bytes that were tokenized. */
static enum bt_err add_text(struct bt_rows *rows, const struct bt_source *source, size_t i, struct bt_diag *diag)
{
    struct bt_rows_input *file = &rows->files[rows->file_count++];
    *file = (struct bt_rows_input){.path = bt_strdup(source->texts[i]),
                                   .size = source->text_files[i].size,
                                   .hash = source->text_files[i].hash,
                                   .hashed = true};
    return file->path ? BT_OK : bt_fail_nomem(diag);
}

/* A shard, and its mask if it has one. */
static enum bt_err add_files(struct bt_rows *rows, const struct bt_source *source, size_t i, struct bt_diag *diag)
{
    struct bt_rows_input *file = &rows->files[rows->file_count++];
    *file = (struct bt_rows_input){.map = &source->shards[i].map, .path = bt_strdup(source->paths[i])};
    bool ok = file->path != NULL;
    if (bt_mask_exists(&source->masks[i])) {
        file = &rows->files[rows->file_count++];
        *file = (struct bt_rows_input){.map = &source->masks[i].map, .path = bt_mask_path(source->paths[i])};
        ok = ok && file->path;
    }
    return ok ? BT_OK : bt_fail_nomem(diag);
}

static enum bt_err list_files(struct bt_rows *rows, struct bt_diag *diag)
{
    size_t count = 0;
    for (size_t s = 0; s < rows->count; s++)
        count += rows->sources[s].text_count + rows->sources[s].count + count_masks(&rows->sources[s]);
    rows->files = bt_zalloc(count, sizeof *rows->files);
    enum bt_err err = rows->files ? BT_OK : bt_fail_nomem(diag);
    for (size_t s = 0; s < rows->count; s++) {
        for (size_t i = 0; !err && i < rows->sources[s].text_count; i++)
            err = add_text(rows, &rows->sources[s], i, diag);
        for (size_t i = 0; !err && i < rows->sources[s].count; i++)
            err = add_files(rows, &rows->sources[s], i, diag);
    }
    return err;
}

static void set_shares(struct bt_rows *rows, const struct bt_cfg_source *sources)
{
    double sum = 0.0;
    for (size_t i = 0; i < rows->count; i++)
        sum += sources[i].weight;
    for (size_t i = 0; i < rows->count; i++)
        rows->sources[i].share = sources[i].weight / sum;
}

static enum bt_err open_sources(struct bt_rows *rows, const struct bt_cfg_source *sources,
                                const struct bt_rows_options *options, struct bt_diag *diag)
{
    rows->sources = bt_zalloc(rows->count, sizeof *rows->sources);
    if (!rows->sources)
        return bt_fail_nomem(diag);
    for (size_t i = 0; i < rows->count; i++) {
        const enum bt_err err = open_source(&rows->sources[i], &sources[i], options, diag);
        if (err)
            return err;
    }
    set_shares(rows, sources);
    return list_files(rows, diag);
}

static uint64_t plan_labels(const struct bt_plan *plan)
{
    uint64_t labels = 0;
    for (size_t i = 0; i < plan->row_count; i++)
        labels += plan->rows[i].labels;
    return labels;
}

/* Training cannot go on with a source that gives nothing; calibration can, as long as another one does. */
static enum bt_err check_rows(const struct bt_rows *rows, const struct bt_cfg_source *sources, bool each_source,
                              struct bt_diag *diag)
{
    for (size_t i = 0; i < rows->count; i++) {
        if (rows->sources[i].plan.row_count == 0 && (each_source || bt_rows_count(rows) == 0))
            return fail_no_row(&rows->sources[i], sources[i].path, rows->seq, diag);
        if (count_masks(&rows->sources[i]) > 0 && plan_labels(&rows->sources[i].plan) == 0)
            return bt_fail(diag, BT_EINPUT, "%s: its label masks leave no label in rows of %zu tokens", sources[i].path,
                           rows->seq);
    }
    return BT_OK;
}

static enum bt_err open_rows(const struct bt_cfg_source *sources, size_t count, const struct bt_rows_options *options,
                             bool each_source, struct bt_rows **ret_rows, struct bt_diag *diag)
{
    struct bt_rows *rows = bt_zalloc(1, sizeof *rows);
    if (!rows)
        return bt_fail_nomem(diag);
    *rows = (struct bt_rows){.count = count,
                             .seq = options->seq,
                             .shuffle = options->shuffle,
                             .seed = options->seed,
                             .stage = options->stage};
    enum bt_err err = open_sources(rows, sources, options, diag);
    if (!err)
        err = check_rows(rows, sources, each_source, diag);
    if (err) {
        bt_rows_close(rows);
        return err;
    }
    *ret_rows = rows;
    return BT_OK;
}

enum bt_err bt_rows_open(const struct bt_cfg_source *sources, size_t count, const struct bt_rows_options *options,
                         struct bt_rows **ret_rows, struct bt_diag *diag)
{
    return open_rows(sources, count, options, true, ret_rows, diag);
}

enum bt_err bt_rows_open_calibration(const struct bt_cfg_source *sources, size_t count,
                                     const struct bt_rows_options *options, struct bt_rows **ret_rows,
                                     struct bt_diag *diag)
{
    struct bt_rows_options windows = *options;
    windows.packing = windows.shuffle = false;
    windows.all_labels = true;
    return open_rows(sources, count, &windows, false, ret_rows, diag);
}

void bt_rows_close(struct bt_rows *rows)
{
    if (!rows)
        return;
    for (size_t i = 0; rows->sources && i < rows->count; i++)
        source_finish(&rows->sources[i]);
    bt_free(rows->sources);
    for (size_t i = 0; i < rows->file_count; i++)
        bt_free(rows->files[i].path);
    bt_free(rows->files);
    bt_free(rows);
}

size_t bt_rows_count(const struct bt_rows *rows)
{
    size_t n = 0;
    for (size_t i = 0; i < rows->count; i++)
        n += rows->sources[i].plan.row_count;
    return n;
}

uint64_t bt_rows_tokens(const struct bt_rows *rows)
{
    uint64_t n = 0;
    for (size_t i = 0; i < rows->count; i++)
        n += rows->sources[i].plan.tokens;
    return n;
}

size_t bt_rows_sources(const struct bt_rows *rows)
{
    return rows->count;
}

size_t bt_rows_files(const struct bt_rows *rows)
{
    return rows->file_count;
}

const char *bt_rows_file(const struct bt_rows *rows, size_t i)
{
    return rows->files[i].path;
}

/* Of the bytes that are mapped, which are those that are trained on, whatever the path names by now. */
enum bt_err bt_rows_file_hash(struct bt_rows *rows, size_t i, uint64_t *ret_size, uint64_t *ret_hash,
                              struct bt_diag *diag)
{
    (void)diag;
    struct bt_rows_input *file = &rows->files[i];
    if (!file->hashed) {
        file->size = file->map->size;
        file->hash = XXH3_64bits(file->map->data, file->map->size);
    }
    file->hashed = true;
    *ret_size = file->size;
    *ret_hash = file->hash;
    return BT_OK;
}

/* labels (n) are the tokens from `first` on: those that the mask leaves out are none. */
static void apply_mask(const struct bt_mask *mask, size_t first, size_t n, int32_t *labels)
{
    for (size_t i = 0; i < n; i++)
        if (!bt_mask_is_label(mask, first + i))
            labels[i] = BT_IGNORE_LABEL;
}

/* Places the piece at token `at` of a row that begins at token `begin` of the batch. */
static void fill_piece(const struct bt_source *source, const struct bt_piece *piece, size_t begin, size_t at,
                       struct bt_batch *batch)
{
    const struct bt_shard *shard = &source->shards[piece->shard];
    const size_t length = piece->length, n = begin + at;
    int32_t *ids = batch->ids + n, *labels = batch->labels + n;
    bt_shard_read(shard, (size_t)piece->offset, length, ids);
    memcpy(labels, ids + 1, (length - 1) * sizeof *labels);
    if (piece->last_label)
        bt_shard_read(shard, (size_t)piece->offset + length, 1, &labels[length - 1]);
    else
        labels[length - 1] = BT_IGNORE_LABEL;
    if (bt_mask_exists(&source->masks[piece->shard]))
        apply_mask(&source->masks[piece->shard], (size_t)piece->offset + 1, length - 1 + piece->last_label, labels);
    for (size_t i = 0; i < length; i++) {
        batch->position[n + i] = (int32_t)i;
        batch->first[n + i] = (int32_t)at;
    }
}

/* Padding from token `at` on. Each one is a document of its own, which costs attention the least. */
static void pad_row(struct bt_batch *batch, size_t row, size_t at)
{
    if (batch->used)
        batch->used[row] = (int32_t)at;
    for (; at < batch->seq; at++) {
        const size_t n = row * batch->seq + at;
        batch->ids[n] = 0;
        batch->labels[n] = BT_IGNORE_LABEL;
        batch->position[n] = 0;
        batch->first[n] = (int32_t)at;
    }
}

void bt_source_fill(const struct bt_source *source, size_t plan_row, size_t row_of_batch, struct bt_batch *batch)
{
    const struct bt_plan_row *row = &source->plan.rows[plan_row];
    size_t at = 0;
    for (size_t p = row[0].first; p < row[1].first; p++) {
        const struct bt_piece *piece = &source->plan.pieces[p];
        fill_piece(source, piece, row_of_batch * batch->seq, at, batch);
        at += piece->length;
    }
    pad_row(batch, row_of_batch, at);
    batch->tokens += row->tokens;
    batch->label_count += row->labels;
}

void bt_rows_fill(const struct bt_rows *rows, size_t i, size_t row_of_batch, struct bt_batch *batch)
{
    const struct bt_source *source = rows->sources;
    assert(batch->seq == rows->seq && row_of_batch < batch->rows);
    for (; i >= source->plan.row_count; source++)
        i -= source->plan.row_count;
    bt_source_fill(source, i, row_of_batch, batch);
}

size_t bt_rows_memory(const struct bt_rows *rows)
{
    size_t bytes = 0;
    for (size_t i = 0; i < rows->count; i++) {
        const struct bt_source *source = &rows->sources[i];
        const struct bt_plan_row *end = &source->plan.rows[source->plan.row_count];
        bytes += end->first * sizeof(struct bt_piece) + source->plan.row_count * sizeof *end;
        for (size_t f = 0; f < source->count; f++)
            bytes += source->shards[f].map.size + source->masks[f].map.size;
    }
    return bytes;
}

void bt_batch_begin(struct bt_batch *batch)
{
    batch->tokens = batch->label_count = 0;
}
