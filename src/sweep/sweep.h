/* sweep/sweep.h - a sweep laid out: its members and what they share, each as a run with a resolved config and a folder
 * of its own. Nothing here is written; sweep/work.h runs it.
 *
 *   <output_dir>/<name>/
 *     lr=0.001,seed=1-3f9a21c4/       a member's run folder: its values and a hash of its resolved config
 *     shared-stage1-5e0c9b12/         a run of the stages that several members begin with alike
 *     members/<run>.yaml .log .json   its config, what its bitnet-train said, how its last start failed
 *     results.csv, results.jsonl */
#ifndef BT_SWEEP_SWEEP_H
#define BT_SWEEP_SWEEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "config/train_config.h"
#include "sweep/combinations.h"
#include "sweep/sweep_file.h"

#define BT_SWEEP_NONE SIZE_MAX

struct bt_sweep_run {
    char *name, *path;              /* of the run folder */
    char *models[BT_STAGE_COUNT];   /* (config->stage_count) where the finished model of each stage stands */
    struct bt_train_config *config; /* resolved, as the run will have it */
    uint64_t hash;                  /* of the config but for name, output_dir and compute.threads */
    char **values;                  /* (key_count) what varies, resolved; NULL where it says nothing about this run.
                                       None at all in a shared run */
    size_t row;                     /* of the combinations; that of the first member that needs it */
    bool is_twin, is_shared;
    size_t parent; /* the shared run whose stages it takes over, or BT_SWEEP_NONE */
    size_t twin;   /* of a member: its float twin, or BT_SWEEP_NONE */
};

struct bt_sweep {
    struct bt_sweep_file *file; /* owned */
    struct bt_combinations combinations;
    char *folder;                   /* output_dir/name */
    struct bt_sweep_run *runs;      /* members, their twins, then what they share */
    size_t run_count, member_count; /* members: with twins */
    size_t repeated;                /* combinations that are the same run as an earlier one */
    char **labels;                  /* (key_count) the shortest end of each key that no other has: "lr" */
};

/* Takes over the file, also on failure. sets: `--set` assignments for every member, on top of the file's own.
 * BT_EUSAGE: the base config with the values of a member is not a config; nothing is written. */
enum bt_err bt_sweep_lay_out(struct bt_sweep_file *file, const char *const *sets, size_t set_count,
                             struct bt_sweep **ret_sweep, struct bt_diag *diag);
void bt_sweep_destroy(struct bt_sweep *sweep); /* takes NULL */

/* "<folder>/members/<run><ending>"; bt_free; NULL when memory is out. */
char *bt_sweep_member_path(const struct bt_sweep *sweep, const struct bt_sweep_run *run, const char *ending);

#endif
