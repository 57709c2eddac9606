#include "config/yaml_tree.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

#define CHUNK_SIZE ((size_t)16384)

struct bt_yaml_chunk {
    struct bt_yaml_chunk *next;
    size_t used, size;
    _Alignas(max_align_t) unsigned char data[];
};

void bt_yaml_finish(struct bt_yaml *yaml)
{
    while (yaml->chunks) {
        struct bt_yaml_chunk *next = yaml->chunks->next;
        bt_free(yaml->chunks);
        yaml->chunks = next;
    }
    yaml->node_count = 0;
}

void *bt_yaml_alloc(struct bt_yaml *yaml, size_t size)
{
    struct bt_yaml_chunk *chunk = yaml->chunks;
    size = (size + _Alignof(max_align_t) - 1) / _Alignof(max_align_t) * _Alignof(max_align_t);
    if (!chunk || size > chunk->size - chunk->used) {
        const size_t room = size > CHUNK_SIZE ? size : CHUNK_SIZE;
        chunk = bt_alloc(offsetof(struct bt_yaml_chunk, data) + room);
        if (!chunk)
            return NULL;
        *chunk = (struct bt_yaml_chunk){.next = yaml->chunks, .size = room};
        yaml->chunks = chunk;
    }
    void *p = chunk->data + chunk->used;
    chunk->used += size;
    return p;
}

char *bt_yaml_copy_text(struct bt_yaml *yaml, const char *text, size_t length)
{
    char *copy = bt_yaml_alloc(yaml, length + 1);
    if (!copy)
        return NULL;
    memcpy(copy, text, length);
    copy[length] = 0;
    return copy;
}

struct bt_yaml_node *bt_yaml_new(struct bt_yaml *yaml, enum bt_yaml_kind kind, const char *origin)
{
    struct bt_yaml_node *node = bt_yaml_alloc(yaml, sizeof *node);
    if (!node)
        return NULL;
    *node = (struct bt_yaml_node){.kind = kind, .origin = origin, .text = "", .plain = true};
    yaml->node_count++;
    return node;
}

void bt_yaml_append(struct bt_yaml_node *parent, struct bt_yaml_node *child)
{
    child->next = NULL;
    if (parent->last)
        parent->last->next = child;
    else
        parent->first = child;
    parent->last = child;
    parent->count++;
}

struct bt_yaml_node *bt_yaml_find(const struct bt_yaml_node *mapping, const char *key)
{
    struct bt_yaml_node *child = mapping->first;
    while (child && (!child->key || strcmp(child->key, key)))
        child = child->next;
    return child;
}

void bt_yaml_replace(struct bt_yaml_node *node, const struct bt_yaml_node *value)
{
    const struct bt_yaml_node old = *node;
    *node = *value;
    node->next = old.next;
    node->key = old.key;
}

static struct bt_yaml_place place(const char *origin, size_t line, size_t column)
{
    struct bt_yaml_place p;
    if (line)
        snprintf(p.text, sizeof p.text, "%.240s:%zu:%zu", origin, line, column);
    else
        snprintf(p.text, sizeof p.text, "%.240s%s", origin, strlen(origin) > 240 ? "..." : "");
    return p;
}

struct bt_yaml_place bt_yaml_place(const struct bt_yaml_node *node)
{
    return place(node->origin, node->line, node->column);
}

struct bt_yaml_place bt_yaml_key_place(const struct bt_yaml_node *node)
{
    if (!node->key)
        return bt_yaml_place(node);
    return place(node->origin, node->key_line, node->key_column);
}
