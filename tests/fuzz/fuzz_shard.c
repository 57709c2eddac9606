/* A token shard with its manifest and its label mask. The first byte says which layout the shard has, four more how
 * long manifest and mask are, which stand in front of it. */
#include "fuzz.h"

#include "base/mem.h"
#include "text/shard_facts.h"
#include "text/shard_mask.h"

#define FRONT 5

static enum bt_err read_tokens(const struct bt_shard *shard, const struct bt_mask *mask, const char *path,
                               struct bt_diag *diag)
{
    int32_t ids[64];
    size_t labels = 0;
    for (size_t first = 0; first < shard->count; first += 64)
        bt_shard_read(shard, first, shard->count - first < 64 ? shard->count - first : 64, ids);
    for (size_t i = 0; bt_mask_exists(mask) && i < shard->count; i++)
        labels += bt_mask_is_label(mask, i);
    FUZZ_CHECK(!bt_mask_exists(mask) || labels == bt_mask_labels(mask, 0, shard->count));
    return bt_shard_check(shard, path, 1000, diag);
}

enum bt_err fuzz_read(const uint8_t *data, size_t size, struct bt_diag *diag)
{
    if (size < FRONT)
        return BT_OK;
    const size_t room = size - FRONT;
    size_t manifest = (size_t)data[1] << 8 | data[2], mask_size = (size_t)data[3] << 8 | data[4];
    manifest = manifest < room ? manifest : room;
    mask_size = mask_size < room - manifest ? mask_size : room - manifest;
    fuzz_file("x.json", data + FRONT, manifest);
    fuzz_file("x-000000.mask", data + FRONT + manifest, mask_size);
    const char *path = fuzz_file("x-000000.bin", data + FRONT + manifest + mask_size, room - manifest - mask_size);
    struct bt_shard shard = {0};
    struct bt_mask mask = {0};
    enum bt_err err = bt_shard_open(path, data[0] & 1 ? BT_SHARD_NANOGPT : BT_SHARD_LLMC, &shard, diag);
    if (!err)
        err = bt_shard_mask_open(path, &shard, &mask, diag);
    if (!err)
        err = read_tokens(&shard, &mask, path, diag);
    bt_mask_close(&mask);
    bt_shard_close(&shard);
    return err;
}
