/* report/flat_config.h - a config as a list of key paths with their values, and where several configs differ. */
#ifndef BT_REPORT_FLAT_CONFIG_H
#define BT_REPORT_FLAT_CONFIG_H

#include <stddef.h>

#include "base/err.h"

struct bt_flat_key {
    char *key;   /* "stage2.optimizer.lr", "stages.0" */
    char *value; /* its text */
};

struct bt_flat_config {       /* zeroed: none */
    struct bt_flat_key *list; /* in the order of the file */
    size_t count, room;
};

/* BT_EUSAGE when the text is no YAML mapping. */
enum bt_err bt_flat_config_read(const char *text, size_t size, const char *what, struct bt_flat_config *ret_config,
                                struct bt_diag *diag);
void bt_flat_config_finish(struct bt_flat_config *config); /* takes a zeroed one */
/* NULL when it is not there. Borrowed. */
const char *bt_flat_config_get(const struct bt_flat_config *config, const char *key);
/* What to show for a key: its text, U+2026 where it has keys under it, U+2013 where it is not there. Borrowed. */
const char *bt_flat_config_show(const struct bt_flat_config *config, const char *key);
double bt_flat_config_number(const struct bt_flat_config *config, const char *key, double otherwise);

/* Keys whose values are not the same in all of the configs, or which not all of them have; without the keys of `aside`
 * (NULL at the end) and what lies under them, and without the keys of a section that is null elsewhere, which itself is
 * one. The keys are borrowed from the configs; bt_free the list. */
enum bt_err bt_flat_config_differences(const struct bt_flat_config *const *configs, size_t count,
                                       const char *const *aside, const char ***ret_keys, size_t *ret_count,
                                       struct bt_diag *diag);

#endif
