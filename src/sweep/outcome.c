#include "sweep/outcome.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "io/file.h"
#include "io/json.h"
#include "io/lock.h"

const char *bt_sweep_status_name(enum bt_sweep_status status)
{
    static const char *const names[] = {[BT_SWEEP_PENDING] = "pending",
                                        [BT_SWEEP_RUNNING] = "running",
                                        [BT_SWEEP_INTERRUPTED] = "interrupted",
                                        [BT_SWEEP_FAILED] = "failed",
                                        [BT_SWEEP_FINISHED] = "finished"};
    return names[status];
}

bool bt_sweep_is_finished(const struct bt_sweep_run *run)
{
    bool finished = true;
    for (size_t i = 0; finished && i < run->config->stage_count; i++)
        finished = bt_dir_exists(run->models[i]);
    return finished;
}

/* ---- failures ---- */

/* *ret_note is NULL when there is none. */
static enum bt_err read_note(const struct bt_sweep *sweep, const struct bt_sweep_run *run, json_t **ret_note,
                             struct bt_diag *diag)
{
    enum bt_err err = BT_OK;
    char *path = bt_sweep_member_path(sweep, run, ".json");
    *ret_note = NULL;
    if (!path)
        return bt_fail_nomem(diag);
    if (bt_file_exists(path))
        err = bt_json_read(path, ret_note, diag);
    bt_free(path);
    return err;
}

static int64_t count_of(const json_t *note)
{
    return json_integer_value(json_object_get(note, "failures"));
}

static enum bt_err write_note(const struct bt_sweep *sweep, const struct bt_sweep_run *run, int64_t count,
                              int exit_code, const char *error, struct bt_diag *diag)
{
    char *path = bt_sweep_member_path(sweep, run, ".json");
    json_t *note = json_pack("{s:I, s:i, s:o}", "failures", (json_int_t)count, "exit_code", exit_code, "error",
                             error ? json_string(error) : json_null());
    const enum bt_err err = path && note ? bt_json_replace(path, note, diag) : bt_fail_nomem(diag);
    json_decref(note);
    bt_free(path);
    return err;
}

enum bt_err bt_sweep_note_failure(const struct bt_sweep *sweep, const struct bt_sweep_run *run, int exit_code,
                                  const char *error, struct bt_diag *diag)
{
    json_t *note;
    enum bt_err err = read_note(sweep, run, &note, diag);
    if (err)
        return err;
    err = write_note(sweep, run, count_of(note) + 1, exit_code, error, diag);
    json_decref(note);
    return err;
}

enum bt_err bt_sweep_forget_error(const struct bt_sweep *sweep, const struct bt_sweep_run *run, struct bt_diag *diag)
{
    json_t *note;
    enum bt_err err = read_note(sweep, run, &note, diag);
    if (err || !note)
        return err;
    err = write_note(sweep, run, count_of(note), 0, NULL, diag);
    json_decref(note);
    return err;
}

struct bt_sweep_failures bt_sweep_failures(const struct bt_sweep *sweep, const struct bt_sweep_run *run)
{
    json_t *note;
    if (read_note(sweep, run, &note, NULL))
        return (struct bt_sweep_failures){0};
    const json_int_t exit_code = json_integer_value(json_object_get(note, "exit_code"));
    const struct bt_sweep_failures failures = {
        .count = count_of(note), .diverged = exit_code == bt_exit_code(BT_EDIVERGED) && bt_dir_exists(run->path)};
    json_decref(note);
    return failures;
}

/* ---- numbers ---- */

static double number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

static int64_t integer(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_integer(value) ? json_integer_value(value) : -1;
}

static void take_stage(const json_t *stage, struct bt_sweep_outcome *o)
{
    const double elapsed = number(stage, "elapsed_s");
    if (!json_object_get(stage, "steps")) /* stage 1 trains nothing */
        return;
    o->loss = number(stage, "loss");
    o->eval_loss = number(stage, "eval_loss");
    o->perplexity = number(stage, "perplexity");
    o->best_eval_loss = number(stage, "best_eval_loss");
    o->best_step = isfinite(o->best_eval_loss) ? integer(stage, "best_step") : -1;
    o->steps = integer(stage, "steps");
    o->tokens = integer(stage, "tokens");
    o->tokens_per_second = elapsed > 0.0 ? round((double)o->tokens / elapsed * 10.0) / 10.0 : NAN;
    o->seconds = round(((isnan(o->seconds) ? 0.0 : o->seconds) + elapsed) * 1e3) / 1e3;
}

static enum bt_err take_summary(const struct bt_sweep_run *run, struct bt_sweep_outcome *o, struct bt_diag *diag)
{
    json_t *summary = NULL;
    enum bt_err err = BT_OK;
    char *path = bt_path_join(run->path, "summary.json");
    if (!path)
        return bt_fail_nomem(diag);
    if (bt_file_exists(path))
        err = bt_json_read(path, &summary, diag);
    bt_free(path);
    if (err)
        return err;
    const json_t *stages = json_object_get(summary, "stages");
    for (size_t i = 0; i < run->config->stage_count; i++)
        take_stage(json_object_get(stages, bt_stage_name(run->config->stages[i])), o);
    json_decref(summary);
    return BT_OK;
}

/* ---- the status ---- */

static bool is_locked(const struct bt_sweep *sweep, const struct bt_sweep_run *run)
{
    char *path = bt_sweep_member_path(sweep, run, ".lock");
    struct bt_lock *lock = NULL;
    bool busy = false;
    if (path && bt_file_exists(path) && !bt_lock_try(path, &busy, &lock, NULL))
        bt_lock_release(lock);
    bt_free(path);
    return busy;
}

static enum bt_err take_failure(const struct bt_sweep *sweep, const struct bt_sweep_run *run,
                                struct bt_sweep_outcome *o, struct bt_diag *diag)
{
    json_t *note = NULL;
    const enum bt_err err = read_note(sweep, run, &note, diag);
    if (err)
        return err;
    const char *error = json_string_value(json_object_get(note, "error"));
    if (error) {
        o->status = BT_SWEEP_FAILED;
        o->error = bt_strdup(error);
    }
    json_decref(note);
    return error && !o->error ? bt_fail_nomem(diag) : BT_OK;
}

enum bt_err bt_sweep_look(const struct bt_sweep *sweep, const struct bt_sweep_run *run, bool locks,
                          struct bt_sweep_outcome *ret_outcome, struct bt_diag *diag)
{
    struct bt_sweep_outcome o = {.loss = NAN,
                                 .eval_loss = NAN,
                                 .perplexity = NAN,
                                 .best_eval_loss = NAN,
                                 .tokens_per_second = NAN,
                                 .best_step = -1,
                                 .steps = -1,
                                 .tokens = -1,
                                 .seconds = NAN};
    enum bt_err err = BT_OK;
    if (bt_sweep_is_finished(run)) {
        o.status = BT_SWEEP_FINISHED;
        err = take_summary(run, &o, diag);
    } else if (locks && is_locked(sweep, run)) {
        o.status = BT_SWEEP_RUNNING;
    } else {
        o.status = bt_dir_exists(run->path) ? BT_SWEEP_INTERRUPTED : BT_SWEEP_PENDING;
        err = take_failure(sweep, run, &o, diag);
    }
    if (err)
        bt_sweep_outcome_finish(&o);
    else
        *ret_outcome = o;
    return err;
}

void bt_sweep_outcome_finish(struct bt_sweep_outcome *outcome)
{
    bt_free(outcome->error);
    outcome->error = NULL;
}
