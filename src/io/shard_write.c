#include "io/shard.h"

#include <inttypes.h>
#include <string.h>

#include "base/mem.h"
#include "io/shard_layout.h"

struct bt_shard_out {
    struct bt_out *file;
    char *path;
    unsigned width;
    size_t count;
};

static enum bt_err check_tokens(const char *path, const int32_t *tokens, size_t first, size_t count, unsigned width,
                                struct bt_diag *diag)
{
    const int32_t largest = width == 2 ? UINT16_MAX : INT32_MAX;
    if (count > INT32_MAX - first)
        return bt_fail(diag, BT_EINPUT, "%s: %zu tokens are too many for one shard, which holds at most %" PRId32, path,
                       first + count, INT32_MAX);
    for (size_t i = 0; i < count; i++)
        if (tokens[i] < 0 || tokens[i] > largest)
            return bt_fail(diag, BT_EINPUT, "%s: token %zu has the id %" PRId32 ", which does not fit into %u bytes",
                           path, first + i, tokens[i], width);
    return BT_OK;
}

static void make_header(int32_t header[BT_LLMC_HEADER / 4], size_t count, unsigned width)
{
    const struct bt_llmc_variant *variant = &bt_llmc_variants[width == 4];
    memset(header, 0, BT_LLMC_HEADER);
    header[0] = variant->magic;
    header[1] = variant->version;
    header[2] = (int32_t)count;
}

static enum bt_err write_header(struct bt_out *out, size_t count, unsigned width, struct bt_diag *diag)
{
    int32_t header[BT_LLMC_HEADER / 4];
    make_header(header, count, width);
    return bt_out_write(out, header, sizeof header, diag);
}

static enum bt_err write_narrow(struct bt_out *out, const int32_t *tokens, size_t count, struct bt_diag *diag)
{
    uint16_t part[4096];
    const size_t part_size = sizeof part / sizeof part[0];
    for (size_t first = 0; first < count; first += part_size) {
        const size_t n = count - first < part_size ? count - first : part_size;
        for (size_t i = 0; i < n; i++)
            part[i] = (uint16_t)tokens[first + i];
        const enum bt_err err = bt_out_write(out, part, n * sizeof part[0], diag);
        if (err)
            return err;
    }
    return BT_OK;
}

static enum bt_err write_tokens(struct bt_out *out, const int32_t *tokens, size_t count, unsigned width,
                                struct bt_diag *diag)
{
    return width == 2 ? write_narrow(out, tokens, count, diag)
                      : bt_out_write(out, tokens, count * sizeof tokens[0], diag);
}

enum bt_err bt_shard_out_open(const char *path, unsigned width, struct bt_shard_out **ret_out, struct bt_diag *diag)
{
    struct bt_shard_out *out = bt_zalloc(1, sizeof *out);
    if (!out)
        return bt_fail_nomem(diag);
    out->width = width;
    out->path = bt_strdup(path);
    enum bt_err err = out->path ? bt_out_open(path, &out->file, diag) : bt_fail_nomem(diag);
    if (!err)
        err = write_header(out->file, 0, width, diag); /* the count comes when it is known */
    if (err)
        bt_shard_out_abandon(out);
    else
        *ret_out = out;
    return err;
}

enum bt_err bt_shard_out_append(struct bt_shard_out *out, const int32_t *tokens, size_t count, struct bt_diag *diag)
{
    enum bt_err err = check_tokens(out->path, tokens, out->count, count, out->width, diag);
    if (!err)
        err = write_tokens(out->file, tokens, count, out->width, diag);
    if (!err)
        out->count += count;
    return err;
}

enum bt_err bt_shard_out_close(struct bt_shard_out *out, struct bt_diag *diag)
{
    int32_t header[BT_LLMC_HEADER / 4];
    make_header(header, out->count, out->width);
    enum bt_err err = bt_out_patch(out->file, 0, header, sizeof header, diag);
    if (!err) {
        err = bt_out_close(out->file, diag);
        out->file = NULL;
    }
    bt_shard_out_abandon(out);
    return err;
}

void bt_shard_out_abandon(struct bt_shard_out *out)
{
    if (!out)
        return;
    bt_out_abandon(out->file);
    bt_free(out->path);
    bt_free(out);
}

enum bt_err bt_shard_write(const char *path, const int32_t *tokens, size_t count, unsigned width, struct bt_diag *diag)
{
    struct bt_out *out;
    enum bt_err err = check_tokens(path, tokens, 0, count, width, diag);
    if (!err)
        err = bt_out_replace(path, &out, diag);
    if (err)
        return err;
    err = write_header(out, count, width, diag);
    if (!err)
        err = write_tokens(out, tokens, count, width, diag);
    if (!err)
        return bt_out_close(out, diag);
    bt_out_abandon(out);
    return err;
}
