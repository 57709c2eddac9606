#include "io/shard.h"

#include <inttypes.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "a big-endian machine would need byte swaps");

/* llm.c's header: 256 int32, of which the first three are magic, version and token count and the others are zero. */
#define LLMC_HEADER     1024
#define LLMC_EVALUATION 20240522

static const struct variant {
    int32_t magic, version;
    unsigned width;
} variants[] = {
    {20240520, 1, 2}, /* "gpt-2" */
    {20240801, 7, 4}, /* "llama-3" */
};

static const struct variant *find_variant(int32_t magic)
{
    for (size_t i = 0; i < sizeof variants / sizeof variants[0]; i++)
        if (variants[i].magic == magic)
            return &variants[i];
    return NULL;
}

/* Magic and version. */
static enum bt_err identify(const int32_t *header, const char *path, const struct variant **ret_variant,
                            struct bt_diag *diag)
{
    const struct variant *variant = find_variant(header[0]);
    if (header[0] == LLMC_EVALUATION)
        return bt_fail(diag, BT_EINPUT,
                       "%s: byte 0: magic %d is that of an llm.c evaluation set; a token shard was expected", path,
                       LLMC_EVALUATION);
    if (!variant)
        return bt_fail(diag, BT_EINPUT,
                       "%s: byte 0: magic %" PRId32 " is not that of an llm.c token shard (%" PRId32 " or %" PRId32 ")",
                       path, header[0], variants[0].magic, variants[1].magic);
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
    const struct variant *variant = NULL;
    if (shard->map.size < LLMC_HEADER)
        return bt_fail(diag, BT_EINPUT, "%s: the file has %zu bytes; an llm.c shard begins with a header of %d", path,
                       shard->map.size, LLMC_HEADER);
    memcpy(header, shard->map.data, sizeof header);
    const enum bt_err err = identify(header, path, &variant, diag);
    if (err)
        return err;
    if (header[2] < 0)
        return bt_fail(diag, BT_EINPUT, "%s: byte 8: the number of tokens is %" PRId32, path, header[2]);
    const size_t data_size = shard->map.size - LLMC_HEADER;
    if (data_size != (uint64_t)header[2] * variant->width)
        return bt_fail(diag, BT_EINPUT,
                       "%s: byte 8: %" PRId32 " tokens of %u bytes do not make the %zu bytes after the header", path,
                       header[2], variant->width, data_size);
    shard->tokens = shard->map.data + LLMC_HEADER;
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

static enum bt_err check_writable(const char *path, const int32_t *tokens, size_t count, unsigned width,
                                  struct bt_diag *diag)
{
    const int32_t largest = width == 2 ? UINT16_MAX : INT32_MAX;
    if (count > INT32_MAX)
        return bt_fail(diag, BT_EINPUT, "%s: %zu tokens are too many for one shard, which holds at most %" PRId32, path,
                       count, INT32_MAX);
    for (size_t i = 0; i < count; i++)
        if (tokens[i] < 0 || tokens[i] > largest)
            return bt_fail(diag, BT_EINPUT, "%s: token %zu has the id %" PRId32 ", which does not fit into %u bytes",
                           path, i, tokens[i], width);
    return BT_OK;
}

static enum bt_err write_header(struct bt_out *out, size_t count, unsigned width, struct bt_diag *diag)
{
    const struct variant *variant = &variants[width == 4];
    const int32_t header[LLMC_HEADER / sizeof(int32_t)] = {variant->magic, variant->version, (int32_t)count};
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

enum bt_err bt_shard_write(const char *path, const int32_t *tokens, size_t count, unsigned width, struct bt_diag *diag)
{
    struct bt_out *out;
    enum bt_err err = check_writable(path, tokens, count, width, diag);
    if (!err)
        err = bt_out_replace(path, &out, diag);
    if (err)
        return err;
    err = write_header(out, count, width, diag);
    if (!err)
        err = width == 2 ? write_narrow(out, tokens, count, diag)
                         : bt_out_write(out, tokens, count * sizeof tokens[0], diag);
    if (!err)
        return bt_out_close(out, diag);
    bt_out_abandon(out);
    return err;
}
