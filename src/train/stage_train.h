/* train/stage_train.h - what the training loop's files share: one training stage while it runs. */
#ifndef BT_TRAIN_STAGE_TRAIN_H
#define BT_TRAIN_STAGE_TRAIN_H

#include "base/clock.h"
#include "train/evaluate.h"
#include "train/metrics.h"
#include "train/stages.h"
#include "train/trainer.h"

struct bt_stage_run {
    const struct bt_run *run;
    enum bt_stage_id stage;
    const char *name; /* of the stage */
    const struct bt_cfg_train_stage *config;
    size_t seq; /* tokens of a row */
    struct bt_loaded_model *model;
    struct bt_teaching teaching; /* of a stage that learns from a teacher */
    struct bt_stage_data data;
    struct bt_data_file *files;
    size_t file_count;
    struct bt_compute compute;
    struct bt_trainer *trainer;
    struct bt_telemetry *telemetry; /* NULL: it is off */
    struct bt_metrics *metrics;
    struct bt_stage_sampler *sampler; /* train/stage_sample.h; NULL: no samples */
    char *checkpoints;                /* folder */
    char *resumed_from;               /* checkpoint folder, or NULL */
    char *tokenizer; /* folder to copy tokenizer files from: the newest checkpoint, which is never pruned, or the start
                        model while there is none */
    double started_at; /* clock, in seconds, less what was spent before a resume */
    double rate_since; /* clock of the last rate, and the tokens since: for tokens_per_second */
    uint64_t rate_tokens;
};

/* The marks that a model folder of this stage carries at this lambda. */
struct bt_hf_marks bt_stage_marks(const struct bt_stage_run *s, double lambda);

/* Is this lambda the one the finished model is meant for? "Best" and early stopping look only there. */
bool bt_stage_at_full_lambda(const struct bt_stage_run *s, double lambda);
/* Is there no update left, as all are done or early stopping wants no more? */
bool bt_stage_is_over(const struct bt_stage_run *s);

/* Records of docs/config.md. */
enum bt_err bt_record_start(struct bt_stage_run *s, struct bt_diag *diag);
enum bt_err bt_record_update(struct bt_stage_run *s, const struct bt_update_report *report, struct bt_diag *diag);
enum bt_err bt_record_eval(struct bt_stage_run *s, const struct bt_evaluation *evaluation, double lambda,
                           struct bt_diag *diag);
/* text: NULL when the logits were not finite. */
enum bt_err bt_record_sample(struct bt_stage_run *s, const char *text, size_t size, double lambda,
                             struct bt_diag *diag);
enum bt_err bt_record_checkpoint(struct bt_stage_run *s, int64_t step, struct bt_diag *diag);
/* Before the first update of a stage with codes, and after every update, when it is due: a record of telemetry, and
 * warnings. */
enum bt_err bt_stage_telemetry_first(struct bt_stage_run *s, struct bt_diag *diag);
enum bt_err bt_stage_telemetry(struct bt_stage_run *s, const struct bt_update_report *report, struct bt_diag *diag);
enum bt_err bt_record_end(struct bt_stage_run *s, struct bt_diag *diag);
/* The stage's part of summary.json. */
enum bt_err bt_record_summary(struct bt_stage_run *s, struct bt_diag *diag);

/* What records are made of; NULL when memory is out. */
json_t *bt_record_head(const struct bt_stage_run *s, const char *event, int64_t step);
/* Adds `more` to `record`, taking over both; either may be NULL, which gives NULL. */
json_t *bt_record_joined(json_t *record, json_t *more);
/* {"logits": {"raw": ..., "weighted": ..., "share": ...}, ...} */
json_t *bt_record_terms(const struct bt_stage_run *s, const struct bt_update_report *report);

/* Opens model, data, checkpoint and metrics: everything up to the first update. */
enum bt_err bt_stage_prepare(struct bt_stage_run *s, struct bt_diag *diag);
void bt_stage_finish(struct bt_stage_run *s);

#endif
