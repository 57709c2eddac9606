#include "sweep/sweep_file.h"

#include <string.h>

#include "base/mem.h"
#include "config/key_table.h"
#include "config/yaml_scalar.h"
#include "io/file.h"

#define DRAWS_MAX 10000

static const char *const sort_names[] = {[BT_SORT_EVAL_LOSS] = "eval_loss",
                                         [BT_SORT_BEST_EVAL_LOSS] = "best_eval_loss",
                                         [BT_SORT_LOSS] = "loss",
                                         [BT_SORT_ORDER] = "order",
                                         NULL};

#define AT(field) offsetof(struct bt_sweep_random, field)
static const struct bt_key random_keys[] = {
    {.name = "draws", .type = BT_KEY_INT, .offset = AT(draws), .flags = BT_KEY_NULLABLE, .min = 1, .max = DRAWS_MAX},
    {.name = "seed", .type = BT_KEY_SEED, .offset = AT(seed), .value = "1"},
    {.name = "keys", .type = BT_KEY_NODE, .offset = AT(keys)},
    {.name = NULL},
};
#undef AT

#define AT(field) offsetof(struct bt_sweep_file, field)
static const struct bt_key sweep_keys[] = {
    {.name = "name", .type = BT_KEY_STRING, .offset = AT(name), .flags = BT_KEY_REQUIRED},
    {.name = "output_dir", .type = BT_KEY_STRING, .offset = AT(output_dir), .value = "runs"},
    {.name = "config", .type = BT_KEY_STRING, .offset = AT(config), .flags = BT_KEY_REQUIRED},
    {.name = "set", .type = BT_KEY_NODE, .offset = AT(set)},
    {.name = "grid", .type = BT_KEY_NODE, .offset = AT(grid)},
    {.name = "list", .type = BT_KEY_NODE, .offset = AT(list)},
    {.name = "random",
     .type = BT_KEY_SECTION,
     .offset = AT(random),
     .present_offset = AT(has_random),
     .flags = BT_KEY_NULLABLE,
     .keys = random_keys},
    {.name = "seeds", .type = BT_KEY_NODE, .offset = AT(seeds)},
    {.name = "twins", .type = BT_KEY_BOOL, .offset = AT(twins), .value = "false"},
    {.name = "jobs", .type = BT_KEY_INT, .offset = AT(jobs), .value = "1", .min = 1, .max = BT_SWEEP_JOBS_MAX},
    {.name = "threads", .type = BT_KEY_INT, .offset = AT(threads), .value = "0", .max = BT_THREADS_MAX},
    {.name = "sort", .type = BT_KEY_ENUM, .offset = AT(sort), .value = "eval_loss", .names = sort_names},
    {.name = NULL},
};
#undef AT

static enum bt_err check_kind(const struct bt_yaml_node *node, enum bt_yaml_kind kind, const char *expected,
                              struct bt_diag *diag)
{
    if (!node || (node->kind == kind && node->count))
        return BT_OK;
    return bt_fail(diag, BT_EUSAGE, "%s: found %s, expected %s", bt_yaml_place(node).text, bt_yaml_describe(node).text,
                   expected);
}

static enum bt_err check(const struct bt_sweep_file *file, const struct bt_yaml_node *root, struct bt_diag *diag)
{
    enum bt_err err;
    if (strchr(file->name, '/') || !strcmp(file->name, ".") || !strcmp(file->name, ".."))
        return bt_fail(diag, BT_EUSAGE, "%s: name: found \"%.200s\", expected the plain name of a folder",
                       bt_yaml_place(bt_yaml_find(root, "name")).text, file->name);
    if ((err = check_kind(file->set, BT_YAML_MAPPING, "a mapping of keys to values", diag)) ||
        (err = check_kind(file->grid, BT_YAML_MAPPING, "a mapping of keys to lists of values", diag)) ||
        (err = check_kind(file->list, BT_YAML_SEQUENCE, "a list of mappings of keys to values", diag)) ||
        (err = check_kind(file->seeds, BT_YAML_SEQUENCE, "a list of seeds", diag)))
        return err;
    if (file->has_random && (!file->random.draws || !file->random.keys))
        return bt_fail(diag, BT_EUSAGE, "%s: random: missing required key \"%s\"",
                       bt_yaml_place(bt_yaml_find(root, "random")).text, file->random.draws ? "keys" : "draws");
    return check_kind(file->random.keys, BT_YAML_MAPPING, "a mapping of keys to {min, max, scale} or lists", diag);
}

static enum bt_err fill(struct bt_sweep_file *file, const char *text, size_t size, struct bt_diag *diag)
{
    struct bt_yaml_node *root;
    enum bt_err err = bt_yaml_parse(&file->yaml, text, size, file->what, true, &root, diag);
    if (err)
        return err;
    if (!root)
        return bt_fail(diag, BT_EUSAGE, "%s: this file is empty, expected a sweep", file->what);
    err = bt_keys_read_table(sweep_keys, root, file->what, file, diag);
    return err ? err : check(file, root, diag);
}

enum bt_err bt_sweep_file_parse(const char *text, size_t size, const char *what, struct bt_sweep_file **ret_file,
                                struct bt_diag *diag)
{
    struct bt_sweep_file *file = bt_zalloc(1, sizeof *file);
    if (!file)
        return bt_fail_nomem(diag);
    file->what = what;
    const enum bt_err err = fill(file, text, size, diag);
    if (err)
        bt_sweep_file_destroy(file);
    else
        *ret_file = file;
    return err;
}

enum bt_err bt_sweep_file_read(const char *path, struct bt_sweep_file **ret_file, struct bt_diag *diag)
{
    struct bt_map map = {0};
    enum bt_err err = bt_map_open(path, &map, diag);
    if (err)
        return err == BT_EINPUT ? BT_EUSAGE : err; /* it is the command line that names the file */
    err = bt_sweep_file_parse((const char *)map.data, map.size, path, ret_file, diag);
    bt_map_close(&map);
    return err;
}

void bt_sweep_file_destroy(struct bt_sweep_file *file)
{
    if (!file)
        return;
    bt_keys_free(sweep_keys, file);
    bt_yaml_finish(&file->yaml);
    bt_free(file);
}
