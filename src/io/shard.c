#include "io/shard.h"

#include <inttypes.h>
#include <string.h>

#include "io/shard_layout.h"

#define LLMC_EVALUATION 20240522

const struct bt_llmc_variant bt_llmc_variants[2] = {{20240520, 1, 2}, {20240801, 7, 4}};

static const struct bt_llmc_variant *find_variant(int32_t magic)
{
    for (size_t i = 0; i < sizeof bt_llmc_variants / sizeof bt_llmc_variants[0]; i++)
        if (bt_llmc_variants[i].magic == magic)
            return &bt_llmc_variants[i];
    return NULL;
}

/* Magic and version. */
static enum bt_err identify(const int32_t *header, const char *path, const struct bt_llmc_variant **ret_variant,
                            struct bt_diag *diag)
{
    const struct bt_llmc_variant *variant = find_variant(header[0]);
    if (header[0] == LLMC_EVALUATION)
        return bt_fail(diag, BT_EINPUT,
                       "%s: byte 0: magic %d is that of an llm.c evaluation set; a token shard was expected", path,
                       LLMC_EVALUATION);
    if (!variant)
        return bt_fail(diag, BT_EINPUT,
                       "%s: byte 0: magic %" PRId32 " is not that of an llm.c token shard (%" PRId32 " or %" PRId32 ")",
                       path, header[0], bt_llmc_variants[0].magic, bt_llmc_variants[1].magic);
    if (header[1] != variant->version)
        return bt_fail(diag, BT_EINPUT,
                       "%s: byte 4: version %" PRId32 "; with magic %" PRId32 " version %" PRId32 " was expected", path,
                       header[1], header[0], variant->version);
    *ret_variant = variant;
    return BT_OK;
}

static enum bt_err read_llmc(struct bt_shard *shard, const char *path, struct bt_diag *diag)
{
    int32_t header[3];
    const struct bt_llmc_variant *variant = NULL;
    if (shard->map.size < BT_LLMC_HEADER)
        return bt_fail(diag, BT_EINPUT, "%s: the file has %zu bytes; an llm.c shard begins with a header of %d", path,
                       shard->map.size, BT_LLMC_HEADER);
    memcpy(header, shard->map.data, sizeof header);
    const enum bt_err err = identify(header, path, &variant, diag);
    if (err)
        return err;
    if (header[2] < 0)
        return bt_fail(diag, BT_EINPUT, "%s: byte 8: the number of tokens is %" PRId32, path, header[2]);
    const size_t data_size = shard->map.size - BT_LLMC_HEADER;
    if (data_size != (uint64_t)header[2] * variant->width)
        return bt_fail(diag, BT_EINPUT,
                       "%s: byte 8: %" PRId32 " tokens of %u bytes do not make the %zu bytes after the header", path,
                       header[2], variant->width, data_size);
    shard->tokens = shard->map.data + BT_LLMC_HEADER;
    shard->count = (size_t)header[2];
    shard->width = variant->width;
    return BT_OK;
}

static enum bt_err read_nanogpt(struct bt_shard *shard, const char *path, struct bt_diag *diag)
{
    if (shard->map.size % 2)
        return bt_fail(diag, BT_EINPUT, "%s: the file has %zu bytes; nanoGPT tokens have 2 bytes each", path,
                       shard->map.size);
    shard->tokens = shard->map.data;
    shard->count = shard->map.size / 2;
    shard->width = 2;
    return BT_OK;
}

enum bt_err bt_shard_open(const char *path, enum bt_shard_format format, struct bt_shard *shard, struct bt_diag *diag)
{
    struct bt_shard opened = {0};
    enum bt_err err = bt_map_open(path, &opened.map, diag);
    if (err)
        return err;
    err = format == BT_SHARD_LLMC ? read_llmc(&opened, path, diag) : read_nanogpt(&opened, path, diag);
    if (!err && opened.count == 0)
        err = bt_fail(diag, BT_EINPUT, "%s: the shard holds no token", path);
    if (err)
        bt_shard_close(&opened);
    else
        *shard = opened;
    return err;
}

void bt_shard_close(struct bt_shard *shard)
{
    bt_map_close(&shard->map);
    *shard = (struct bt_shard){0};
}

static uint32_t token_at(const struct bt_shard *shard, size_t i)
{
    uint16_t narrow;
    uint32_t wide;
    if (shard->width == 4) {
        memcpy(&wide, shard->tokens + 4 * i, sizeof wide);
        return wide;
    }
    memcpy(&narrow, shard->tokens + 2 * i, sizeof narrow);
    return narrow;
}

void bt_shard_read(const struct bt_shard *shard, size_t first, size_t n, int32_t *out)
{
    for (size_t i = 0; i < n; i++)
        out[i] = (int32_t)token_at(shard, first + i);
}

enum bt_err bt_shard_check(const struct bt_shard *shard, const char *path, uint64_t vocab_size, struct bt_diag *diag)
{
    const uint64_t limit = vocab_size < (uint64_t)INT32_MAX + 1 ? vocab_size : (uint64_t)INT32_MAX + 1;
    for (size_t i = 0; i < shard->count; i++) {
        const uint32_t id = token_at(shard, i);
        if (id >= limit)
            return bt_fail(diag, BT_EINPUT,
                           "%s: token %zu has the id %" PRIu32 "; ids below the vocabulary size %" PRIu64
                           " were expected",
                           path, i, id, vocab_size);
    }
    return BT_OK;
}
