/* config/overrides.h - `--set key.path=value`: changes a YAML tree before it is checked. */
#ifndef BT_CONFIG_OVERRIDES_H
#define BT_CONFIG_OVERRIDES_H

#include "base/err.h"
#include "config/yaml_tree.h"

/* Puts the value (parsed as YAML) under the path, making the mappings on the way; an item of a list that is there is
 * named by its number ("data.train.0.path"). Nodes set this way have "--set ..." as their place. Whether the key
 * exists is for the table to say. BT_EUSAGE when there is no "=", or the path leads through something that has no keys.
 */
enum bt_err bt_override(struct bt_yaml *yaml, struct bt_yaml_node *root, const char *assignment, struct bt_diag *diag);

#endif
