/* From a YAML tree to a struct bt_train_config, by the key table: bt_keys_read and bt_keys_free of key_table.h. */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "config/expand_env.h"
#include "config/key_table.h"
#include "config/nearest.h"
#include "config/yaml_scalar.h"

struct reader {
    const struct bt_yaml_node *root;
    const char *what;
    bool expand;
    struct bt_yaml defaults; /* trees of the table's own values */
    struct bt_diag *diag;
};

static_assert(sizeof(enum bt_cfg_curve) == sizeof(unsigned), "enums are read and written as unsigned");

static void *at(void *base, size_t offset)
{
    return (char *)base + offset;
}

static enum bt_err wrong(struct reader *r, const struct bt_yaml_node *node, const struct bt_key_path *path,
                         const char *expected)
{
    return bt_fail(r->diag, BT_EUSAGE, "%s: %s: found %s, expected %s", bt_yaml_place(node).text,
                   bt_key_path_name(path).text, bt_yaml_describe(node).text, expected);
}

static enum bt_err not_yet(struct reader *r, const struct bt_yaml_node *node, const struct bt_key_path *path)
{
    return bt_fail(r->diag, BT_EUSAGE, "%s: %s: %s is not supported yet", bt_yaml_place(node).text,
                   bt_key_path_name(path).text, bt_yaml_describe(node).text);
}

static bool is_scalar(const struct bt_yaml_node *node, enum bt_scalar_type type)
{
    return node->kind == BT_YAML_SCALAR && bt_scalar_type(node) == type;
}

/* ---- numbers and bools ---- */

static enum bt_err read_int(struct reader *r, const struct bt_key *key, void *out, const struct bt_yaml_node *node,
                            const struct bt_key_path *path)
{
    char expected[96];
    snprintf(expected, sizeof expected, "an integer from %" PRId64 " to %" PRId64, key->min, key->max);
    if (!is_scalar(node, BT_SCALAR_INTEGER))
        return wrong(r, node, path, expected);
    errno = 0;
    const long long value = strtoll(node->text, NULL, 10);
    if (errno || value < key->min || value > key->max)
        return wrong(r, node, path, expected);
    if (key->flags & BT_KEY_OFF_ONLY && value)
        return not_yet(r, node, path);
    *(int64_t *)out = value;
    return BT_OK;
}

static enum bt_err read_seed(struct reader *r, void *out, const struct bt_yaml_node *node,
                             const struct bt_key_path *path)
{
    static const char expected[] = "an integer from 0 to 18446744073709551615";
    if (!is_scalar(node, BT_SCALAR_INTEGER) || *node->text == '-')
        return wrong(r, node, path, expected);
    errno = 0;
    const unsigned long long value = strtoull(node->text, NULL, 10);
    if (errno)
        return wrong(r, node, path, expected);
    *(uint64_t *)out = value;
    return BT_OK;
}

/* "a number above 0 and at most 1" */
static void describe_bounds(const struct bt_key *key, char *out, size_t size)
{
    const char *low = key->flags & BT_KEY_ABOVE_LOW ? "above" : "of at least";
    const char *high = key->flags & BT_KEY_BELOW_HIGH ? "below" : "at most";
    if (key->high >= BT_KEY_REAL_MAX)
        snprintf(out, size, "a number %s %g", low, key->low);
    else
        snprintf(out, size, "a number %s %g and %s %g", low, key->low, high, key->high);
}

static enum bt_err read_real(struct reader *r, const struct bt_key *key, double *out, const struct bt_yaml_node *node,
                             const struct bt_key_path *path)
{
    char expected[96];
    describe_bounds(key, expected, sizeof expected);
    if (!is_scalar(node, BT_SCALAR_INTEGER) && !is_scalar(node, BT_SCALAR_REAL))
        return wrong(r, node, path, expected);
    const double value = strtod(node->text, NULL); /* infinite when it is too large */
    const bool low = key->flags & BT_KEY_ABOVE_LOW ? value > key->low : value >= key->low;
    const bool high = key->flags & BT_KEY_BELOW_HIGH ? value < key->high : value <= key->high;
    if (!low || !high)
        return wrong(r, node, path, expected);
    *out = value;
    return BT_OK;
}

static enum bt_err read_real_pair(struct reader *r, const struct bt_key *key, double *out,
                                  const struct bt_yaml_node *node, const struct bt_key_path *path)
{
    if (node->kind != BT_YAML_SEQUENCE || node->count != 2)
        return wrong(r, node, path, "a list of two numbers");
    const struct bt_yaml_node *item = node->first;
    for (size_t i = 0; i < 2; i++, item = item->next) {
        const struct bt_key_path item_path = {path, NULL, i};
        const enum bt_err err = read_real(r, key, &out[i], item, &item_path);
        if (err)
            return err;
    }
    return BT_OK;
}

static enum bt_err read_bool(struct reader *r, const struct bt_key *key, bool *out, const struct bt_yaml_node *node,
                             const struct bt_key_path *path)
{
    if (!is_scalar(node, BT_SCALAR_BOOL))
        return wrong(r, node, path, "true or false");
    const bool value = !strcmp(node->text, "true");
    if (key->flags & BT_KEY_OFF_ONLY && value)
        return not_yet(r, node, path);
    *out = value;
    return BT_OK;
}

/* ---- one of several names ---- */

static void list_names(const struct bt_key *key, char *out, size_t size)
{
    size_t used = (size_t)snprintf(out, size, "one of ");
    const char *comma = "";
    for (size_t i = 0; key->names[i] && used < size; i++) {
        if (key->unbuilt >> i & 1)
            continue;
        used += (size_t)snprintf(out + used, size - used, "%s%s", comma, key->names[i]);
        comma = ", ";
    }
}

static enum bt_err read_name(struct reader *r, const struct bt_key *key, unsigned *out, const struct bt_yaml_node *node,
                             const struct bt_key_path *path)
{
    char expected[128];
    unsigned i = 0;
    list_names(key, expected, sizeof expected);
    if (!is_scalar(node, BT_SCALAR_STRING))
        return wrong(r, node, path, expected);
    while (key->names[i] && strcmp(key->names[i], node->text))
        i++;
    if (!key->names[i])
        return wrong(r, node, path, expected);
    if (key->unbuilt >> i & 1)
        return not_yet(r, node, path);
    *out = i;
    return BT_OK;
}

static enum bt_err read_stages(struct reader *r, const struct bt_key *key, void *base, const struct bt_yaml_node *node,
                               const struct bt_key_path *path)
{
    enum bt_stage_id *stages = at(base, key->offset);
    size_t count = 0;
    if (node->kind != BT_YAML_SEQUENCE || !node->first)
        return wrong(r, node, path, "a list of at least one stage");
    for (const struct bt_yaml_node *item = node->first; item; item = item->next) {
        const struct bt_key_path item_path = {path, NULL, count};
        unsigned stage;
        const enum bt_err err = read_name(r, key, &stage, item, &item_path);
        if (err)
            return err;
        /* Rising order also means that none comes twice, so there is room for all. */
        if (count && stage <= (unsigned)stages[count - 1])
            return bt_fail(r->diag, BT_EUSAGE,
                           "%s: %s: \"%s\" cannot come after \"%s\"; the order of stages is stage0, "
                           "stage1, stage1_9, stage2, stage3, each at most once",
                           bt_yaml_place(item).text, bt_key_path_name(&item_path).text, item->text,
                           bt_stage_name(stages[count - 1]));
        stages[count++] = (enum bt_stage_id)stage;
    }
    *(size_t *)at(base, key->count_offset) = count;
    return BT_OK;
}

/* ---- strings ---- */

static enum bt_err expand(struct reader *r, const struct bt_yaml_node *node, const struct bt_key_path *path,
                          char **ret_text)
{
    struct bt_diag why;
    const enum bt_err err = bt_expand_env(node->text, ret_text, &why);
    if (err == BT_EUSAGE)
        return bt_fail(r->diag, err, "%s: %s: %s", bt_yaml_place(node).text, bt_key_path_name(path).text, why.text);
    return err ? bt_fail_nomem(r->diag) : BT_OK;
}

/* Replaces *out, which may be NULL. */
static enum bt_err read_string(struct reader *r, char **out, const struct bt_yaml_node *node,
                               const struct bt_key_path *path)
{
    char *text;
    if (node->kind != BT_YAML_SCALAR)
        return wrong(r, node, path, "a string");
    if (bt_scalar_type(node) != BT_SCALAR_STRING)
        return wrong(r, node, path, "a string (put it in quotes if it is one)");
    if (r->expand) {
        const enum bt_err err = expand(r, node, path, &text);
        if (err)
            return err;
    } else if (!(text = bt_strdup(node->text))) {
        return bt_fail_nomem(r->diag);
    }
    if (!*text) {
        bt_free(text);
        return bt_fail(r->diag, BT_EUSAGE, "%s: %s: found an empty string", bt_yaml_place(node).text,
                       bt_key_path_name(path).text);
    }
    bt_free(*out);
    *out = text;
    return BT_OK;
}

/* ---- lists: freed and allocated anew, so that a half-read one is whole enough to free ---- */

static void free_list(const struct bt_key *key, void *base)
{
    void **items = at(base, key->offset);
    size_t *count = at(base, key->count_offset);
    for (size_t i = 0; i < *count; i++) {
        if (key->type == BT_KEY_LIST)
            bt_keys_free(key->keys, at(*items, i * key->item_size));
        else
            bt_free(((char **)*items)[i]);
    }
    bt_free(*items);
    *items = NULL;
    *count = 0;
}

static enum bt_err read_section(struct reader *r, const struct bt_key *keys, void *base,
                                const struct bt_yaml_node *node, const struct bt_key_path *path, bool overlay);

static enum bt_err read_list(struct reader *r, const struct bt_key *key, void *base, const struct bt_yaml_node *node,
                             const struct bt_key_path *path)
{
    const size_t size = key->type == BT_KEY_LIST ? key->item_size : sizeof(char *);
    void **items = at(base, key->offset);
    size_t i = 0;
    if (node->kind != BT_YAML_SEQUENCE)
        return wrong(r, node, path, "a list");
    free_list(key, base);
    if (!node->count)
        return BT_OK;
    if (!(*items = bt_zalloc(node->count, size)))
        return bt_fail_nomem(r->diag);
    *(size_t *)at(base, key->count_offset) = node->count;
    for (const struct bt_yaml_node *item = node->first; item; item = item->next, i++) {
        const struct bt_key_path item_path = {path, NULL, i};
        void *out = at(*items, i * size);
        const enum bt_err err = key->type == BT_KEY_LIST ? read_section(r, key->keys, out, item, &item_path, false)
                                                         : read_string(r, out, item, &item_path);
        if (err)
            return err;
    }
    return BT_OK;
}

/* ---- what may be one thing or another ---- */

static enum bt_err read_weight(struct reader *r, const struct bt_key *key, struct bt_cfg_term_weight *out,
                               const struct bt_yaml_node *node, const struct bt_key_path *path)
{
    if (node->kind == BT_YAML_SCALAR) {
        out->kind = BT_WEIGHT_CONSTANT;
        return read_real(r, key, &out->constant, node, path);
    }
    if (node->kind != BT_YAML_MAPPING)
        return wrong(r, node, path, "a number, {initial, final, type, warmup_steps} or {balance, at}");
    const bool balance = bt_yaml_find(node, "balance") || bt_yaml_find(node, "at");
    out->kind = balance ? BT_WEIGHT_BALANCE : BT_WEIGHT_SCHEDULE;
    return read_section(r, balance ? bt_weight_balance_keys : bt_weight_schedule_keys, out, node, path, false);
}

static enum bt_err read_reals(struct reader *r, const struct bt_key *key, struct bt_cfg_name_or_list *out,
                              const struct bt_yaml_node *node, const struct bt_key_path *path)
{
    double *list = bt_zalloc(node->count, sizeof *list);
    const struct bt_yaml_node *item = node->first;
    enum bt_err err = list ? BT_OK : bt_fail_nomem(r->diag);
    for (size_t i = 0; !err && item; item = item->next, i++) {
        const struct bt_key_path item_path = {path, NULL, i};
        err = read_real(r, key, &list[i], item, &item_path);
    }
    bt_free(err ? list : out->list);
    if (!err) {
        out->list = list;
        out->count = node->count;
    }
    return err;
}

static enum bt_err read_name_or_reals(struct reader *r, const struct bt_key *key, struct bt_cfg_name_or_list *out,
                                      const struct bt_yaml_node *node, const struct bt_key_path *path)
{
    char names[128], expected[160];
    if (node->kind == BT_YAML_SCALAR && bt_scalar_type(node) == BT_SCALAR_STRING)
        return read_name(r, key, &out->name, node, path);
    list_names(key, names, sizeof names);
    snprintf(expected, sizeof expected, "%s or a list of numbers", names);
    if (node->kind != BT_YAML_SEQUENCE || !node->count)
        return wrong(r, node, path, expected);
    for (out->name = 0; key->names[out->name];)
        out->name++;
    return read_reals(r, key, out, node, path);
}

/* ---- sections ---- */

static enum bt_err unknown_key(struct reader *r, const struct bt_key *keys, const struct bt_yaml_node *node,
                               const struct bt_key_path *path)
{
    const struct bt_key_path wanted = {path, node->key, 0};
    const struct bt_key *nearest = keys;
    char known[512] = "";
    size_t used = 0;
    for (const struct bt_key *key = keys; key->name; key++) {
        if (bt_edit_distance(node->key, key->name) < bt_edit_distance(node->key, nearest->name))
            nearest = key;
        if (used < sizeof known)
            used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", used ? ", " : "", key->name);
    }
    if (bt_is_near(node->key, nearest->name))
        return bt_fail(r->diag, BT_EUSAGE, "%s: unknown key \"%s\"; did you mean \"%s\"?", bt_yaml_key_place(node).text,
                       bt_key_path_name(&wanted).text, nearest->name);
    return bt_fail(r->diag, BT_EUSAGE, "%s: unknown key \"%s\"; the keys here are: %s", bt_yaml_key_place(node).text,
                   bt_key_path_name(&wanted).text, known);
}

static const struct bt_key *find_key(const struct bt_key *keys, const char *name)
{
    while (keys->name && strcmp(keys->name, name))
        keys++;
    return keys->name ? keys : NULL;
}

static enum bt_err read_value(struct reader *r, const struct bt_key *key, void *base, const struct bt_yaml_node *node,
                              const struct bt_key_path *path)
{
    void *out = at(base, key->offset);
    switch (key->type) {
    case BT_KEY_LIST:
    case BT_KEY_STRINGS:
        return read_list(r, key, base, node, path);
    case BT_KEY_STRING:
        return read_string(r, out, node, path);
    case BT_KEY_INT:
        return read_int(r, key, out, node, path);
    case BT_KEY_SEED:
        return read_seed(r, out, node, path);
    case BT_KEY_REAL:
        return read_real(r, key, out, node, path);
    case BT_KEY_REAL_PAIR:
        return read_real_pair(r, key, out, node, path);
    case BT_KEY_BOOL:
        return read_bool(r, key, out, node, path);
    case BT_KEY_ENUM:
        return read_name(r, key, out, node, path);
    case BT_KEY_STAGES:
        return read_stages(r, key, base, node, path);
    case BT_KEY_WEIGHT:
        return read_weight(r, key, out, node, path);
    case BT_KEY_NAME_OR_REALS:
        return read_name_or_reals(r, key, out, node, path);
    case BT_KEY_NODE:
        *(const struct bt_yaml_node **)out = node;
        return BT_OK;
    case BT_KEY_SECTION:
        break;
    }
    assert(!"sections are read by read_subsection");
    return BT_OK;
}

static enum bt_err read_subsection(struct reader *r, const struct bt_key *key, void *base,
                                   const struct bt_yaml_node *node, const struct bt_key_path *path, bool overlay)
{
    void *section = at(base, key->offset);
    if (key->flags & BT_KEY_NULLABLE && !overlay)
        *(bool *)at(base, key->present_offset) = node;
    if (key->flags & BT_KEY_OVERLAY && node) {
        const struct bt_yaml_node *under = bt_yaml_find(r->root, key->name);
        const struct bt_key_path under_path = {NULL, key->name, 0};
        const enum bt_err err =
            read_section(r, key->keys, section, under && !bt_yaml_is_null(under) ? under : NULL, &under_path, false);
        if (err)
            return err;
        overlay = true;
    }
    return read_section(r, key->keys, section, node, path, overlay);
}

/* What a key holds that is not given: its default, its own kind of null, or an error. */
static enum bt_err read_absent(struct reader *r, const struct bt_key *key, void *base,
                               const struct bt_yaml_node *section, const struct bt_key_path *path)
{
    struct bt_yaml_node *node;
    if (key->value) {
        const enum bt_err err =
            bt_yaml_parse(&r->defaults, key->value, strlen(key->value), "default", false, &node, r->diag);
        return err ? err : read_value(r, key, base, node, path);
    }
    if (key->flags & BT_KEY_REQUIRED)
        return bt_fail(r->diag, BT_EUSAGE, "%s: missing required key \"%s\"",
                       path->up ? bt_yaml_place(section).text : r->what, bt_key_path_name(path).text);
    if (key->type == BT_KEY_INT)
        *(int64_t *)at(base, key->offset) = key->null_value;
    return BT_OK;
}

/* node: the section's mapping, or NULL when it is not given. overlay: keys that are not given keep what they hold. */
static enum bt_err read_section(struct reader *r, const struct bt_key *keys, void *base,
                                const struct bt_yaml_node *node, const struct bt_key_path *path, bool overlay)
{
    enum bt_err err = BT_OK;
    if (node && node->kind != BT_YAML_MAPPING)
        return wrong(r, node, path, "a mapping");
    for (const struct bt_yaml_node *child = node ? node->first : NULL; child; child = child->next)
        if (!find_key(keys, child->key))
            return unknown_key(r, keys, child, path);
    for (const struct bt_key *key = keys; key->name && !err; key++) {
        const struct bt_key_path key_path = {path, key->name, 0};
        const struct bt_yaml_node *child = node ? bt_yaml_find(node, key->name) : NULL;
        if (child && bt_yaml_is_null(child))
            child = NULL;
        if (!child && overlay)
            continue;
        if (key->type == BT_KEY_SECTION)
            err = read_subsection(r, key, base, child, &key_path, overlay);
        else
            err = child ? read_value(r, key, base, child, &key_path) : read_absent(r, key, base, node, &key_path);
    }
    return err;
}

enum bt_err bt_keys_read(const struct bt_yaml_node *root, const char *what, bool expand_env,
                         struct bt_train_config *config, struct bt_diag *diag)
{
    struct reader r = {.root = root, .what = what, .expand = expand_env, .diag = diag};
    const enum bt_err err = read_section(&r, bt_config_keys, config, root, NULL, false);
    bt_yaml_finish(&r.defaults);
    config->stage0.weights = BT_WEIGHTS_NONE; /* stage 0 has no such keys: it is plain float training */
    config->stage0.activations = BT_ACTIVATIONS_NONE;
    return err;
}

enum bt_err bt_keys_read_table(const struct bt_key *keys, const struct bt_yaml_node *root, const char *what, void *base,
                               struct bt_diag *diag)
{
    struct reader r = {.root = root, .what = what, .expand = true, .diag = diag};
    const enum bt_err err = read_section(&r, keys, base, root, NULL, false);
    bt_yaml_finish(&r.defaults);
    return err;
}

void bt_keys_free(const struct bt_key *keys, void *base)
{
    for (const struct bt_key *key = keys; key->name; key++) {
        if (key->type == BT_KEY_SECTION) {
            bt_keys_free(key->keys, at(base, key->offset));
        } else if (key->type == BT_KEY_LIST || key->type == BT_KEY_STRINGS) {
            free_list(key, base);
        } else if (key->type == BT_KEY_NAME_OR_REALS) {
            struct bt_cfg_name_or_list *value = at(base, key->offset);
            bt_free(value->list);
            value->list = NULL;
            value->count = 0;
        } else if (key->type == BT_KEY_STRING) {
            char **text = at(base, key->offset);
            bt_free(*text);
            *text = NULL;
        }
    }
}
