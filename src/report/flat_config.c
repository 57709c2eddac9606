#include "report/flat_config.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "config/yaml_tree.h"

static bool add_key(struct bt_flat_config *config, const char *key, const char *value)
{
    if (config->count == config->room) {
        const size_t room = config->room ? 2 * config->room : 64;
        struct bt_flat_key *list = bt_realloc(config->list, room, sizeof *list);
        if (!list)
            return false;
        config->list = list;
        config->room = room;
    }
    struct bt_flat_key *entry = &config->list[config->count];
    *entry = (struct bt_flat_key){.key = bt_strdup(key), .value = bt_strdup(value)};
    config->count++;
    return entry->key && entry->value;
}

/* The tree is at most BT_YAML_MAX_DEPTH deep. */
static bool add_node(struct bt_flat_config *config, const char *key, const struct bt_yaml_node *node)
{
    size_t i = 0;
    if (node->kind == BT_YAML_SCALAR)
        return add_key(config, key, node->text);
    if (!node->first)
        return add_key(config, key, node->kind == BT_YAML_SEQUENCE ? "[]" : "{}");
    for (const struct bt_yaml_node *child = node->first; child; child = child->next, i++) {
        const char *dot = *key ? "." : "";
        char *name = node->kind == BT_YAML_SEQUENCE ? bt_sprintf("%s%s%zu", key, dot, i)
                                                    : bt_sprintf("%s%s%s", key, dot, child->key);
        const bool added = name && add_node(config, name, child);
        bt_free(name);
        if (!added)
            return false;
    }
    return true;
}

enum bt_err bt_flat_config_read(const char *text, size_t size, const char *what, struct bt_flat_config *ret_config,
                                struct bt_diag *diag)
{
    struct bt_yaml yaml = {0};
    struct bt_yaml_node *root = NULL;
    struct bt_flat_config config = {0};
    enum bt_err err = bt_yaml_parse(&yaml, text, size, what, true, &root, diag);
    if (!err && (!root || root->kind != BT_YAML_MAPPING))
        err = bt_fail(diag, BT_EUSAGE, "%s: found no keys, expected a config", what);
    if (!err && !add_node(&config, "", root))
        err = bt_fail_nomem(diag);
    bt_yaml_finish(&yaml);
    if (err)
        bt_flat_config_finish(&config);
    else
        *ret_config = config;
    return err;
}

void bt_flat_config_finish(struct bt_flat_config *config)
{
    for (size_t i = 0; i < config->count; i++) {
        bt_free(config->list[i].key);
        bt_free(config->list[i].value);
    }
    bt_free(config->list);
    *config = (struct bt_flat_config){0};
}

const char *bt_flat_config_get(const struct bt_flat_config *config, const char *key)
{
    for (size_t i = 0; i < config->count; i++)
        if (!strcmp(config->list[i].key, key))
            return config->list[i].value;
    return NULL;
}

static bool lies_under(const char *key, const char *section)
{
    const size_t length = strlen(section);
    return !strncmp(key, section, length) && key[length] == '.';
}

const char *bt_flat_config_show(const struct bt_flat_config *config, const char *key)
{
    const char *value = bt_flat_config_get(config, key);
    for (size_t i = 0; i < config->count && !value; i++)
        if (lies_under(config->list[i].key, key))
            return "\xE2\x80\xA6";
    return value ? value : "\xE2\x80\x93";
}

double bt_flat_config_number(const struct bt_flat_config *config, const char *key, double otherwise)
{
    const char *text = bt_flat_config_get(config, key);
    char *end = NULL;
    const double value = text ? strtod(text, &end) : NAN;
    return text && end != text && !*end && isfinite(value) ? value : otherwise;
}

static bool is_aside(const char *key, const char *const *aside)
{
    for (; *aside; aside++)
        if (!strcmp(key, *aside) || lies_under(key, *aside))
            return true;
    return false;
}

/* Has one of the configs a value, such as null, for a section that the key lies in? */
static bool lies_in_a_value(const struct bt_flat_config *const *configs, size_t count, const char *key)
{
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < configs[i]->count; k++)
            if (lies_under(key, configs[i]->list[k].key))
                return true;
    return false;
}

static bool all_same(const struct bt_flat_config *const *configs, size_t count, const char *key)
{
    const char *first = bt_flat_config_get(configs[0], key);
    for (size_t i = 1; i < count; i++) {
        const char *other = bt_flat_config_get(configs[i], key);
        if (!first != !other || (first && strcmp(first, other) != 0))
            return false;
    }
    return true;
}

/* Has one of the configs before `until` the key? */
static bool is_known(const struct bt_flat_config *const *configs, size_t until, const char *key)
{
    for (size_t i = 0; i < until; i++)
        if (bt_flat_config_get(configs[i], key))
            return true;
    return false;
}

enum bt_err bt_flat_config_differences(const struct bt_flat_config *const *configs, size_t count,
                                       const char *const *aside, const char ***ret_keys, size_t *ret_count,
                                       struct bt_diag *diag)
{
    size_t room = 0, found = 0;
    for (size_t i = 0; i < count; i++)
        room += configs[i]->count;
    const char **keys = bt_alloc(room * sizeof *keys);
    if (!keys)
        return bt_fail_nomem(diag);
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < configs[i]->count; k++) {
            const char *key = configs[i]->list[k].key;
            if (!is_aside(key, aside) && !is_known(configs, i, key) && !all_same(configs, count, key) &&
                !lies_in_a_value(configs, count, key))
                keys[found++] = key;
        }
    *ret_keys = keys;
    *ret_count = found;
    return BT_OK;
}
