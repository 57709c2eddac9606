/* text/word_table.h - strings of bytes with a count each, numbered from 0 as they come; grows with what it holds. */
#ifndef BT_TEXT_WORD_TABLE_H
#define BT_TEXT_WORD_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "text/buffer.h"

struct bt_word {
    uint64_t count;
    size_t start; /* of its bytes in the table's */
    uint32_t size, hash;
};

struct bt_word_table { /* zeroed: empty */
    struct bt_buffer bytes;
    struct bt_word *words;
    size_t count, capacity;
    uint32_t *slots; /* number + 1, or 0; open addressing, never more than half full */
    size_t slot_count;
};

void bt_word_table_finish(struct bt_word_table *table);
/* The entry of a word, a new one with a count of 0; it stays where it is until the next new one. NULL when memory is
 * out, and then the table is as it was; more than 2^32 - 2 words, or one of 2^32 bytes, are taken for that. */
struct bt_word *bt_word_table_enter(struct bt_word_table *table, const char *word, size_t size);
/* The entry of a word, or NULL. */
const struct bt_word *bt_word_table_find(const struct bt_word_table *table, const char *word, size_t size);
const char *bt_word_table_bytes(const struct bt_word_table *table, const struct bt_word *word);
/* Adds the counts of `more` to those of the table. False when memory is out: some are added then. */
bool bt_word_table_add(struct bt_word_table *table, const struct bt_word_table *more);

#endif
