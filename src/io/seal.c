#include "io/seal.h"

#include <stdbool.h>
#include <string.h>

#define XXH_STATIC_LINKING_ONLY /* the hash state by value */
#include <xxhash.h>

#include "io/file.h"

#define NAME_SIZE (sizeof BT_SEAL_NAME - 1)

void bt_seal_value(const struct bt_seal *seal, uint64_t hash, unsigned char value[BT_SEAL_WIDTH])
{
    if (seal->width == sizeof hash)
        memcpy(value, &hash, sizeof hash);
    else
        memcpy(value, bt_hash_text(hash).text, BT_SEAL_WIDTH);
}

static uint64_t hash_around(const struct bt_seal *seal, const unsigned char *data, size_t size)
{
    const size_t at = seal->at + seal->lead_size, behind = at + seal->width;
    char blanks[BT_SEAL_WIDTH];
    XXH3_state_t hash;
    memset(blanks, seal->blank, sizeof blanks);
    XXH3_INITSTATE(&hash);
    XXH3_64bits_reset(&hash);
    XXH3_64bits_update(&hash, data, at);
    XXH3_64bits_update(&hash, blanks, seal->width);
    XXH3_64bits_update(&hash, data + behind, size - behind);
    return XXH3_64bits_digest(&hash);
}

/* More than half of the name is there: whoever wrote the file put a checksum into it. */
static bool is_named(const struct bt_seal *seal, const unsigned char *data)
{
    const unsigned char *name = data + seal->at + seal->name_at;
    size_t same = 0;
    for (size_t i = 0; i < NAME_SIZE; i++)
        same += name[i] == (unsigned char)BT_SEAL_NAME[i];
    return same > NAME_SIZE / 2;
}

enum bt_err bt_seal_check(const struct bt_seal *seal, const unsigned char *data, size_t size, const char *path,
                          struct bt_diag *diag)
{
    unsigned char value[BT_SEAL_WIDTH];
    const size_t at = seal->at + seal->lead_size;
    if (size < at + seal->width || !is_named(seal, data))
        return BT_OK;
    bt_seal_value(seal, hash_around(seal, data, size), value);
    if (!memcmp(data + seal->at, seal->lead, seal->lead_size) && !memcmp(data + at, value, seal->width))
        return BT_OK;
    return bt_fail(diag, BT_EINPUT,
                   "%s: byte %zu: the file is damaged or was changed: its checksum " BT_SEAL_NAME
                   " is not that of its %zu bytes",
                   path, at, size);
}
