#include "train/sliding.h"

#include "base/mem.h"
#include "io/shard.h"
#include "kernels/kernels.h"

struct file {
    struct bt_shard shard;
    size_t windows;
};

struct bt_sliding {
    struct file *files;
    size_t count, seq, stride;
};

/* Windows until every token but the first has been predicted. */
static size_t windows_of(size_t tokens, size_t seq, size_t stride)
{
    if (tokens < 2)
        return 0;
    const size_t labels = tokens - 1;
    return labels <= seq ? 1 : 1 + (labels - seq + stride - 1) / stride;
}

static enum bt_err open_file(struct bt_sliding *s, const char *path, enum bt_shard_format format, uint64_t vocab_size,
                             struct bt_diag *diag)
{
    struct file *files = bt_realloc(s->files, s->count + 1, sizeof *files);
    if (!files)
        return bt_fail_nomem(diag);
    s->files = files;
    struct file *file = &files[s->count];
    *file = (struct file){0};
    enum bt_err err = bt_shard_open(path, format, &file->shard, diag);
    if (err)
        return err;
    s->count++;
    file->windows = windows_of(file->shard.count, s->seq, s->stride);
    return bt_shard_check(&file->shard, path, vocab_size, diag);
}

static enum bt_err open_source(struct bt_sliding *s, const struct bt_cfg_source *source, uint64_t vocab_size,
                               struct bt_diag *diag)
{
    const enum bt_shard_format format = source->format == BT_CFG_NANOGPT ? BT_SHARD_NANOGPT : BT_SHARD_LLMC;
    char **paths = NULL;
    size_t count = 0;
    enum bt_err err = bt_glob(source->path, &paths, &count, diag);
    for (size_t i = 0; i < count && !err; i++)
        err = open_file(s, paths[i], format, vocab_size, diag);
    bt_names_free(paths, count);
    return err;
}

enum bt_err bt_sliding_open(const struct bt_cfg_source *sources, size_t count, size_t seq, size_t stride,
                            uint64_t vocab_size, struct bt_sliding **ret_sliding, struct bt_diag *diag)
{
    enum bt_err err = BT_OK;
    struct bt_sliding *s = bt_zalloc(1, sizeof *s);
    if (!s)
        return bt_fail_nomem(diag);
    s->seq = seq;
    s->stride = stride;
    for (size_t i = 0; i < count && !err; i++)
        err = open_source(s, &sources[i], vocab_size, diag);
    if (!err && !bt_sliding_rows(s))
        err = bt_fail(diag, BT_EINPUT, "%s: no file has two tokens", sources[0].path);
    if (err)
        bt_sliding_close(s);
    else
        *ret_sliding = s;
    return err;
}

void bt_sliding_close(struct bt_sliding *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->count; i++)
        bt_shard_close(&s->files[i].shard);
    bt_free(s->files);
    bt_free(s);
}

size_t bt_sliding_rows(const struct bt_sliding *s)
{
    size_t rows = 0;
    for (size_t i = 0; i < s->count; i++)
        rows += s->files[i].windows;
    return rows;
}

/* Token 0 without a label, a document of its own. */
static void pad_from(struct bt_batch *batch, size_t begin, size_t used)
{
    for (size_t j = used; j < batch->seq; j++) {
        batch->ids[begin + j] = batch->position[begin + j] = 0;
        batch->labels[begin + j] = BT_IGNORE_LABEL;
        batch->first[begin + j] = (int32_t)j;
    }
}

void bt_sliding_fill(const void *sliding, size_t i, size_t row_of_batch, struct bt_batch *batch)
{
    const struct bt_sliding *s = sliding;
    const struct file *file = s->files;
    for (; i >= file->windows; file++)
        i -= file->windows;
    const size_t from = i * s->stride, left = file->shard.count - 1 - from, used = left < s->seq ? left : s->seq;
    const size_t known = i ? s->seq - s->stride : 0; /* labels that the window before had too */
    const size_t begin = row_of_batch * batch->seq;

    bt_shard_read(&file->shard, from, used, batch->ids + begin);
    bt_shard_read(&file->shard, from + 1, used, batch->labels + begin);
    for (size_t j = 0; j < used; j++) {
        batch->position[begin + j] = (int32_t)j;
        batch->first[begin + j] = 0;
        if (j < known)
            batch->labels[begin + j] = BT_IGNORE_LABEL;
    }
    pad_from(batch, begin, used);
    if (batch->used)
        batch->used[row_of_batch] = (int32_t)used;
    batch->tokens += used;
    batch->label_count += used - known;
}
