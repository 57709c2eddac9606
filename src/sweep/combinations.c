#include "sweep/combinations.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "config/text_buf.h"
#include "config/yaml_scalar.h"
#include "sweep/axes.h"

struct axes {
    struct bt_sweep_file *file;
    struct bt_sweep_axis *list;
    size_t count;
    struct bt_diag *diag;
};

const char *bt_sweep_node_text(struct bt_sweep_file *file, const struct bt_yaml_node *node)
{
    struct bt_text_buf out = {0};
    bt_yaml_write_node(&out, node);
    char *text = bt_text_take(&out);
    const char *copy = text ? bt_yaml_copy_text(&file->yaml, text, strlen(text)) : NULL;
    bt_free(text);
    return copy;
}

enum bt_err bt_sweep_axis_make(struct bt_sweep_file *file, size_t key_count, size_t count,
                               struct bt_sweep_axis *ret_axis, struct bt_diag *diag)
{
    struct bt_sweep_axis axis = {.key_count = key_count, .count = count};
    axis.keys = bt_yaml_alloc(&file->yaml, key_count * sizeof *axis.keys);
    axis.values = bt_yaml_alloc(&file->yaml, key_count * count * sizeof *axis.values);
    if (!axis.keys || !axis.values)
        return bt_fail_nomem(diag);
    for (size_t i = 0; i < key_count * count; i++)
        axis.values[i] = NULL;
    *ret_axis = axis;
    return BT_OK;
}

/* What a sweep decides itself: where its members lie, and who gets how many threads. */
static enum bt_err check_key(const struct bt_yaml_node *node, struct bt_diag *diag)
{
    static const char *const own[] = {"name", "output_dir", "compute", "compute.threads"};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (!strcmp(node->key, own[i]))
            return bt_fail(diag, BT_EUSAGE, "%s: %s is for the sweep to set, not for its members",
                           bt_yaml_key_place(node).text, node->key);
    return BT_OK;
}

static enum bt_err check_keys(const struct bt_yaml_node *mapping, struct bt_diag *diag)
{
    enum bt_err err = BT_OK;
    for (const struct bt_yaml_node *child = mapping ? mapping->first : NULL; child && !err; child = child->next)
        err = check_key(child, diag);
    return err;
}

static enum bt_err put(struct axes *axes, const char **value, const struct bt_yaml_node *node)
{
    *value = bt_sweep_node_text(axes->file, node);
    return *value ? BT_OK : bt_fail_nomem(axes->diag);
}

/* Each key of the grid is an axis of its own. */
static enum bt_err add_grid(struct axes *axes)
{
    enum bt_err err = BT_OK;
    const struct bt_yaml_node *key = axes->file->grid ? axes->file->grid->first : NULL;
    for (; key && !err; key = key->next) {
        struct bt_sweep_axis *axis = &axes->list[axes->count++];
        size_t i = 0;
        if (key->kind != BT_YAML_SEQUENCE || !key->count)
            return bt_fail(axes->diag, BT_EUSAGE, "%s: %s: found %s, expected a list of values",
                           bt_yaml_place(key).text, key->key, bt_yaml_describe(key).text);
        err = bt_sweep_axis_make(axes->file, 1, key->count, axis, axes->diag);
        if (!err)
            axis->keys[0] = key->key;
        for (const struct bt_yaml_node *item = key->first; item && !err; item = item->next)
            err = put(axes, &axis->values[i++], item);
    }
    return err;
}

static size_t find_key(const char *const *keys, size_t count, const char *key)
{
    size_t i = 0;
    while (i < count && strcmp(keys[i], key))
        i++;
    return i;
}

static size_t count_keys(const struct bt_yaml_node *list)
{
    size_t count = 0;
    for (const struct bt_yaml_node *item = list->first; item; item = item->next)
        count += item->count;
    return count;
}

/* One item of the list: row `row`; keys that no item before it had are added. */
static enum bt_err add_item(struct axes *axes, struct bt_sweep_axis *axis, size_t width, size_t row,
                            const struct bt_yaml_node *item)
{
    if (item->kind != BT_YAML_MAPPING)
        return bt_fail(axes->diag, BT_EUSAGE, "%s: found %s, expected a mapping of keys to values",
                       bt_yaml_place(item).text, bt_yaml_describe(item).text);
    enum bt_err err = check_keys(item, axes->diag);
    for (const struct bt_yaml_node *child = item->first; child && !err; child = child->next) {
        const size_t column = find_key(axis->keys, axis->key_count, child->key);
        if (column == axis->key_count)
            axis->keys[axis->key_count++] = child->key;
        err = put(axes, &axis->values[row * width + column], child);
    }
    return err;
}

static enum bt_err add_list(struct axes *axes)
{
    const struct bt_yaml_node *list = axes->file->list;
    struct bt_sweep_axis *axis = &axes->list[axes->count];
    size_t row = 0;
    if (!list)
        return BT_OK;
    const size_t width = count_keys(list); /* at most */
    enum bt_err err = bt_sweep_axis_make(axes->file, width, list->count, axis, axes->diag);
    if (err)
        return err;
    axes->count++;
    axis->key_count = 0;
    for (const struct bt_yaml_node *item = list->first; item && !err; item = item->next)
        err = add_item(axes, axis, width, row++, item);
    for (row = 0; row < axis->count; row++) /* rows as wide as there are keys */
        memmove(&axis->values[row * axis->key_count], &axis->values[row * width], axis->key_count * sizeof(char *));
    return err;
}

static enum bt_err add_seeds(struct axes *axes)
{
    static const char *const seed = "seed";
    const struct bt_yaml_node *seeds = axes->file->seeds;
    struct bt_sweep_axis *axis = &axes->list[axes->count];
    size_t i = 0;
    if (!seeds)
        return BT_OK;
    enum bt_err err = bt_sweep_axis_make(axes->file, 1, seeds->count, axis, axes->diag);
    if (err)
        return err;
    axes->count++;
    axis->keys[0] = seed;
    for (const struct bt_yaml_node *item = seeds->first; item && !err; item = item->next)
        err = put(axes, &axis->values[i++], item);
    return err;
}

/* No key may stand in two axes: one would overwrite the other. */
static enum bt_err check_axes(const struct axes *axes)
{
    for (size_t a = 0; a < axes->count; a++)
        for (size_t k = 0; k < axes->list[a].key_count; k++)
            for (size_t b = 0; b < a; b++)
                if (find_key(axes->list[b].keys, axes->list[b].key_count, axes->list[a].keys[k]) <
                    axes->list[b].key_count)
                    return bt_fail(axes->diag, BT_EUSAGE, "%s: %s varies in two places, expected one of them",
                                   axes->file->what, axes->list[a].keys[k]);
    return BT_OK;
}

static enum bt_err measure(const struct axes *axes, struct bt_combinations *c)
{
    c->key_count = 0;
    c->count = 1;
    for (size_t a = 0; a < axes->count; a++) {
        c->key_count += axes->list[a].key_count;
        c->count *= axes->list[a].count;
        if (c->count > BT_SWEEP_MEMBERS_MAX)
            return bt_fail(axes->diag, BT_EUSAGE, "%s: found more than %d members", axes->file->what,
                           BT_SWEEP_MEMBERS_MAX);
    }
    return BT_OK;
}

/* The product: member i is a number whose digits, one an axis, are rows. */
static void multiply(const struct axes *axes, struct bt_combinations *c)
{
    size_t column = 0, step = c->count;
    for (size_t a = 0; a < axes->count; a++) {
        const struct bt_sweep_axis *axis = &axes->list[a];
        step /= axis->count;
        for (size_t k = 0; k < axis->key_count; k++, column++) {
            c->keys[column] = axis->keys[k];
            for (size_t i = 0; i < c->count; i++)
                c->values[i * c->key_count + column] = axis->values[i / step % axis->count * axis->key_count + k];
        }
    }
}

static enum bt_err combine(struct axes *axes, struct bt_combinations *c)
{
    struct bt_sweep_file *file = axes->file;
    enum bt_err err;
    if ((err = check_keys(file->set, axes->diag)) || (err = check_keys(file->grid, axes->diag)) ||
        (err = check_keys(file->random.keys, axes->diag)) || (err = add_grid(axes)) || (err = add_list(axes)))
        return err;
    if (file->has_random && (err = bt_sweep_draw(file, &axes->list[axes->count++], axes->diag)))
        return err;
    if ((err = add_seeds(axes)) || (err = check_axes(axes)) || (err = measure(axes, c)))
        return err;
    c->keys = bt_yaml_alloc(&file->yaml, c->key_count * sizeof *c->keys);
    c->values = bt_yaml_alloc(&file->yaml, c->count * c->key_count * sizeof *c->values);
    if (!c->keys || !c->values)
        return bt_fail_nomem(axes->diag);
    multiply(axes, c);
    return BT_OK;
}

enum bt_err bt_combine(struct bt_sweep_file *file, struct bt_combinations *ret_combinations, struct bt_diag *diag)
{
    struct axes axes = {.file = file, .diag = diag};
    struct bt_combinations c = {0};
    axes.list = bt_zalloc((file->grid ? file->grid->count : 0) + 3, sizeof *axes.list);
    const enum bt_err err = axes.list ? combine(&axes, &c) : bt_fail_nomem(diag);
    bt_free(axes.list);
    if (!err)
        *ret_combinations = c;
    return err;
}
