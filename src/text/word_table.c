#include "text/word_table.h"

#include <string.h>

#include <xxhash.h>

#include "base/mem.h"

void bt_word_table_finish(struct bt_word_table *table)
{
    bt_buffer_finish(&table->bytes);
    bt_free(table->words);
    bt_free(table->slots);
    *table = (struct bt_word_table){0};
}

const char *bt_word_table_bytes(const struct bt_word_table *table, const struct bt_word *word)
{
    return table->bytes.at + word->start;
}

/* The slot of a word, or the free one where it belongs. */
static uint32_t *slot_of(const struct bt_word_table *table, const char *word, size_t size, uint32_t hash)
{
    const size_t mask = table->slot_count - 1;
    size_t i = hash & mask;
    for (; table->slots[i]; i = (i + 1) & mask) {
        const struct bt_word *there = &table->words[table->slots[i] - 1];
        if (there->hash == hash && there->size == size && !memcmp(bt_word_table_bytes(table, there), word, size))
            break;
    }
    return &table->slots[i];
}

static uint32_t hash_of(const char *word, size_t size)
{
    return (uint32_t)XXH3_64bits(word, size);
}

const struct bt_word *bt_word_table_find(const struct bt_word_table *table, const char *word, size_t size)
{
    const uint32_t number = table->count ? *slot_of(table, word, size, hash_of(word, size)) : 0;
    return number ? &table->words[number - 1] : NULL;
}

static bool grow_slots(struct bt_word_table *table)
{
    const size_t wider = table->slot_count ? 2 * table->slot_count : 64;
    uint32_t *slots = bt_zalloc(wider, sizeof *slots);
    if (!slots)
        return false;
    for (size_t i = 0; i < table->count; i++) { /* all of them differ */
        size_t at = table->words[i].hash & (wider - 1);
        while (slots[at])
            at = (at + 1) & (wider - 1);
        slots[at] = (uint32_t)i + 1;
    }
    bt_free(table->slots);
    table->slots = slots;
    table->slot_count = wider;
    return true;
}

static bool grow_words(struct bt_word_table *table)
{
    const size_t capacity = table->capacity + table->capacity / 2 + 32;
    struct bt_word *larger = bt_realloc(table->words, capacity, sizeof *larger);
    if (!larger)
        return false;
    table->words = larger;
    table->capacity = capacity;
    return true;
}

/* Room for one more. */
static bool reserve(struct bt_word_table *table)
{
    if (2 * (table->count + 1) > table->slot_count && !grow_slots(table))
        return false;
    return table->count < table->capacity || grow_words(table);
}

struct bt_word *bt_word_table_enter(struct bt_word_table *table, const char *word, size_t size)
{
    const uint32_t hash = hash_of(word, size);
    if (size >= UINT32_MAX || table->count >= UINT32_MAX - 1 || !reserve(table))
        return NULL;
    uint32_t *slot = slot_of(table, word, size, hash);
    if (*slot)
        return &table->words[*slot - 1];
    const size_t start = table->bytes.size;
    if (!bt_buffer_put(&table->bytes, word, size))
        return NULL;
    table->words[table->count] = (struct bt_word){.start = start, .size = (uint32_t)size, .hash = hash};
    *slot = (uint32_t)++table->count;
    return &table->words[table->count - 1];
}

bool bt_word_table_add(struct bt_word_table *table, const struct bt_word_table *more)
{
    for (size_t i = 0; i < more->count; i++) {
        const struct bt_word *from = &more->words[i];
        struct bt_word *to = bt_word_table_enter(table, bt_word_table_bytes(more, from), from->size);
        if (!to)
            return false;
        to->count += from->count;
    }
    return true;
}
