#include "io/mask.h"

#include <inttypes.h>
#include <string.h>
#include <xxhash.h>

#include "base/mem.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "a big-endian machine would need byte swaps");

#define MAGIC   "BT-MASK\n"
#define VERSION 1
#define PLANES  2

struct header {
    char magic[8];
    uint32_t version, planes;
    uint64_t count, shard_hash;
};
_Static_assert(sizeof(struct header) == 32, "the header has no gaps");

static size_t plane_size(size_t count)
{
    return count / 8 + (count % 8 != 0);
}

char *bt_mask_path(const char *shard_path)
{
    const size_t length = strlen(shard_path);
    const bool bin = length > 4 && !strcmp(shard_path + length - 4, ".bin");
    return bt_sprintf("%.*s.mask", (int)(bin ? length - 4 : length), shard_path);
}

static enum bt_err check_header(const struct header *header, const char *path, struct bt_diag *diag)
{
    if (memcmp(header->magic, MAGIC, sizeof header->magic) != 0)
        return bt_fail(diag, BT_EINPUT, "%s: byte 0: a label mask begins with \"BT-MASK\" and a line break", path);
    if (header->version != VERSION)
        return bt_fail(diag, BT_EINPUT, "%s: byte 8: version %" PRIu32 ", expected %d", path, header->version, VERSION);
    if (header->planes != PLANES)
        return bt_fail(diag, BT_EINPUT, "%s: byte 12: %" PRIu32 " planes, expected %d", path, header->planes, PLANES);
    return BT_OK;
}

static enum bt_err check_checksum(const struct bt_map *map, const char *path, struct bt_diag *diag)
{
    const size_t covered = map->size - sizeof(uint64_t);
    uint64_t stored;
    memcpy(&stored, map->data + covered, sizeof stored);
    if (stored != XXH3_64bits(map->data, covered))
        return bt_fail(diag, BT_EINPUT, "%s: byte %zu: the checksum is not that of the file, which is damaged", path,
                       covered);
    return BT_OK;
}

static enum bt_err check_shard(const struct header *header, const char *path, const struct bt_shard *shard,
                               const char *shard_path, struct bt_diag *diag)
{
    if (header->count != shard->count)
        return bt_fail(diag, BT_EINPUT, "%s: byte 16: a mask of %" PRIu64 " tokens, but %s has %zu", path,
                       header->count, shard_path, shard->count);
    if (header->shard_hash != XXH3_64bits(shard->map.data, shard->map.size))
        return bt_fail(diag, BT_EINPUT, "%s: byte 24: the mask was made for a shard of other contents than %s", path,
                       shard_path);
    return BT_OK;
}

static bool ends_with_zeros(const unsigned char *plane, size_t count)
{
    return count % 8 == 0 || plane[count / 8] >> count % 8 == 0;
}

static enum bt_err read_mask(struct bt_mask *mask, const char *path, const struct bt_shard *shard,
                             const char *shard_path, struct bt_diag *diag)
{
    struct header header;
    if (mask->map.size < sizeof header)
        return bt_fail(diag, BT_EINPUT, "%s: the file has %zu bytes; a label mask begins with a header of %zu", path,
                       mask->map.size, sizeof header);
    memcpy(&header, mask->map.data, sizeof header);
    enum bt_err err = check_header(&header, path, diag);
    if (err || (err = check_shard(&header, path, shard, shard_path, diag)))
        return err;
    const size_t plane = plane_size(shard->count), size = sizeof header + PLANES * plane + sizeof(uint64_t);
    if (mask->map.size != size)
        return bt_fail(diag, BT_EINPUT, "%s: the file has %zu bytes; a mask of %zu tokens has %zu", path,
                       mask->map.size, shard->count, size);
    mask->count = shard->count;
    mask->labels = mask->map.data + sizeof header;
    mask->begins = mask->labels + plane;
    if (!ends_with_zeros(mask->labels, mask->count) || !ends_with_zeros(mask->begins, mask->count))
        return bt_fail(diag, BT_EINPUT, "%s: a bit behind the last of its %zu tokens is not 0", path, mask->count);
    return check_checksum(&mask->map, path, diag);
}

enum bt_err bt_mask_open(const char *path, const struct bt_shard *shard, const char *shard_path,
                         struct bt_mask *ret_mask, struct bt_diag *diag)
{
    struct bt_mask mask = {0};
    enum bt_err err = bt_map_open(path, &mask.map, diag);
    if (err)
        return err;
    err = read_mask(&mask, path, shard, shard_path, diag);
    if (err)
        bt_mask_close(&mask);
    else
        *ret_mask = mask;
    return err;
}

void bt_mask_close(struct bt_mask *mask)
{
    bt_map_close(&mask->map);
    *mask = (struct bt_mask){0};
}

bool bt_mask_exists(const struct bt_mask *mask)
{
    return mask->labels != NULL;
}

static bool bit(const unsigned char *plane, size_t i)
{
    return plane[i / 8] >> i % 8 & 1;
}

bool bt_mask_is_label(const struct bt_mask *mask, size_t i)
{
    return bit(mask->labels, i);
}

bool bt_mask_begins(const struct bt_mask *mask, size_t i)
{
    return bit(mask->begins, i);
}

size_t bt_mask_labels(const struct bt_mask *mask, size_t first, size_t n)
{
    size_t labels = 0;
    for (size_t i = first; i < first + n; i++)
        labels += bit(mask->labels, i);
    return labels;
}

/* Makes room in both planes for so many tokens; what is new is zero. */
static bool reserve(struct bt_mask_out *out, size_t count)
{
    if (plane_size(count) <= out->capacity)
        return true;
    const size_t wider = 2 * plane_size(count) + 64;
    for (int p = 0; p < PLANES; p++) {
        unsigned char *larger = bt_realloc(out->planes[p], wider, 1);
        if (!larger)
            return false;
        memset(larger + out->capacity, 0, wider - out->capacity);
        out->planes[p] = larger;
    }
    out->capacity = wider;
    return true;
}

bool bt_mask_out_append(struct bt_mask_out *out, const unsigned char *labels, size_t n, bool begins)
{
    if (!reserve(out, out->count + n))
        return false;
    for (size_t i = 0; i < n; i++) {
        const size_t at = out->count + i;
        out->planes[0][at / 8] |= (unsigned char)((labels[i] != 0) << at % 8);
    }
    if (n > 0)
        out->planes[1][out->count / 8] |= (unsigned char)(begins << out->count % 8);
    out->count += n;
    return true;
}

static enum bt_err write_all(struct bt_out *file, const struct bt_mask_out *out, uint64_t shard_hash,
                             uint64_t *ret_hash, struct bt_diag *diag)
{
    const size_t plane = plane_size(out->count);
    const struct header header = {
        .magic = MAGIC, .version = VERSION, .planes = PLANES, .count = out->count, .shard_hash = shard_hash};
    enum bt_err err = bt_out_write(file, &header, sizeof header, diag);
    for (int p = 0; !err && p < PLANES; p++)
        err = bt_out_write(file, out->planes[p], plane, diag);
    const uint64_t checksum = bt_out_hash(file);
    if (!err)
        err = bt_out_write(file, &checksum, sizeof checksum, diag);
    *ret_hash = bt_out_hash(file);
    return err;
}

enum bt_err bt_mask_out_write(struct bt_mask_out *out, const char *path, uint64_t shard_hash, uint64_t *ret_hash,
                              struct bt_diag *diag)
{
    struct bt_out *file;
    enum bt_err err = bt_out_open(path, &file, diag);
    if (err)
        return err;
    err = write_all(file, out, shard_hash, ret_hash, diag);
    if (err)
        bt_out_abandon(file);
    else
        err = bt_out_close(file, diag);
    if (out->capacity)
        for (int p = 0; p < PLANES; p++)
            memset(out->planes[p], 0, out->capacity);
    out->count = 0;
    return err;
}

void bt_mask_out_finish(struct bt_mask_out *out)
{
    for (int p = 0; p < PLANES; p++)
        bt_free(out->planes[p]);
    *out = (struct bt_mask_out){0};
}
