#include "train/trainer.h"

#include <math.h>
#include <string.h>

#include "nn/lambda_warmup.h"
#include "train/schedule.h"

static struct bt_model_options model_options(const struct bt_cfg_train_stage *config, size_t seq,
                                             const struct bt_teaching *teaching)
{
    const bool relations = teaching && teaching->given[BT_TERM_RELATION];
    return (struct bt_model_options){.rows = (size_t)config->batch_size,
                                     .seq = seq,
                                     .ternary_weights = config->weights == BT_WEIGHTS_TERNARY,
                                     .int8_activations = config->activations == BT_ACTIVATIONS_INT8,
                                     .gradients = true,
                                     .keep = config->activation_checkpointing ? BT_KEEP_INPUTS : BT_KEEP_ALL,
                                     .keep_qkv = relations,
                                     .qkv_layer = relations ? teaching->layer : 0,
                                     .distill = teaching ? &teaching->distill : NULL};
}

static void carve(struct bt_trainer *t, struct bt_arena *arena, size_t seq)
{
    const size_t total = t->params->total;
    t->optimizer.gradients = bt_arena_take(arena, total, sizeof(float));
    t->optimizer.m = bt_arena_take(arena, total, sizeof(float));
    t->optimizer.v =
        bt_arena_take(arena, bt_second_moment_at(t->params, &t->config->optimizer, t->params->count), sizeof(float));
    bt_muon_carve(&t->optimizer.muon, arena, t->params, &t->config->optimizer);
    bt_batch_carve(&t->batch, arena, (size_t)t->config->batch_size, seq);
    for (size_t i = 0; i < BT_FEED_SLOTS; i++)
        bt_micro_batch_carve(&t->slots[i], arena, (size_t)t->config->batch_size, seq);
}

static size_t arena_size(const struct bt_params *params, const struct bt_cfg_train_stage *config, size_t seq)
{
    struct bt_trainer t = {.config = config, .params = params};
    struct bt_arena measure = {0};
    carve(&t, &measure, seq);
    return measure.overflow ? 0 : measure.used;
}

size_t bt_trainer_memory(const struct bt_params *params, const struct bt_cfg_train_stage *config, size_t seq,
                         const struct bt_teaching *teaching)
{
    const struct bt_model_options options = model_options(config, seq, teaching);
    const size_t own = arena_size(params, config, seq), model = bt_model_memory(params, &options);
    const size_t lessons = teaching ? bt_lessons_memory(teaching, options.rows, seq) : 1;
    size_t all;
    if (!own || !model || !lessons || __builtin_add_overflow(own, model, &all) ||
        (teaching && __builtin_add_overflow(all, lessons, &all)))
        return 0;
    return all;
}

static void set_warmup(const struct bt_cfg_train_stage *config)
{
    const struct bt_cfg_lambda_warmup *w = &config->lambda_warmup;
    const struct bt_lambda_warmup warmup = {
        .warmup_steps = w->warmup_steps, .cosine = w->schedule == BT_CURVE_COSINE, .min = w->min, .max = w->max};
    bt_set_global_lambda_warmup(w->enabled ? &warmup : NULL);
}

double bt_lambda_of_update(int64_t step)
{
    bt_lambda_warmup_set_step(step);
    return bt_get_current_lambda();
}

enum bt_err bt_trainer_create(const struct bt_cfg_train_stage *config, const struct bt_params *params, float *weights,
                              struct bt_rows *rows, size_t seq, int64_t updates, const struct bt_compute *compute,
                              const struct bt_teaching *teaching, struct bt_trainer **ret_trainer, struct bt_diag *diag)
{
    const struct bt_model_options options = model_options(config, seq, teaching);
    const size_t size = arena_size(params, config, seq);
    struct bt_trainer *t = bt_zalloc(1, sizeof *t);
    enum bt_err err;

    if (!t || !size || !bt_arena_init(&t->arena, size)) {
        bt_free(t);
        return bt_fail(diag, BT_ENOMEM, "out of memory: gradients and optimizer state need %zu bytes", size);
    }
    t->config = config;
    t->params = params;
    t->weights = weights;
    t->rows = rows;
    t->updates = updates;
    t->compute = *compute;
    carve(t, &t->arena, seq);
    t->optimizer.params = params;
    t->optimizer.kernels = &t->compute.kernels;
    t->optimizer.compute = &t->compute;
    t->optimizer.config = &config->optimizer;
    t->optimizer.weights = weights;
    t->sources = bt_zalloc(bt_rows_sources(rows), sizeof *t->sources);
    err = t->sources ? BT_OK : bt_fail_nomem(diag);
    if (!err)
        err = bt_model_create(params, &options, weights, t->optimizer.gradients, &t->compute, &t->model, diag);
    if (!err && teaching)
        err = bt_lessons_create(teaching, options.rows, seq, &t->compute, &t->lessons, diag);
    if (err) {
        bt_trainer_destroy(t);
        return err;
    }
    set_warmup(config);
    *ret_trainer = t;
    return BT_OK;
}

void bt_trainer_destroy(struct bt_trainer *t)
{
    if (!t)
        return;
    bt_set_global_lambda_warmup(NULL);
    bt_feed_close(t->feed); /* first: its thread writes into the arena */
    bt_free(t->sources);
    bt_lessons_destroy(t->lessons);
    bt_model_destroy(t->model);
    bt_arena_finish(&t->arena);
    bt_free(t);
}

static size_t rows_of_update(const struct bt_trainer *t)
{
    return (size_t)t->config->gradient_accumulation_steps * t->batch.rows;
}

enum bt_err bt_trainer_begin(struct bt_trainer *t, struct bt_diag *diag)
{
    struct bt_cursor *cursor = NULL;
    bt_model_prepare(t->model);
    if (t->telemetry)
        bt_telemetry_begin(t->telemetry, t->model, &t->state.telemetry, t->state.step);
    enum bt_err err = t->lessons ? bt_lessons_begin(t->lessons, diag) : BT_OK;
    if (!err)
        err = bt_cursor_open(t->rows, t->state.row, &cursor, diag);
    if (err)
        return err;
    t->waited = t->state.data_wait_s;
    for (size_t i = 0; i < bt_rows_sources(t->rows); i++)
        t->sources[i].tokens = bt_cursor_source_tokens(cursor, i);
    return bt_feed_open(cursor, t->slots, (size_t)t->config->gradient_accumulation_steps, &t->feed, diag);
}

/* Adds what the rows of a micro-batch hold to their sources. losses: (rows * seq) of its tokens; NULL when the pass
 * had none, or no pass was run, as there is no label. Row by row in order, so the sums depend on nothing else. */
static void count_sources(struct bt_trainer *t, const struct bt_micro_batch *micro, const double *losses)
{
    const size_t seq = micro->batch.seq;
    for (size_t r = 0; r < micro->batch.rows; r++) {
        struct bt_source_report *source = &t->sources[micro->rows[r].source];
        source->tokens += micro->rows[r].tokens;
        source->labels += losses ? micro->rows[r].labels : 0;
        for (size_t i = 0; losses && i < seq; i++)
            source->loss += losses[r * seq + i];
    }
}

/* Sums of losses begin at zero, and end as means. */
static void begin_sources(struct bt_trainer *t)
{
    for (size_t i = 0; i < bt_rows_sources(t->rows); i++) {
        t->sources[i].loss = 0.0;
        t->sources[i].labels = 0;
    }
}

static void end_sources(struct bt_trainer *t, struct bt_update_report *report)
{
    report->sources = t->sources;
    report->source_count = bt_rows_sources(t->rows);
    for (size_t i = 0; i < report->source_count; i++)
        t->sources[i].loss = t->sources[i].labels ? t->sources[i].loss / (double)t->sources[i].labels : NAN;
}

/* Forward and backward of a stage with a teacher. *ret_losses: of the labels, NULL when no term asks for them. */
static enum bt_err learn(struct bt_trainer *t, const struct bt_update_report *report, double sums[BT_TERM_COUNT],
                         const double **ret_losses, struct bt_diag *diag)
{
    const struct bt_batch *batch = &t->micro->batch;
    double of_batch[BT_TERM_COUNT];
    const struct bt_lesson *lesson;
    if (!report->labels || !batch->tokens)
        return BT_OK;
    bt_lessons_update(t->lessons, &t->state, report->step, t->updates, report->labels, report->tokens);
    const enum bt_err err = bt_lessons_teach(t->lessons, batch, &lesson, diag);
    if (err)
        return err;
    const bool labels = bt_model_learn(t->model, batch, (float)report->lambda, lesson, of_batch);
    for (int term = 0; term < BT_TERM_COUNT; term++)
        sums[term] += of_batch[term];
    *ret_losses = labels ? bt_model_losses(t->model) : NULL;
    return BT_OK;
}

/* Forward and backward where cross entropy is the loss. */
static void descend(struct bt_trainer *t, const struct bt_update_report *report, double sums[BT_TERM_COUNT],
                    const double **ret_losses)
{
    const struct bt_batch *batch = &t->micro->batch;
    if (!batch->label_count)
        return;
    const float scale = (float)(1.0 / (double)report->labels);
    sums[BT_TERM_CROSS_ENTROPY] += bt_model_backward(t->model, batch, (float)report->lambda, scale);
    *ret_losses = bt_model_losses(t->model);
}

static bool measures(const struct bt_trainer *t, int64_t step)
{
    return t->telemetry && bt_telemetry_due(t->telemetry, step);
}

/* Forward and backward over the next micro-batch; adds to the sums of the loss's terms. */
static enum bt_err accumulate_one(struct bt_trainer *t, struct bt_update_report *report, double sums[BT_TERM_COUNT],
                                  struct bt_diag *diag)
{
    const double *losses = NULL;
    double waited = 0.0;
    enum bt_err err = bt_feed_next(t->feed, &t->micro, &waited, diag);
    if (err)
        return err;
    const struct bt_micro_batch *micro = t->micro;
    report->labels = micro->update_labels;
    report->tokens = micro->update_tokens;
    t->waited += waited;
    if (t->lessons)
        err = learn(t, report, sums, &losses, diag);
    else
        descend(t, report, sums, &losses);
    if (!err)
        count_sources(t, micro, losses);
    if (!err && measures(t, report->step))
        bt_telemetry_add_inputs(t->telemetry);
    return err;
}

/* Forward and backward over the micro-batches of one update; the loss is the mean over all its labels, or the weighted
 * sum of its terms. */
static enum bt_err accumulate(struct bt_trainer *t, struct bt_update_report *report, struct bt_diag *diag)
{
    const size_t micro_batches = (size_t)t->config->gradient_accumulation_steps;
    double sums[BT_TERM_COUNT] = {0.0};
    memset(t->optimizer.gradients, 0, t->params->total * sizeof(float));
    begin_sources(t);
    for (size_t k = 0; k < micro_batches; k++) {
        const enum bt_err err = accumulate_one(t, report, sums, diag);
        if (err)
            return err;
    }
    end_sources(t, report);
    report->loss = NAN;
    if (report->labels)
        report->loss = t->lessons ? bt_lessons_report(t->lessons, sums, &t->state, report->terms)
                                  : sums[BT_TERM_CROSS_ENTROPY] / (double)report->labels;
    report->padding = 1.0 - (double)report->tokens / (double)(rows_of_update(t) * t->batch.seq);
    return BT_OK;
}

static enum bt_err count_skipped(struct bt_trainer *t, const struct bt_update_report *report, struct bt_diag *diag)
{
    struct bt_train_state *state = &t->state;
    state->skipped++;
    if (++state->skipped_in_a_row < t->config->max_skipped_updates)
        return BT_OK;
    return bt_fail(diag, BT_EDIVERGED,
                   "training diverged: %lld updates in a row were not finite or had no label; update %lld has loss %g "
                   "and gradient norm %g, the first bad tensor is %s",
                   (long long)state->skipped_in_a_row, (long long)report->step, report->loss, report->grad_norm,
                   report->bad_tensor ? report->bad_tensor : "none");
}

/* The norm that clipping leaves: the fixed limit holds for what zclip leaves, too. */
static double clip(struct bt_trainer *t, struct bt_update_report *report)
{
    const double fixed = t->config->gradient_clipping;
    double norm = report->grad_norm;
    if (t->config->zclip.enabled)
        norm = bt_zclip(&t->config->zclip, &t->state.zclip, norm, &report->z_score);
    return fixed > 0.0 && norm > fixed ? fixed : norm;
}

static void apply(struct bt_trainer *t, struct bt_update_report *report)
{
    t->state.applied++;
    t->state.skipped_in_a_row = 0;
    report->clipped_norm = clip(t, report);
    const float scale = bt_clip_scale(report->grad_norm, report->clipped_norm);
    if (measures(t, report->step))
        bt_telemetry_step(t->telemetry, &t->optimizer, report->lr, t->state.applied, scale);
    else
        bt_optimizer_step(&t->optimizer, report->lr, t->state.applied, scale);
    bt_model_prepare(t->model);
}

/* Whether it is applied or not. */
static void advance(struct bt_trainer *t, const struct bt_update_report *report)
{
    t->state.step = report->step;
    t->state.row += rows_of_update(t);
    t->state.tokens += report->tokens;
    t->state.labels += report->labels;
    t->state.last_loss = report->loss;
}

enum bt_err bt_trainer_update(struct bt_trainer *t, struct bt_update_report *report, struct bt_diag *diag)
{
    const int64_t step = t->state.step + 1;
    const struct bt_param *bad = NULL;
    *report = (struct bt_update_report){
        .step = step,
        .z_score = NAN,
        .clipped_norm = NAN,
        .lambda = bt_lambda_of_update(step),
        .lr = bt_learning_rate(&t->config->scheduler, t->config->optimizer.lr, step, t->updates)};
    if (measures(t, step))
        bt_telemetry_open(t->telemetry, t->model);
    enum bt_err err = accumulate(t, report, diag);
    if (err)
        return err;
    if (measures(t, step))
        bt_telemetry_gradients(t->telemetry, &t->optimizer);
    report->grad_norm = bt_gradient_norm(&t->optimizer, &bad);
    report->bad_tensor = bad ? bad->name : NULL;
    report->applied = report->labels && isfinite(report->loss) && isfinite(report->grad_norm);
    advance(t, report);
    if (report->applied)
        apply(t, report);
    if (measures(t, step))
        bt_telemetry_close(t->telemetry, t->model, &t->state.telemetry, step);
    return report->applied ? BT_OK : count_skipped(t, report, diag);
}
