#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "train/compute_choice.h"
#include "train/shard_manifest.h"
#include "train/stage_sample.h"
#include "train/stage_train.h"

struct bt_hf_marks bt_stage_marks(const struct bt_stage_run *s, double lambda)
{
    const struct bt_hf_marks *before = &s->model->config->marks;
    return (struct bt_hf_marks){.present = true,
                                .ternary = s->config->weights == BT_WEIGHTS_TERNARY,
                                .int8 = s->config->activations == BT_ACTIVATIONS_INT8,
                                .exclude_layers = before->exclude_layers,
                                .exclude_count = before->exclude_count,
                                .lambda = lambda};
}

static enum bt_err hash_files(struct bt_rows *rows, struct bt_data_file *files, struct bt_diag *diag)
{
    enum bt_err err = BT_OK;
    for (size_t i = 0; !err && i < bt_rows_files(rows); i++) {
        files[i].path = bt_strdup(bt_rows_file(rows, i));
        err = files[i].path ? bt_rows_file_hash(rows, i, &files[i].size, &files[i].hash, diag) : bt_fail_nomem(diag);
    }
    return err;
}

/* The teacher as one file: a resume wants the same one. */
static enum bt_err hash_teacher(const struct bt_teaching *teaching, struct bt_data_file *file, struct bt_diag *diag)
{
    file->path = bt_strdup(teaching->teacher->path);
    return file->path ? bt_teaching_hash(teaching, &file->hash, &file->size, diag) : bt_fail_nomem(diag);
}

/* Path, size and hash of every data file, training first, the teacher last. */
static enum bt_err list_files(struct bt_stage_run *s, struct bt_diag *diag)
{
    const size_t train = bt_rows_files(s->data.train);
    const size_t data = train + (s->data.validation ? bt_rows_files(s->data.validation) : 0);
    s->file_count = data + (s->teaching.teacher ? 1 : 0);
    s->files = bt_zalloc(s->file_count, sizeof *s->files);
    if (!s->files)
        return bt_fail_nomem(diag);
    enum bt_err err = hash_files(s->data.train, s->files, diag);
    if (!err && s->data.validation)
        err = hash_files(s->data.validation, s->files + train, diag);
    if (!err && s->teaching.teacher)
        err = hash_teacher(&s->teaching, &s->files[data], diag);
    return err;
}

static enum bt_err same_file(const struct bt_data_file *file, const struct bt_data_file *trained,
                             const char *checkpoint, struct bt_diag *diag)
{
    if (file->size != trained->size)
        return bt_fail(diag, BT_EUSAGE,
                       "%s is not the data that %s was trained on: it has %llu bytes, expected %llu; take a new name",
                       file->path, checkpoint, (unsigned long long)file->size, (unsigned long long)trained->size);
    if (file->hash != trained->hash)
        return bt_fail(
            diag, BT_EUSAGE,
            "%s is not the data that %s was trained on: its XXH3-64 is %016llx, expected %016llx; take a new "
            "name",
            file->path, checkpoint, (unsigned long long)file->hash, (unsigned long long)trained->hash);
    return BT_OK;
}

static enum bt_err same_files(const struct bt_stage_run *s, const struct bt_data_file *files, size_t count,
                              struct bt_diag *diag)
{
    enum bt_err err = BT_OK;
    if (count != s->file_count)
        return bt_fail(diag, BT_EUSAGE, "%s was trained on %zu data files, the config now names %zu; take a new name",
                       s->resumed_from, count, s->file_count);
    for (size_t i = 0; i < count && !err; i++)
        err = same_file(&s->files[i], &files[i], s->resumed_from, diag);
    return err;
}

/* The newest whole checkpoint, if there is any; damaged ones are named. */
static enum bt_err find_checkpoint(struct bt_stage_run *s, struct bt_diag *diag)
{
    char *damaged = NULL;
    bool any = false;
    enum bt_err err = bt_checkpoint_newest(s->checkpoints, &s->resumed_from, &any, &damaged, diag);
    if (!err && damaged && s->resumed_from)
        bt_say(s->run, "%s; continuing from %s", damaged, s->resumed_from);
    if (!err && any && !s->resumed_from)
        err = bt_fail(diag, BT_EINPUT, "no checkpoint of %s is whole: %s; remove the folder to start the stage over",
                      s->checkpoints, damaged ? damaged : "none is complete");
    bt_free(damaged);
    return err;
}

/* A resumed stage takes its model from the checkpoint, which is a model folder of its own. */
static enum bt_err load_model(struct bt_stage_run *s, struct bt_diag *diag)
{
    if (s->resumed_from)
        return bt_model_load(s->resumed_from, &s->model, diag);
    enum bt_err err = bt_stage_load_model(s->run, s->stage, &s->model, diag);
    if (!err && bt_stage_is_quantised(s->config) && !s->model->shape.sub_norm)
        bt_say(s->run, "%s: the model has no SubLN norms; BitLinear is trained without them", s->name);
    return err;
}

/* Checkpoints of earlier versions lack what the config asks for now. */
static enum bt_err has_state(const struct bt_stage_run *s, bool enabled, int64_t count, const char *key,
                             struct bt_diag *diag)
{
    if (!enabled || count >= 0)
        return BT_OK;
    return bt_fail(diag, BT_EINPUT, "%s has no state of %s.%s, which is on in the config: an earlier version made it",
                   s->resumed_from, s->name, key);
}

/* The codes of the last record, unless telemetry was off. Where it is now, later checkpoints have none. */
static enum bt_err restore_telemetry(struct bt_stage_run *s, struct bt_diag *diag)
{
    struct bt_telemetry_state *state = &s->trainer->state.telemetry;
    if (isnan(state->seconds)) /* a checkpoint from before there was telemetry */
        state->seconds = 0.0;
    if (!s->telemetry)
        state->step = -1;
    return state->step >= 0 ? bt_telemetry_load(s->telemetry, s->resumed_from, diag) : BT_OK;
}

static enum bt_err restore(struct bt_stage_run *s, struct bt_diag *diag)
{
    struct bt_trainer *t = s->trainer;
    struct bt_data_file *files = NULL;
    size_t count = 0;
    enum bt_err err = bt_checkpoint_load(s->resumed_from, &s->model->params, &s->config->optimizer, s->model->weights,
                                         t->optimizer.m, t->optimizer.v, &t->state, &files, &count, diag);
    if (!err)
        err = same_files(s, files, count, diag);
    if (!err)
        err = bt_compute_restore(&t->state, &t->compute, diag);
    if (!err)
        err = has_state(s, s->config->zclip.enabled, t->state.zclip.norms, "zclip", diag);
    if (!err)
        err = has_state(s, s->config->early_stopping.enabled, t->state.early_stopping.stalled, "early_stopping", diag);
    if (!err)
        err = restore_telemetry(s, diag);
    bt_data_files_free(files, count);
    return err;
}

static void fresh_state(struct bt_train_state *state, const struct bt_compute *compute)
{
    *state = (struct bt_train_state){
        .best_loss = NAN, .last_loss = NAN, .last_eval_loss = NAN, .first_eval_loss = NAN, .last_eval_step = -1};
    state->early_stopping.best = NAN;
    state->telemetry.step = -1;
    for (size_t i = 0; i < BT_PROJECTIONS; i++)
        state->telemetry.calmest[i] = NAN;
    for (int term = 0; term < BT_TERM_COUNT; term++)
        state->balance[term] = NAN;
    bt_compute_record(compute, state);
}

static enum bt_err make_telemetry(struct bt_stage_run *s, struct bt_diag *diag)
{
    const int64_t interval = s->run->config->logging.telemetry_interval;
    if (!interval)
        return BT_OK;
    return bt_telemetry_create(&s->model->params, s->config->weights == BT_WEIGHTS_TERNARY, interval, &s->telemetry,
                               diag);
}

static enum bt_err make_trainer(struct bt_stage_run *s, struct bt_diag *diag)
{
    enum bt_err err = bt_compute_choose(s->run->config, &s->compute, diag);
    if (err)
        return err;
    err = bt_trainer_create(s->config, &s->model->params, s->model->weights, s->data.train, s->seq, s->data.updates,
                            &s->compute, bt_stage_distils(s->stage) ? &s->teaching : NULL, &s->trainer, diag);
    if (err || (err = make_telemetry(s, diag)))
        return err;
    s->trainer->telemetry = s->telemetry;
    fresh_state(&s->trainer->state, &s->compute);
    if (s->resumed_from)
        err = restore(s, diag);
    return err ? err : bt_trainer_begin(s->trainer, diag);
}

/* metrics.jsonl is cut back to what the checkpoint knew, or to where this stage began. */
static enum bt_err open_metrics(struct bt_stage_run *s, struct bt_diag *diag)
{
    const char *path = bt_run_metrics(s->run->folder);
    uint64_t keep = s->trainer->state.metrics_bytes;
    enum bt_err err = s->resumed_from ? BT_OK : bt_metrics_stage_start(path, s->name, &keep, diag);
    return err ? err : bt_metrics_open(path, keep, &s->metrics, diag);
}

static enum bt_err open_teaching(struct bt_stage_run *s, struct bt_diag *diag)
{
    if (!bt_stage_distils(s->stage))
        return BT_OK;
    enum bt_err err = bt_stage_open_teaching(s->run, s->stage, &s->model->shape, true, &s->teaching, diag);
    if (!err && s->teaching.teacher)
        err = bt_check_shard_manifests(s->data.train, s->teaching.teacher->path, diag);
    return err;
}

enum bt_err bt_stage_prepare(struct bt_stage_run *s, struct bt_diag *diag)
{
    enum bt_err err;
    s->checkpoints = bt_run_stage_path(s->run->folder, s->stage, "checkpoints");
    if (!s->checkpoints)
        return bt_fail_nomem(diag);
    if ((err = find_checkpoint(s, diag)) || (err = load_model(s, diag)) ||
        (err = bt_stage_open_data(s->run, s->stage, s->model, &s->data, diag)) || (err = open_teaching(s, diag)) ||
        (err = bt_stage_sampler_open(s->run, s->model, &s->sampler, diag)) || (err = list_files(s, diag)) ||
        (err = make_trainer(s, diag)) || (err = open_metrics(s, diag)))
        return err;
    s->started_at = bt_clock_seconds() - s->trainer->state.elapsed_s;
    s->rate_since = bt_clock_seconds();
    s->rate_tokens = s->trainer->state.tokens;
    s->tokenizer = bt_strdup(s->model->path);
    return s->tokenizer ? bt_record_start(s, diag) : bt_fail_nomem(diag);
}

void bt_stage_finish(struct bt_stage_run *s)
{
    bt_metrics_close(s->metrics);
    bt_stage_sampler_close(s->sampler);
    bt_trainer_destroy(s->trainer);
    bt_telemetry_destroy(s->telemetry);
    bt_teaching_close(&s->teaching);
    bt_data_files_free(s->files, s->file_count);
    bt_stage_close_data(&s->data);
    bt_model_unload(s->model);
    bt_free(s->checkpoints);
    bt_free(s->resumed_from);
    bt_free(s->tokenizer);
}
