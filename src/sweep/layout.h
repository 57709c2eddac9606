/* sweep/layout.h - what the files that lay out a sweep share. */
#ifndef BT_SWEEP_LAYOUT_H
#define BT_SWEEP_LAYOUT_H

#include "sweep/sweep.h"

struct bt_sweep_layout {
    struct bt_sweep *sweep;
    char *base;              /* text of the base config */
    const char *const *sets; /* of the command line */
    size_t set_count;
    size_t capacity; /* of sweep->runs */
    struct bt_diag *diag;
};

/* Assignments, "key=value", for bt_train_config_parse. Starts zeroed. */
struct bt_sweep_sets {
    char **at;
    size_t count, capacity;
    bool failed; /* memory was out: remembered, so that only the last call needs a check */
};
void bt_sweep_sets_take(struct bt_sweep_sets *sets, char *assignment); /* takes it over; NULL: memory was out */
void bt_sweep_sets_finish(struct bt_sweep_sets *sets);                 /* takes a zeroed one */

/* What makes the config of a row out of the base: the file's own assignments, those of the command line, the row's. */
void bt_sweep_row_sets(const struct bt_sweep_layout *layout, size_t row, struct bt_sweep_sets *sets);
/* A config's text with those. Its hash leaves out where the run lies and how many threads it has. */
enum bt_err bt_sweep_config(const struct bt_sweep_layout *layout, const char *text, const struct bt_sweep_sets *sets,
                            struct bt_train_config **ret_config, uint64_t *ret_hash);

/* Of the config as it is printed; false when memory is out. */
bool bt_sweep_hash(const struct bt_train_config *config, uint64_t *ret_hash);

/* Adds a run that takes over the config, also on failure; its number is the last one. */
enum bt_err bt_sweep_add_run(struct bt_sweep_layout *layout, struct bt_train_config *config, uint64_t hash, size_t row);
/* Gives it its name, "<stem>-<8 digits of the hash>", and its folder. */
enum bt_err bt_sweep_name_run(const struct bt_sweep_layout *layout, struct bt_sweep_run *run, const char *stem);

/* The members and their twins. */
enum bt_err bt_sweep_add_members(struct bt_sweep_layout *layout);
/* The runs that several members share, each of which points to its own. */
enum bt_err bt_sweep_share(struct bt_sweep_layout *layout);

#endif
