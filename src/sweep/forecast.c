#include "sweep/forecast.h"

#include <omp.h>

#include "base/clock.h"
#include "base/mem.h"
#include "io/file.h"
#include "io/json.h"
#include "nn/compute.h"
#include "sweep/outcome.h"
#include "train/plan.h"

/* Forward 2, backward 4: each weight is in one product of the forward pass and two of the backward pass, and a product
 * multiplies and adds. */
#define OPERATIONS 6.0
/* Of the speed of a product of 512 x 512 matrices, training reaches about a third: the rest is everything between
 * products, and products of other shapes (docs/performance.md has the shares). */
#define SHARE_OF_PRODUCT 0.33

enum { SIDE = 512 };
static const double MEASURE_S = 0.2;

/* ---- how much there is to do ---- */

/* Stages that stand in the run folder already, or that a shared run makes. */
static bool is_done(const struct bt_sweep *sweep, const struct bt_sweep_run *run, size_t stage)
{
    if (run->parent != BT_SWEEP_NONE && stage < sweep->runs[run->parent].config->stage_count)
        return true;
    return bt_dir_exists(run->models[stage]);
}

static void add_stage(const struct bt_train_config *config, const struct bt_stage_plan *stage,
                      struct bt_forecast_run *run)
{
    const struct bt_cfg_train_stage *section = bt_train_config_stage(config, stage->stage);
    if (!section || !stage->rows)
        return;
    const double rows = (double)section->batch_size * (double)section->gradient_accumulation_steps;
    const double tokens = (double)stage->updates * rows * (double)stage->epoch_tokens / (double)stage->rows;
    run->updates += stage->updates;
    run->operations += OPERATIONS * (double)stage->parameters * tokens;
}

static enum bt_err plan_run(const struct bt_sweep *sweep, size_t i, const struct bt_observer *observer,
                            struct bt_forecast_run *ret_run, struct bt_diag *diag)
{
    const struct bt_sweep_run *run = &sweep->runs[i];
    const struct bt_run of_config = {.config = run->config, .observer = observer};
    struct bt_diag why = {""};
    struct bt_run_plan plan;
    if ((ret_run->finished = bt_sweep_is_finished(run)))
        return BT_OK;
    const enum bt_err err = bt_plan_run(&of_config, &plan, &why);
    if (err)
        return bt_fail(diag, err, "%s: %s", run->name, why.text);
    ret_run->memory = plan.memory;
    for (size_t stage = 0; stage < plan.count; stage++)
        if (!is_done(sweep, run, stage))
            add_stage(run->config, &plan.stages[stage], ret_run);
    return BT_OK;
}

/* ---- how fast it goes ---- */

/* Adds what the stages of a finished run took. */
static void add_summary(const struct bt_sweep_run *run, double *operations, double *seconds)
{
    json_t *summary = NULL, *stage;
    const char *name;
    char *path = bt_path_join(run->path, "summary.json");
    if (path && bt_file_exists(path) && !bt_json_read(path, &summary, NULL)) {
        json_object_foreach(json_object_get(summary, "stages"), name, stage)
        {
            const double elapsed = json_number_value(json_object_get(stage, "elapsed_s"));
            if (elapsed <= 0.0)
                continue;
            *operations += OPERATIONS * json_number_value(json_object_get(stage, "parameters")) *
                           json_number_value(json_object_get(stage, "tokens"));
            *seconds += elapsed;
        }
        json_decref(summary);
    }
    bt_free(path);
}

/* Operations a second of a matrix product on so many threads; 0 when memory is out. */
static double product_rate(size_t threads)
{
    struct bt_compute compute;
    const size_t size = (size_t)SIDE * SIDE;
    float *operands = bt_zalloc(3 * size, sizeof *operands);
    double products = -1.0, begun = 0.0, now = 0.0; /* the first one warms up */
    if (!operands)
        return 0.0;
    bt_compute_auto(&compute);
    omp_set_num_threads((int)threads);
    for (; products < 1.0 || now - begun < MEASURE_S; products += 1.0) {
        if (products == 0.0)
            begun = bt_clock_seconds();
        bt_matmul_run(compute.matmul, BT_NT, SIDE, SIDE, SIDE, operands, operands + size, operands + 2 * size, false);
        now = bt_clock_seconds();
    }
    bt_free(operands);
    return products * 2.0 * SIDE * SIDE * SIDE / (now - begun);
}

static enum bt_err find_rate(const struct bt_sweep *sweep, size_t jobs, size_t threads, struct bt_forecast *f,
                             struct bt_diag *diag)
{
    double operations = 0.0, seconds = 0.0;
    for (size_t i = 0; i < sweep->run_count; i++)
        if (f->runs[i].finished) {
            add_summary(&sweep->runs[i], &operations, &seconds);
            f->rate_runs++;
        }
    if (seconds > 0.0) {
        f->rate = operations / seconds;
        return BT_OK;
    }
    f->rate_runs = 0;
    f->rate = SHARE_OF_PRODUCT * product_rate(threads) / (double)jobs;
    return f->rate > 0.0 ? BT_OK : bt_fail_nomem(diag);
}

/* ---- all of it ---- */

enum bt_err bt_sweep_forecast(const struct bt_sweep *sweep, size_t jobs, size_t threads,
                              const struct bt_observer *observer, struct bt_forecast *ret_forecast,
                              struct bt_diag *diag)
{
    struct bt_forecast f = {.runs = bt_zalloc(sweep->run_count, sizeof *f.runs)};
    enum bt_err err = f.runs ? BT_OK : bt_fail_nomem(diag);
    for (size_t i = 0; !err && i < sweep->run_count; i++)
        err = plan_run(sweep, i, observer, &f.runs[i], diag);
    if (!err)
        err = find_rate(sweep, jobs, threads, &f, diag);
    if (err) {
        bt_forecast_finish(&f);
        return err;
    }
    for (size_t i = 0; i < sweep->run_count; i++) {
        f.runs[i].seconds = f.runs[i].operations / f.rate;
        f.seconds += f.runs[i].seconds / (double)jobs;
    }
    *ret_forecast = f;
    return BT_OK;
}

void bt_forecast_finish(struct bt_forecast *forecast)
{
    bt_free(forecast->runs);
    forecast->runs = NULL;
}
