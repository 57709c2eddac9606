#include "text/u64_map.h"

#include "base/mem.h"

/* The finalizer of MurmurHash3: every bit of the key reaches every bit of the slot number. */
static uint64_t scatter(uint64_t key)
{
    key = (key ^ (key >> 33)) * UINT64_C(0xff51afd7ed558ccd);
    key = (key ^ (key >> 33)) * UINT64_C(0xc4ceb9fe1a85ec53);
    return key ^ (key >> 33);
}

static struct bt_u64_slot *find(const struct bt_u64_map *map, uint64_t key)
{
    size_t i = scatter(key) & (map->capacity - 1);
    while (map->slots[i].used && map->slots[i].key != key)
        i = (i + 1) & (map->capacity - 1);
    return &map->slots[i];
}

static bool grow(struct bt_u64_map *map)
{
    struct bt_u64_map wider = {.capacity = map->capacity ? 2 * map->capacity : 64, .count = map->count};
    wider.slots = bt_zalloc(wider.capacity, sizeof *wider.slots);
    if (!wider.slots)
        return false;
    for (size_t i = 0; i < map->capacity; i++)
        if (map->slots[i].used)
            *find(&wider, map->slots[i].key) = map->slots[i];
    bt_free(map->slots);
    *map = wider;
    return true;
}

uint32_t *bt_u64_map_enter(struct bt_u64_map *map, uint64_t key, uint32_t fresh, bool *ret_new)
{
    if (2 * (map->count + 1) > map->capacity && !grow(map))
        return NULL;
    struct bt_u64_slot *slot = find(map, key);
    *ret_new = !slot->used;
    if (!slot->used) {
        *slot = (struct bt_u64_slot){.key = key, .value = fresh, .used = true};
        map->count++;
    }
    return &slot->value;
}

void bt_u64_map_finish(struct bt_u64_map *map)
{
    bt_free(map->slots);
    *map = (struct bt_u64_map){0};
}
