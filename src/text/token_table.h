/* text/token_table.h - strings numbered from 0, and the way back: all bytes in one block, one hash table of numbers. */
#ifndef BT_TEXT_TOKEN_TABLE_H
#define BT_TEXT_TOKEN_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BT_TOKEN_ABSENT (-1)

struct bt_token_table { /* zeroed: empty */
    char *bytes;        /* each string with a NUL behind it */
    size_t *start;      /* (count + 1) */
    int32_t *slots;     /* number + 1, or 0 */
    size_t mask;        /* slots - 1, a power of two less one */
    int32_t count, capacity;
    size_t bytes_used, bytes_capacity;
};

/* Room for `count` strings of `bytes` bytes in all. False when memory is out. */
bool bt_token_table_init(struct bt_token_table *table, size_t count, size_t bytes);
void bt_token_table_finish(struct bt_token_table *table);
/* Gives a string the next number, or leaves it out of the hash table when it is there already: *ret_new says which.
 * There must be room. */
void bt_token_table_add(struct bt_token_table *table, const char *text, size_t size, bool *ret_new);
/* Its number or BT_TOKEN_ABSENT. */
int32_t bt_token_table_find(const struct bt_token_table *table, const char *text, size_t size);
const char *bt_token_table_at(const struct bt_token_table *table, int32_t number, size_t *ret_size);

#endif
