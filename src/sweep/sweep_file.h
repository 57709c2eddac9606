/* sweep/sweep_file.h - the YAML file of a sweep (docs/sweep.md): a base config, and what its members do otherwise. */
#ifndef BT_SWEEP_SWEEP_FILE_H
#define BT_SWEEP_SWEEP_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "config/yaml_tree.h"

#define BT_SWEEP_JOBS_MAX 1000

enum bt_sweep_sort { BT_SORT_EVAL_LOSS, BT_SORT_BEST_EVAL_LOSS, BT_SORT_LOSS, BT_SORT_ORDER };

struct bt_sweep_random { /* a member for each of `draws` draws of all keys */
    int64_t draws;
    uint64_t seed;
    const struct bt_yaml_node *keys; /* key -> {min, max, scale}, or a list to choose from */
};

struct bt_sweep_file {
    char *name, *output_dir;          /* the sweep's folder is output_dir/name */
    char *config;                     /* path of the base config */
    const struct bt_yaml_node *set;   /* key -> value, of every member; or NULL, as all of these may be */
    const struct bt_yaml_node *grid;  /* key -> list of values */
    const struct bt_yaml_node *list;  /* list of key -> value */
    const struct bt_yaml_node *seeds; /* list of integers */
    struct bt_sweep_random random;
    bool has_random, twins;
    int64_t jobs, threads; /* members at once; threads of all of them together, 0: all of the machine */
    unsigned sort;         /* enum bt_sweep_sort */
    const char *what;      /* the path it was read from */
    struct bt_yaml yaml;   /* owns the nodes */
};

/* BT_EUSAGE with line, column and the nearest valid name. Keys and values of members are not looked at here. `what`
 * (the name in errors) is borrowed. */
enum bt_err bt_sweep_file_parse(const char *text, size_t size, const char *what, struct bt_sweep_file **ret_file,
                                struct bt_diag *diag);
enum bt_err bt_sweep_file_read(const char *path, struct bt_sweep_file **ret_file, struct bt_diag *diag);
void bt_sweep_file_destroy(struct bt_sweep_file *file); /* takes NULL */

#endif
