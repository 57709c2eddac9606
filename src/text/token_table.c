#include "text/token_table.h"

#include <assert.h>
#include <string.h>

#include <xxhash.h>

#include "base/mem.h"

bool bt_token_table_init(struct bt_token_table *table, size_t count, size_t bytes)
{
    if (count > INT32_MAX / 4)
        return false;
    size_t slots = 16;
    while (slots < 2 * count)
        slots *= 2;
    *table = (struct bt_token_table){.mask = slots - 1, .capacity = (int32_t)count, .bytes_capacity = bytes + count};
    table->bytes = bt_alloc(table->bytes_capacity);
    table->start = bt_zalloc(count + 1, sizeof *table->start);
    table->slots = bt_zalloc(slots, sizeof *table->slots);
    if (table->bytes && table->start && table->slots)
        return true;
    bt_token_table_finish(table);
    return false;
}

void bt_token_table_finish(struct bt_token_table *table)
{
    bt_free(table->bytes);
    bt_free(table->start);
    bt_free(table->slots);
    *table = (struct bt_token_table){0};
}

/* The slot of a string, or the free one where it belongs. */
static size_t slot_of(const struct bt_token_table *table, const char *text, size_t size)
{
    size_t i = XXH3_64bits(text, size) & table->mask;
    for (; table->slots[i]; i = (i + 1) & table->mask) {
        size_t length;
        const char *there = bt_token_table_at(table, table->slots[i] - 1, &length);
        if (length == size && !memcmp(there, text, size))
            break;
    }
    return i;
}

void bt_token_table_add(struct bt_token_table *table, const char *text, size_t size, bool *ret_new)
{
    assert(table->count < table->capacity && size < table->bytes_capacity - table->bytes_used);
    const size_t slot = slot_of(table, text, size);
    const int32_t number = table->count++;
    memcpy(table->bytes + table->bytes_used, text, size);
    table->bytes[table->bytes_used + size] = '\0';
    table->bytes_used += size + 1;
    table->start[number + 1] = table->bytes_used;
    *ret_new = table->slots[slot] == 0;
    if (*ret_new)
        table->slots[slot] = number + 1;
}

int32_t bt_token_table_find(const struct bt_token_table *table, const char *text, size_t size)
{
    return table->count ? table->slots[slot_of(table, text, size)] - 1 : BT_TOKEN_ABSENT;
}

const char *bt_token_table_at(const struct bt_token_table *table, int32_t number, size_t *ret_size)
{
    const size_t start = table->start[number];
    *ret_size = table->start[number + 1] - start - 1;
    return table->bytes + start;
}
