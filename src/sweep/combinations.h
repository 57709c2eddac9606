/* sweep/combinations.h - what the members of a sweep do otherwise than their base: one row of values for each.
 *
 * The rows are the product of grid, list, random draws and seeds, in this order; what stands last changes fastest.
 * Draw i of a key depends on the seed, the key and i alone, so that more draws leave the earlier ones as they are. */
#ifndef BT_SWEEP_COMBINATIONS_H
#define BT_SWEEP_COMBINATIONS_H

#include <stddef.h>

#include "sweep/sweep_file.h"

#define BT_SWEEP_MEMBERS_MAX 10000

struct bt_combinations { /* all memory is that of the file's YAML tree */
    const char **keys;   /* (key_count) every key that varies, "stage2.optimizer.lr" */
    size_t key_count;
    const char **values; /* (count, key_count) as YAML in one line; NULL: what the base config has */
    size_t count;        /* at least 1 */
};

/* BT_EUSAGE, with the place: a key that stands in two parts or is the sweep's own business (name, output_dir,
 * compute.threads), an empty list, a range that is none, too many members. Whether a config has such keys and takes
 * such values is for the config to say. */
enum bt_err bt_combine(struct bt_sweep_file *file, struct bt_combinations *ret_combinations, struct bt_diag *diag);

/* The node as YAML in one line, in the memory of the file; NULL when memory is out. */
const char *bt_sweep_node_text(struct bt_sweep_file *file, const struct bt_yaml_node *node);

#endif
