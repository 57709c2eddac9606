#include "config/train_config.h"

#include <string.h>

#include "base/mem.h"
#include "config/check.h"
#include "config/key_table.h"
#include "config/overrides.h"
#include "config/yaml_tree.h"
#include "io/file.h"

void bt_train_config_destroy(struct bt_train_config *config)
{
    if (!config)
        return;
    bt_train_config_destroy(config->written);
    bt_keys_free(bt_config_keys, config);
    bt_free(config);
}

const struct bt_cfg_train_stage *bt_train_config_stage(const struct bt_train_config *config, enum bt_stage_id stage)
{
    switch (stage) {
    case BT_STAGE0:
        return &config->stage0;
    case BT_STAGE1_9:
        return &config->stage1_9;
    case BT_STAGE2:
        return &config->stage2;
    case BT_STAGE3:
        return &config->stage3;
    case BT_STAGE1:
    case BT_STAGE_COUNT:
        break;
    }
    return NULL;
}

bool bt_stage_distils(enum bt_stage_id stage)
{
    return stage == BT_STAGE1_9 || stage == BT_STAGE3;
}

const struct bt_cfg_data *bt_train_config_data(const struct bt_train_config *config, enum bt_stage_id stage)
{
    const struct bt_cfg_train_stage *section = bt_train_config_stage(config, stage);
    return section && section->has_data ? &section->data : &config->data;
}

/* Errors quote what they found, which may hold anything; a sentence is one line. */
static enum bt_err in_one_line(enum bt_err err, struct bt_diag *diag)
{
    if (!err || !diag)
        return err;
    for (char *p = diag->text; *p; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            *p = ' ';
    return err;
}

static enum bt_err read_tree(const struct bt_yaml_node *root, const char *what, bool expand,
                             struct bt_train_config **ret_config, struct bt_diag *diag)
{
    struct bt_train_config *config = bt_zalloc(1, sizeof *config);
    if (!config)
        return bt_fail_nomem(diag);
    const enum bt_err err = bt_keys_read(root, what, expand, config, diag);
    if (err)
        bt_train_config_destroy(config);
    else
        *ret_config = config;
    return err;
}

static enum bt_err parse_root(struct bt_yaml *yaml, const char *text, size_t size, const char *what,
                              struct bt_yaml_node **ret_root, struct bt_diag *diag)
{
    struct bt_yaml_node *root;
    const enum bt_err err = bt_yaml_parse(yaml, text, size, what, true, &root, diag);
    if (err)
        return err;
    if (!root)
        return bt_fail(diag, BT_EUSAGE, "%s: this file is empty, expected a config", what);
    if (root->kind != BT_YAML_MAPPING)
        return bt_fail(diag, BT_EUSAGE, "%s: expected a mapping of keys to values", bt_yaml_place(root).text);
    *ret_root = root;
    return BT_OK;
}

static enum bt_err parse(struct bt_yaml *yaml, const char *text, size_t size, const char *what, const char *const *sets,
                         size_t set_count, struct bt_train_config **ret_config, struct bt_diag *diag)
{
    struct bt_yaml_node *root;
    struct bt_train_config *config = NULL;
    enum bt_err err = parse_root(yaml, text, size, what, &root, diag);
    for (size_t i = 0; i < set_count && !err; i++)
        err = bt_override(yaml, root, sets[i], diag);
    if (err || (err = read_tree(root, what, true, &config, diag)) ||
        (err = read_tree(root, what, false, &config->written, diag)) ||
        (err = bt_check_train_config(config, root, what, diag)))
        bt_train_config_destroy(config);
    else
        *ret_config = config;
    return err;
}

enum bt_err bt_train_config_parse(const char *text, size_t size, const char *what, const char *const *sets,
                                  size_t set_count, struct bt_train_config **ret_config, struct bt_diag *diag)
{
    struct bt_yaml yaml = {0};
    const enum bt_err err = parse(&yaml, text, size, what, sets, set_count, ret_config, diag);
    bt_yaml_finish(&yaml);
    return in_one_line(err, diag);
}

enum bt_err bt_train_config_read(const char *path, const char *const *sets, size_t set_count,
                                 struct bt_train_config **ret_config, struct bt_diag *diag)
{
    struct bt_map map = {0};
    enum bt_err err = bt_map_open(path, &map, diag);
    if (err)
        return err == BT_EINPUT ? BT_EUSAGE : err; /* it is the command line that names the config */
    err = bt_train_config_parse((const char *)map.data, map.size, path, sets, set_count, ret_config, diag);
    bt_map_close(&map);
    return err;
}

char *bt_train_config_print(const struct bt_train_config *config)
{
    struct bt_text_buf out = {0};
    bt_keys_print(&out, config->written ? config->written : config);
    return bt_text_take(&out);
}

/* ---- what a resume compares ---- */

struct difference {
    char *key, *old_value, *new_value;
};

static void free_difference(struct difference *d)
{
    bt_free(d->key);
    bt_free(d->old_value);
    bt_free(d->new_value);
    *d = (struct difference){0};
}

static char *value_text(const struct bt_key *key, const void *base)
{
    struct bt_text_buf out = {0};
    bt_key_print_value(&out, key, base);
    return bt_text_take(&out);
}

/* Fills d when the texts of one key differ. False when memory is out. */
static bool compare_value(const struct bt_key *key, const void *old, const void *new, const struct bt_key_path *path,
                          struct difference *d)
{
    d->old_value = value_text(key, old);
    d->new_value = value_text(key, new);
    if (!d->old_value || !d->new_value)
        return false;
    if (!strcmp(d->old_value, d->new_value)) {
        free_difference(d);
        return true;
    }
    d->key = bt_strdup(bt_key_path_name(path).text);
    return d->key;
}

/* Stops at the first key that differs. False when memory is out. */
static bool compare_section(const struct bt_key *keys, const void *old, const void *new, const struct bt_key_path *path,
                            struct difference *d)
{
    bool fine = true;
    for (const struct bt_key *key = keys; key->name && fine && !d->key; key++) {
        const struct bt_key_path key_path = {path, key->name, 0};
        if (key->flags & BT_KEY_MAY_CHANGE)
            continue;
        if (key->type == BT_KEY_SECTION && bt_key_is_present(key, old) && bt_key_is_present(key, new))
            fine = compare_section(key->keys, (const char *)old + key->offset, (const char *)new + key->offset,
                                   &key_path, d);
        else
            fine = compare_value(key, old, new, &key_path, d);
    }
    return fine;
}

enum bt_err bt_train_config_difference(const struct bt_train_config *config, const char *old_text, const char *what,
                                       char **ret_key, char **ret_old, char **ret_new, struct bt_diag *diag)
{
    struct bt_yaml yaml = {0};
    struct bt_yaml_node *root;
    struct bt_train_config *old = NULL;
    struct difference d = {0};
    enum bt_err err = parse_root(&yaml, old_text, strlen(old_text), what, &root, diag);
    if (!err)
        err = read_tree(root, what, false, &old, diag);
    if (!err && !compare_section(bt_config_keys, old, config->written ? config->written : config, NULL, &d)) {
        free_difference(&d);
        err = bt_fail_nomem(diag);
    }
    if (!err) {
        *ret_key = d.key;
        *ret_old = d.old_value;
        *ret_new = d.new_value;
    }
    bt_train_config_destroy(old);
    bt_yaml_finish(&yaml);
    return in_one_line(err, diag);
}
