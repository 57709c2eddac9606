#include "train/stage_train.h"

#include <math.h>

#include "base/mem.h"
#include "io/file.h"
#include "train/stage_sample.h"

static bool due(int64_t step, int64_t interval)
{
    return interval > 0 && step % interval == 0;
}

bool bt_stage_at_full_lambda(const struct bt_stage_run *s, double lambda)
{
    const struct bt_cfg_lambda_warmup *w = &s->config->lambda_warmup;
    return !w->enabled || lambda == w->max;
}

bool bt_stage_is_over(const struct bt_stage_run *s)
{
    const struct bt_train_state *state = &s->trainer->state;
    return state->step >= s->data.updates ||
           bt_early_stopping_stops(&s->config->early_stopping, &state->early_stopping);
}

/* Lambda of the update that has just been done; before the first, of the one to come. */
static double current_lambda(const struct bt_stage_run *s)
{
    const int64_t step = s->trainer->state.step;
    return bt_lambda_of_update(step > 0 ? step : 1);
}

/* The newest checkpoint has the tokenizer files too, and it stays; the folder they came from may be pruned, or go. */
static enum bt_err move_tokenizer(struct bt_stage_run *s, struct bt_diag *diag)
{
    char *newest = bt_checkpoint_path(s->checkpoints, s->trainer->state.step);
    if (!newest)
        return bt_fail_nomem(diag);
    bt_free(s->tokenizer);
    s->tokenizer = newest;
    return BT_OK;
}

static enum bt_err prune(const struct bt_stage_run *s, struct bt_diag *diag)
{
    const bool keep_best = s->run->config->checkpoint.keep_best;
    return bt_checkpoint_prune(s->checkpoints, s->run->config->checkpoint.keep_last_n,
                               keep_best ? s->trainer->state.best_step : 0, diag);
}

static enum bt_err save(struct bt_stage_run *s, struct bt_diag *diag)
{
    struct bt_trainer *t = s->trainer;
    const struct bt_hf_marks marks = bt_stage_marks(s, current_lambda(s));
    enum bt_err err = bt_record_checkpoint(s, t->state.step, diag);
    if (!err)
        err = bt_metrics_sync(s->metrics, diag);
    if (err)
        return err;
    t->state.metrics_bytes = bt_metrics_size(s->metrics);
    t->state.elapsed_s = bt_clock_seconds() - s->started_at;
    t->state.data_wait_s = t->waited;
    if (s->telemetry)
        t->state.telemetry.seconds = s->telemetry->seconds;
    const struct bt_checkpoint_source source = {.config = s->model->config,
                                                .params = &s->model->params,
                                                .marks = &marks,
                                                .optimizer = &s->config->optimizer,
                                                .weights = s->model->weights,
                                                .m = t->optimizer.m,
                                                .v = t->optimizer.v,
                                                .state = &t->state,
                                                .telemetry = s->telemetry,
                                                .files = s->files,
                                                .file_count = s->file_count,
                                                .tokenizer_source = s->tokenizer};
    if ((err = bt_checkpoint_save(s->checkpoints, &source, diag)) || (err = move_tokenizer(s, diag)))
        return err;
    return prune(s, diag);
}

/* Is a validation at full lambda the best so far? What hangs on that is kept in the state. */
static bool is_best(struct bt_train_state *state, const struct bt_cfg_train_stage *config, double loss)
{
    bt_early_stopping_look(&config->early_stopping, &state->early_stopping, state->step, loss);
    if (loss >= state->best_loss || !isfinite(loss))
        return false;
    state->best_loss = loss;
    state->best_step = state->step;
    return true;
}

/* Validates and records; *ret_best says whether this is the best so far at full lambda. */
static enum bt_err validate(struct bt_stage_run *s, bool *ret_best, struct bt_diag *diag)
{
    struct bt_train_state *state = &s->trainer->state;
    const double lambda = current_lambda(s);
    struct bt_evaluation evaluation;
    if (!s->data.validation)
        return BT_OK;
    bt_evaluate(s->trainer->model, s->data.validation, s->run->config->logging.eval_tokens, &s->trainer->batch,
                (float)lambda, &evaluation);
    state->last_eval_loss = evaluation.loss;
    state->last_eval_step = state->step;
    if (!state->step)
        state->first_eval_loss = evaluation.loss;
    else if (bt_stage_at_full_lambda(s, lambda))
        *ret_best = is_best(state, s->config, evaluation.loss);
    bt_say(s->run, "%s %lld/%lld  validation loss %.4f  perplexity %.3f  lambda %.3f", s->name, (long long)state->step,
           (long long)s->data.updates, evaluation.loss, evaluation.perplexity, lambda);
    return bt_record_eval(s, &evaluation, lambda, diag);
}

static void tell_progress(struct bt_stage_run *s, const struct bt_update_report *report, double update_seconds)
{
    const struct bt_observer *observer = s->run->observer;
    if (!observer->progress)
        return;
    const struct bt_progress progress = {.stage = s->name,
                                         .step = report->step,
                                         .steps = s->data.updates,
                                         .loss = report->loss,
                                         .tokens_per_second = (double)report->tokens / update_seconds,
                                         .lambda = report->lambda,
                                         .lr = report->lr,
                                         .seconds_left = update_seconds * (double)(s->data.updates - report->step)};
    observer->progress(observer->context, &progress);
}

static bool stop_asked(const struct bt_stage_run *s)
{
    const struct bt_observer *observer = s->run->observer;
    return observer->stop && observer->stop(observer->context);
}

static enum bt_err record_update(struct bt_stage_run *s, const struct bt_update_report *report, struct bt_diag *diag)
{
    const int64_t interval = s->run->config->logging.log_interval;
    enum bt_err err = BT_OK;
    if (!report->applied || report->step == s->data.updates || due(report->step, interval))
        err = bt_record_update(s, report, diag);
    return err ? err : bt_stage_telemetry(s, report, diag);
}

static enum bt_err one_update(struct bt_stage_run *s, struct bt_diag *diag)
{
    const double before = bt_clock_seconds();
    struct bt_update_report report;
    const enum bt_err err = bt_trainer_update(s->trainer, &report, diag);
    if (err && err != BT_EDIVERGED)
        return err;
    if (!report.applied)
        bt_say(s->run, "%s: update %lld was skipped: loss %g, gradient norm %g, %llu labels", s->name,
               (long long)report.step, report.loss, report.grad_norm, (unsigned long long)report.labels);
    tell_progress(s, &report, bt_clock_seconds() - before);
    const enum bt_err record = record_update(s, &report, err ? NULL : diag);
    return err ? err : record;
}

static void say_early_stop(const struct bt_stage_run *s)
{
    const struct bt_train_state *state = &s->trainer->state;
    if (state->step < s->data.updates && bt_stage_is_over(s))
        bt_say(s->run, "%s: early stopping after update %lld of %lld; the best validation was that of update %lld",
               s->name, (long long)state->step, (long long)s->data.updates, (long long)state->early_stopping.best_step);
}

/* What follows update s: a validation, a sample of text, a checkpoint, each when it is due. */
static enum bt_err after_update(struct bt_stage_run *s, bool stopping, struct bt_diag *diag)
{
    const int64_t step = s->trainer->state.step;
    bool best = false;
    enum bt_err err = BT_OK;
    if (step == s->data.updates || due(step, s->run->config->logging.eval_interval))
        err = validate(s, &best, diag);
    say_early_stop(s);
    if (!err && due(step, s->run->config->logging.sample_interval))
        err = bt_stage_sample(s, current_lambda(s), diag);
    if (!err && (stopping || bt_stage_is_over(s) || due(step, s->run->config->checkpoint.save_interval) ||
                 (best && s->run->config->checkpoint.keep_best)))
        err = save(s, diag);
    return err;
}

static enum bt_err loop(struct bt_stage_run *s, struct bt_diag *diag)
{
    enum bt_err err = BT_OK;
    bool best = false;
    if (!s->resumed_from && !(err = bt_stage_telemetry_first(s, diag)))
        err = validate(s, &best, diag);
    while (!err && !bt_stage_is_over(s)) {
        if ((err = one_update(s, diag)))
            break;
        const bool stopping = stop_asked(s);
        err = after_update(s, stopping, diag);
        if (!err && stopping && !bt_stage_is_over(s))
            return bt_fail(diag, BT_ESTOPPED, "stopped after update %lld of %s; the same command continues",
                           (long long)s->trainer->state.step, s->name);
    }
    return err;
}

/* Pruning again finds nothing to do, unless the run was interrupted between its last save and the pruning after it. */
static enum bt_err write_out(struct bt_stage_run *s, struct bt_diag *diag)
{
    const struct bt_hf_marks marks = bt_stage_marks(s, current_lambda(s));
    enum bt_err err;
    if ((err = prune(s, diag)) || (err = bt_record_end(s, diag)) || (err = bt_metrics_sync(s->metrics, diag)) ||
        (err = bt_record_summary(s, diag)))
        return err;
    return bt_stage_write_model(s->run, s->stage, s->model->config, &s->model->params, s->model->weights, &marks,
                                s->tokenizer, diag);
}

enum bt_err bt_run_training_stage(const struct bt_run *run, enum bt_stage_id stage, struct bt_diag *diag)
{
    struct bt_stage_run s = {.run = run,
                             .stage = stage,
                             .name = bt_stage_name(stage),
                             .config = bt_train_config_stage(run->config, stage),
                             .seq = (size_t)bt_train_config_data(run->config, stage)->max_seq_length};
    enum bt_err err = bt_stage_prepare(&s, diag);
    if (!err)
        err = loop(&s, diag);
    if (!err)
        err = write_out(&s, diag);
    bt_stage_finish(&s);
    return err;
}
