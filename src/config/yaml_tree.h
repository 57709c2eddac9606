/* config/yaml_tree.h - YAML text as a tree of nodes that remember where they stood. It knows no key of any config.
 *
 * One document; anchors, aliases and merge keys (`<<`) are resolved while reading, into copies, so that no two places
 * of the tree share a node and each may be changed alone. Refused: duplicate keys, keys that are not plain text,
 * explicit tags, NUL bytes, trees deeper than BT_YAML_MAX_DEPTH or with more nodes than BT_YAML_MAX_NODES (aliases of
 * aliases grow exponentially). */
#ifndef BT_CONFIG_YAML_TREE_H
#define BT_CONFIG_YAML_TREE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

#define BT_YAML_MAX_DEPTH 64
#define BT_YAML_MAX_NODES 10000 /* finding a key is a walk: this bounds a hostile file to a fraction of a second */

enum bt_yaml_kind { BT_YAML_SCALAR, BT_YAML_SEQUENCE, BT_YAML_MAPPING };

struct bt_yaml_node {
    enum bt_yaml_kind kind;
    const char *origin;  /* what the text is called in errors: a file, or a whole `--set` argument */
    size_t line, column; /* counted from 1; line 0: the origin alone is the place */
    const char *text;    /* scalar: its text ... */
    bool plain;          /* ... written without quotes, so that it may be a number, a bool or null */
    const char *key;     /* child of a mapping: its key ... */
    size_t key_line, key_column;
    bool merge;                        /* ... which is a plain `<<` */
    struct bt_yaml_node *first, *last; /* sequence, mapping: the children, in order, linked by `next` */
    struct bt_yaml_node *next;
    size_t count;
};

struct bt_yaml { /* owns all nodes and texts; starts zeroed */
    struct bt_yaml_chunk *chunks;
    size_t node_count;
};
void bt_yaml_finish(struct bt_yaml *yaml); /* takes a zeroed one */

/* Adds the tree of one document to `yaml`; *ret_root is NULL when the text holds none. Several texts may go into one
 * bt_yaml. located: errors and nodes carry lines and columns. BT_EUSAGE when the text is not YAML as above. */
enum bt_err bt_yaml_parse(struct bt_yaml *yaml, const char *text, size_t size, const char *origin, bool located,
                          struct bt_yaml_node **ret_root, struct bt_diag *diag);

/* The child of a mapping, or NULL. */
struct bt_yaml_node *bt_yaml_find(const struct bt_yaml_node *mapping, const char *key);
/* A new node, not yet anywhere; NULL when memory is out. */
struct bt_yaml_node *bt_yaml_new(struct bt_yaml *yaml, enum bt_yaml_kind kind, const char *origin);
/* Memory that lives as long as the tree, and a text in it; NULL when memory is out. */
void *bt_yaml_alloc(struct bt_yaml *yaml, size_t size);
char *bt_yaml_copy_text(struct bt_yaml *yaml, const char *text, size_t length);
void bt_yaml_append(struct bt_yaml_node *parent, struct bt_yaml_node *child);
/* Turns `node` into what `value` is, keeping its place among its siblings and its key. */
void bt_yaml_replace(struct bt_yaml_node *node, const struct bt_yaml_node *value);

/* "run.yaml:12:5", or the origin alone: the place of a node, or of its key. */
struct bt_yaml_place {
    char text[320];
};
struct bt_yaml_place bt_yaml_place(const struct bt_yaml_node *node);
struct bt_yaml_place bt_yaml_key_place(const struct bt_yaml_node *node);

#endif
