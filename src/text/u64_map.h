/* text/u64_map.h - from a 64-bit key to a 32-bit number: what the grammar's memo tables are made of. */
#ifndef BT_TEXT_U64_MAP_H
#define BT_TEXT_U64_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bt_u64_map { /* zeroed: empty */
    struct bt_u64_slot {
        uint64_t key;
        uint32_t value;
        bool used;
    } * slots;
    size_t capacity; /* 0 or a power of two */
    size_t count;
};

/* The value of key, or a new entry with `fresh` as its value; *ret_new says which. NULL when memory is out. The pointer
 * holds until the next call. */
uint32_t *bt_u64_map_enter(struct bt_u64_map *map, uint64_t key, uint32_t fresh, bool *ret_new);
void bt_u64_map_finish(struct bt_u64_map *map);

#endif
