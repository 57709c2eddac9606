/* Builds the tree from libyaml's events: bt_yaml_parse of yaml_tree.h. Open collections lie on a stack of fixed height,
 * so the depth of a file never becomes depth of calls. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <yaml.h>

#include "config/yaml_tree.h"

struct anchor {
    const char *name;
    const struct bt_yaml_node *node;
    struct anchor *older; /* an anchor may be set again: the newest counts */
};

struct frame {
    struct bt_yaml_node *node;
    const char *key; /* mapping: read, and waiting for its value */
    bool key_plain;
    size_t key_line, key_column;
};

struct builder {
    struct bt_yaml *yaml;
    const char *origin;
    bool located;
    struct bt_diag *diag;
    yaml_parser_t parser;
    struct anchor *anchors;
    struct frame stack[BT_YAML_MAX_DEPTH];
    size_t depth, documents;
    struct bt_yaml_node *root;
};

static struct bt_yaml_place mark_place(const struct builder *b, yaml_mark_t mark)
{
    const struct bt_yaml_node at = {
        .origin = b->origin, .line = b->located ? mark.line + 1 : 0, .column = mark.column + 1};
    return bt_yaml_place(&at);
}

static enum bt_err refuse(struct builder *b, yaml_mark_t mark, const char *why)
{
    return bt_fail(b->diag, BT_EUSAGE, "%s: %s", mark_place(b, mark).text, why);
}

/* libyaml's own words, with the place where it noticed. */
static enum bt_err syntax_error(struct builder *b)
{
    const yaml_parser_t *p = &b->parser;
    if (p->error == YAML_MEMORY_ERROR)
        return bt_fail_nomem(b->diag);
    if (p->error == YAML_READER_ERROR)
        return bt_fail(b->diag, BT_EUSAGE, "%.240s: byte %zu: this is not UTF-8 text: %s", b->origin, p->problem_offset,
                       p->problem);
    return bt_fail(b->diag, BT_EUSAGE, "%s: this is not valid YAML: %s%s%s", mark_place(b, p->problem_mark).text,
                   p->problem ? p->problem : "it cannot be read", p->context ? " " : "", p->context ? p->context : "");
}

static enum bt_err new_node(struct builder *b, enum bt_yaml_kind kind, yaml_mark_t mark, struct bt_yaml_node **ret_node)
{
    if (b->yaml->node_count >= BT_YAML_MAX_NODES)
        return bt_fail(b->diag, BT_EUSAGE, "%s: more than %d values, counting what aliases stand for",
                       mark_place(b, mark).text, BT_YAML_MAX_NODES);
    struct bt_yaml_node *node = bt_yaml_new(b->yaml, kind, b->origin);
    if (!node)
        return bt_fail_nomem(b->diag);
    if (b->located) {
        node->line = mark.line + 1;
        node->column = mark.column + 1;
    }
    *ret_node = node;
    return BT_OK;
}

static enum bt_err copy_text(struct builder *b, const void *text, size_t length, const char **ret_text)
{
    const char *copy = bt_yaml_copy_text(b->yaml, text, length);
    if (!copy)
        return bt_fail_nomem(b->diag);
    *ret_text = copy;
    return BT_OK;
}

static enum bt_err take_key(struct builder *b, struct frame *top, const struct bt_yaml_node *node, yaml_mark_t mark)
{
    if (node->kind != BT_YAML_SCALAR)
        return refuse(b, mark, "a key must be plain text, not a list or a mapping");
    const struct bt_yaml_node *twin = bt_yaml_find(top->node, node->text);
    if (twin && twin->key_line)
        return bt_fail(b->diag, BT_EUSAGE, "%s: duplicate key \"%.100s\", first given at line %zu, column %zu",
                       mark_place(b, mark).text, node->text, twin->key_line, twin->key_column);
    if (twin)
        return bt_fail(b->diag, BT_EUSAGE, "%s: duplicate key \"%.100s\"", mark_place(b, mark).text, node->text);
    top->key = node->text;
    top->key_plain = node->plain;
    top->key_line = node->line;
    top->key_column = node->column;
    return BT_OK;
}

/* Puts a new node where it belongs: the root, an item, a key, or the value of the key before it. */
static enum bt_err attach(struct builder *b, struct bt_yaml_node *node, yaml_mark_t mark)
{
    if (!b->depth) {
        b->root = node;
        return BT_OK;
    }
    struct frame *top = &b->stack[b->depth - 1];
    if (top->node->kind == BT_YAML_MAPPING) {
        if (!top->key)
            return take_key(b, top, node, mark);
        node->key = top->key;
        node->key_line = top->key_line;
        node->key_column = top->key_column;
        node->merge = top->key_plain && !strcmp(top->key, "<<");
        top->key = NULL;
    }
    bt_yaml_append(top->node, node);
    return BT_OK;
}

static enum bt_err add_anchor(struct builder *b, const yaml_char_t *name, const struct bt_yaml_node *node)
{
    if (!name)
        return BT_OK;
    struct anchor *anchor = bt_yaml_alloc(b->yaml, sizeof *anchor);
    if (!anchor)
        return bt_fail_nomem(b->diag);
    const enum bt_err err = copy_text(b, name, strlen((const char *)name), &anchor->name);
    if (err)
        return err;
    anchor->node = node;
    anchor->older = b->anchors;
    b->anchors = anchor;
    return BT_OK;
}

/* A deep copy: depth is that of the new node, so the recursion is as bounded as the tree. */
static enum bt_err copy_node(struct builder *b, const struct bt_yaml_node *from, size_t depth, yaml_mark_t mark,
                             struct bt_yaml_node **ret_node)
{
    struct bt_yaml_node *node, *child;
    enum bt_err err;
    if (depth >= BT_YAML_MAX_DEPTH)
        return refuse(b, mark, "aliases nest too deeply");
    if ((err = new_node(b, from->kind, mark, &node)))
        return err;
    *node = *from;
    node->next = node->first = node->last = NULL;
    node->count = 0;
    for (const struct bt_yaml_node *c = from->first; c; c = c->next) {
        if ((err = copy_node(b, c, depth + 1, mark, &child)))
            return err;
        bt_yaml_append(node, child);
    }
    *ret_node = node;
    return BT_OK;
}

static enum bt_err on_alias(struct builder *b, const yaml_event_t *event)
{
    const char *name = (const char *)event->data.alias.anchor;
    const struct anchor *anchor = b->anchors;
    struct bt_yaml_node *node;
    while (anchor && strcmp(anchor->name, name))
        anchor = anchor->older;
    if (!anchor)
        return bt_fail(b->diag, BT_EUSAGE, "%s: there is no anchor \"&%.100s\" before this alias",
                       mark_place(b, event->start_mark).text, name);
    for (size_t i = 0; i < b->depth; i++)
        if (b->stack[i].node == anchor->node)
            return bt_fail(b->diag, BT_EUSAGE, "%s: the alias \"*%.100s\" stands inside of what it names",
                           mark_place(b, event->start_mark).text, name);
    const enum bt_err err = copy_node(b, anchor->node, b->depth, event->start_mark, &node);
    if (err)
        return err;
    node->key = NULL;
    node->merge = false;
    return attach(b, node, event->start_mark);
}

static enum bt_err on_scalar(struct builder *b, const yaml_event_t *event)
{
    const void *text = event->data.scalar.value;
    const size_t length = event->data.scalar.length;
    struct bt_yaml_node *node;
    enum bt_err err;
    if (event->data.scalar.tag)
        return refuse(b, event->start_mark, "tags (!...) are not supported");
    if (memchr(text, 0, length))
        return refuse(b, event->start_mark, "a NUL byte cannot be part of a text");
    if ((err = new_node(b, BT_YAML_SCALAR, event->start_mark, &node)) ||
        (err = copy_text(b, text, length, &node->text)) || (err = add_anchor(b, event->data.scalar.anchor, node)))
        return err;
    node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    return attach(b, node, event->start_mark);
}

static enum bt_err on_start(struct builder *b, enum bt_yaml_kind kind, yaml_mark_t mark, const yaml_char_t *anchor,
                            const yaml_char_t *tag)
{
    struct bt_yaml_node *node;
    enum bt_err err;
    if (tag)
        return refuse(b, mark, "tags (!...) are not supported");
    if (b->depth == BT_YAML_MAX_DEPTH)
        return refuse(b, mark, "lists and mappings nest too deeply");
    if ((err = new_node(b, kind, mark, &node)) || (err = add_anchor(b, anchor, node)) || (err = attach(b, node, mark)))
        return err;
    b->stack[b->depth++] = (struct frame){.node = node};
    return BT_OK;
}

/* Moves into `mapping` what it does not have itself. `from` is a copy of its own, so its children are free to move. */
static void merge_missing(struct bt_yaml_node *mapping, struct bt_yaml_node *from)
{
    struct bt_yaml_node *next;
    for (struct bt_yaml_node *child = from->first; child; child = next) {
        next = child->next;
        if (!bt_yaml_find(mapping, child->key))
            bt_yaml_append(mapping, child);
    }
}

static struct bt_yaml_node *take_merge_key(struct bt_yaml_node *mapping)
{
    struct bt_yaml_node *before = NULL, *node = mapping->first;
    for (; node && !node->merge; node = node->next)
        before = node;
    if (!node)
        return NULL;
    if (before)
        before->next = node->next;
    else
        mapping->first = node->next;
    if (mapping->last == node)
        mapping->last = before;
    mapping->count--;
    return node;
}

/* `<<: *base` or `<<: [*a, *b]`: the mapping's own keys win, then those of earlier bases. */
static enum bt_err resolve_merge(struct builder *b, struct bt_yaml_node *mapping)
{
    struct bt_yaml_node *value = take_merge_key(mapping), *next;
    if (!value)
        return BT_OK;
    if (value->kind == BT_YAML_MAPPING) {
        merge_missing(mapping, value);
        return BT_OK;
    }
    for (struct bt_yaml_node *item = value->first; item; item = next) {
        next = item->next;
        if (item->kind != BT_YAML_MAPPING)
            return bt_fail(b->diag, BT_EUSAGE, "%s: \"<<\" takes mappings only", bt_yaml_place(item).text);
        merge_missing(mapping, item);
    }
    if (value->kind == BT_YAML_SCALAR)
        return bt_fail(b->diag, BT_EUSAGE, "%s: \"<<\" takes a mapping or a list of mappings",
                       bt_yaml_place(value).text);
    return BT_OK;
}

static enum bt_err on_end(struct builder *b)
{
    struct bt_yaml_node *node = b->stack[--b->depth].node;
    return node->kind == BT_YAML_MAPPING ? resolve_merge(b, node) : BT_OK;
}

static enum bt_err on_event(struct builder *b, const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        return b->documents++ ? refuse(b, event->start_mark, "a second document starts here, expected only one")
                              : BT_OK;
    case YAML_ALIAS_EVENT:
        return on_alias(b, event);
    case YAML_SCALAR_EVENT:
        return on_scalar(b, event);
    case YAML_SEQUENCE_START_EVENT:
        return on_start(b, BT_YAML_SEQUENCE, event->start_mark, event->data.sequence_start.anchor,
                        event->data.sequence_start.tag);
    case YAML_MAPPING_START_EVENT:
        return on_start(b, BT_YAML_MAPPING, event->start_mark, event->data.mapping_start.anchor,
                        event->data.mapping_start.tag);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        return on_end(b);
    default: /* stream start and end, document end */
        return BT_OK;
    }
}

static enum bt_err read_events(struct builder *b)
{
    for (bool more = true; more;) {
        yaml_event_t event;
        if (!yaml_parser_parse(&b->parser, &event))
            return syntax_error(b);
        more = event.type != YAML_STREAM_END_EVENT;
        const enum bt_err err = on_event(b, &event);
        yaml_event_delete(&event);
        if (err)
            return err;
    }
    return BT_OK;
}

enum bt_err bt_yaml_parse(struct bt_yaml *yaml, const char *text, size_t size, const char *origin, bool located,
                          struct bt_yaml_node **ret_root, struct bt_diag *diag)
{
    struct builder b = {.yaml = yaml, .located = located, .diag = diag, .origin = origin};
    enum bt_err err = copy_text(&b, origin, strlen(origin), &b.origin);
    if (err)
        return err;
    if (!yaml_parser_initialize(&b.parser))
        return bt_fail_nomem(diag);
    yaml_parser_set_input_string(&b.parser, (const unsigned char *)text, size);
    err = read_events(&b);
    yaml_parser_delete(&b.parser);
    if (!err)
        *ret_root = b.root;
    return err;
}
