#include "config/overrides.h"

#include <stdlib.h>
#include <string.h>

#include "config/yaml_scalar.h"

struct override {
    struct bt_yaml *yaml;
    const char *origin; /* "--set a.b=c" */
    struct bt_diag *diag;
};

static struct bt_yaml_place place(const struct override *o)
{
    const struct bt_yaml_node at = {.origin = o->origin};
    return bt_yaml_place(&at);
}

static struct bt_yaml_node *item_at(const struct bt_yaml_node *list, const char *name)
{
    char *end;
    if (*name < '0' || *name > '9')
        return NULL;
    unsigned long index = strtoul(name, &end, 10);
    struct bt_yaml_node *item = *end ? NULL : list->first;
    while (item && index--)
        item = item->next;
    return item;
}

/* The node of that name under `parent`, made where a mapping lacks it. */
static enum bt_err step(const struct override *o, struct bt_yaml_node *parent, const char *name,
                        struct bt_yaml_node **ret_node)
{
    struct bt_yaml_node *node;
    if (!*name)
        return bt_fail(o->diag, BT_EUSAGE, "%s: the path has an empty part", place(o).text);
    if (bt_yaml_is_null(parent)) { /* a section that was left empty */
        const struct bt_yaml_node empty = {.kind = BT_YAML_MAPPING, .origin = o->origin, .text = ""};
        bt_yaml_replace(parent, &empty);
    }
    if (parent->kind == BT_YAML_SCALAR)
        return bt_fail(o->diag, BT_EUSAGE, "%s: there is no \"%.60s\" in %s", place(o).text, name,
                       bt_yaml_describe(parent).text);
    if (parent->kind == BT_YAML_SEQUENCE) {
        node = item_at(parent, name);
        if (!node)
            return bt_fail(o->diag, BT_EUSAGE, "%s: \"%.60s\" is not one of the %zu items of the list, counted from 0",
                           place(o).text, name, parent->count);
    } else if (!(node = bt_yaml_find(parent, name))) {
        if (!(node = bt_yaml_new(o->yaml, BT_YAML_SCALAR, o->origin)))
            return bt_fail_nomem(o->diag);
        node->key = name;
        bt_yaml_append(parent, node);
    }
    *ret_node = node;
    return BT_OK;
}

enum bt_err bt_override(struct bt_yaml *yaml, struct bt_yaml_node *root, const char *assignment, struct bt_diag *diag)
{
    struct override o = {.yaml = yaml, .origin = "--set", .diag = diag};
    struct bt_yaml_node *node = root, *value;
    const char *equals = strchr(assignment, '=');
    char *origin = bt_yaml_alloc(yaml, strlen(assignment) + sizeof "--set ");
    enum bt_err err;
    if (!origin)
        return bt_fail_nomem(diag);
    o.origin = strcat(strcpy(origin, "--set "), assignment);
    if (!equals || equals == assignment)
        return bt_fail(diag, BT_EUSAGE, "%s: expected key.path=value", place(&o).text);
    char *path = bt_yaml_copy_text(yaml, assignment, (size_t)(equals - assignment));
    if (!path)
        return bt_fail_nomem(diag);
    if ((err = bt_yaml_parse(yaml, equals + 1, strlen(equals + 1), o.origin, false, &value, diag)))
        return err;
    for (char *next; path; path = next) {
        if ((next = strchr(path, '.')))
            *next++ = 0;
        if ((err = step(&o, node, path, &node)))
            return err;
    }
    if (!value && !(value = bt_yaml_new(yaml, BT_YAML_SCALAR, o.origin)))
        return bt_fail_nomem(diag);
    bt_yaml_replace(node, value);
    return BT_OK;
}
