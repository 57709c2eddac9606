/* report/run.h - what a run folder holds, as far as a page shows it.
 *
 * The run may be going on: what is not there yet is absent, and a last line of metrics.jsonl that is still being
 * written is left alone. What is there and cannot be read is left out and counted, so that a damaged line costs that
 * line. */
#ifndef BT_REPORT_RUN_H
#define BT_REPORT_RUN_H

#include <stdint.h>

#include "base/err.h"
#include "config/train_config.h"
#include "io/json.h"
#include "report/flat_config.h"
#include "report/series.h"
#include "report/source.h"

enum bt_report_state {
    BT_REPORT_FINISHED, /* every stage of its config has its model */
    BT_REPORT_RUNNING,  /* a process has the folder */
    BT_REPORT_STOPPED,
};
const char *bt_report_state_name(enum bt_report_state state);

struct bt_report_stage {
    struct bt_series_set train, eval, telemetry;
    json_t *start, *end;        /* the newest records of these kinds, or NULL */
    json_t *samples, *warnings; /* arrays of records, or NULL */
    size_t starts;              /* how often it was started; all but the first are resumes */
};

struct bt_report_run {
    char *path, *name; /* as it was given; its last part */
    char *error;       /* why its last start failed, where that is known; else NULL */
    enum bt_report_state state;
    struct bt_report_stage stages[BT_STAGE_COUNT];
    struct bt_flat_config config; /* empty when there is none that can be read */
    char *config_text;            /* NULL when there is none */
    json_t *summary, *conversion; /* NULL when there is none */
    struct bt_report_source source;
    size_t damaged;         /* lines of metrics.jsonl that are no records */
    uint64_t first_damaged; /* the number of the first of them, from 1 */
};

/* BT_EINPUT when there is no such folder, or it has neither config.yaml nor metrics.jsonl. */
enum bt_err bt_report_run_read(const char *path, struct bt_report_run *ret_run, struct bt_diag *diag);
void bt_report_run_finish(struct bt_report_run *run); /* takes a zeroed one */

/* The last part of a path, without slashes at its end; bt_free; NULL when memory is out. */
char *bt_report_path_name(const char *path);

/* A key of the config of a stage, "lambda_warmup.max": its text or number. */
const char *bt_report_stage_text(const struct bt_report_run *run, enum bt_stage_id stage, const char *key);
double bt_report_stage_number(const struct bt_report_run *run, enum bt_stage_id stage, const char *key,
                              double otherwise);
/* Updates the stage will have, as its start record says; 0 when it has not begun. */
double bt_report_stage_updates(const struct bt_report_stage *stage);
/* Has the stage anything to show: a training record or a validation? */
bool bt_report_stage_trained(const struct bt_report_stage *stage);
/* The last stage of the run that trained; BT_STAGE_COUNT when none did. */
enum bt_stage_id bt_report_last_stage(const struct bt_report_run *run);
/* Weights and activations are both trained unquantised. */
bool bt_report_is_float(const struct bt_report_run *run, enum bt_stage_id stage);
/* Did validation i of a stage run at full strength of the quantisation: at the highest lambda of the stage, or of a
 * float stage? */
bool bt_report_is_full(const struct bt_report_run *run, enum bt_stage_id stage, size_t i);
/* The last and the best loss of such validations, the best one after the first update; NaN where there are none. */
double bt_report_final_loss(const struct bt_report_run *run, enum bt_stage_id stage);
double bt_report_best_loss(const struct bt_report_run *run, enum bt_stage_id stage, double *ret_step);

#endif
