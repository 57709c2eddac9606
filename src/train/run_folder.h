/* train/run_folder.h - runs/<name>/: the lock, config.yaml, summary.json and the paths inside (docs/config.md). */
#ifndef BT_TRAIN_RUN_FOLDER_H
#define BT_TRAIN_RUN_FOLDER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "config/train_config.h"
#include "io/json.h"

struct bt_run_folder;

/* Makes the folder if need be, takes its lock (BT_EINPUT naming the holder's process id and host when it is in use) and
 * compares the resolved config with config.yaml of the newest start: a key that may not change is BT_EUSAGE naming the
 * key, the old and the new value. Nothing is written but the lock. */
enum bt_err bt_run_folder_open(const struct bt_train_config *config, struct bt_run_folder **ret_run,
                               struct bt_diag *diag);
void bt_run_folder_close(struct bt_run_folder *run); /* takes NULL */
/* Writes config.yaml, the resolved config of this start. */
enum bt_err bt_run_folder_begin(struct bt_run_folder *run, const struct bt_train_config *config, struct bt_diag *diag);

const char *bt_run_path(const struct bt_run_folder *run);    /* runs/<name> */
const char *bt_run_metrics(const struct bt_run_folder *run); /* runs/<name>/metrics.jsonl */
/* runs/<name>/<stage>/<name>; bt_free; NULL when memory is out. Makes nothing. */
char *bt_run_stage_path(const struct bt_run_folder *run, enum bt_stage_id stage, const char *name);
bool bt_run_stage_finished(const struct bt_run_folder *run, enum bt_stage_id stage); /* its model/ stands there */
/* Any checkpoint folder of any stage, or a finished stage: what --resume never and required ask. */
bool bt_run_has_progress(const struct bt_run_folder *run, const struct bt_train_config *config);

/* summary.json: {"name", "version", "stages": {"stage2": {...}}}; replaces the stage's part, keeps the others. Takes
 * over the reference to `part` (NULL: out of memory). */
enum bt_err bt_run_summary(struct bt_run_folder *run, enum bt_stage_id stage, json_t *part, struct bt_diag *diag);

#endif
