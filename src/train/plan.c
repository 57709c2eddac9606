#include "train/plan.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cpu.h"
#include "base/mem.h"
#include "nn/model.h"
#include "train/compute_choice.h"
#include "train/stage_sample.h"
#include "train/stages.h"
#include "train/telemetry.h"
#include "train/trainer.h"

/* What a run touches beyond its arenas, as measured (docs/design.md says how): code and libraries that planning does
 * not reach, of which oneDNN's is large and generates more; of each thread stack and scratch, for our own tiles or for
 * what oneDNN packs operands into. */
enum { RUN_BYTES = 2 << 20, THREAD_BYTES = 3 << 19, ONEDNN_BYTES = 6 << 20, ONEDNN_THREAD_BYTES = 2 << 20 };

struct planner {
    const struct bt_run *run;
    struct bt_run_plan *plan;
    struct bt_loaded_model *model; /* the table of the stage that is looked at, without weights */
};

/* The next stage starts from a table with or without the SubLN norms. */
static enum bt_err reshape(struct planner *p, bool sub_norm, struct bt_diag *diag)
{
    const struct bt_cfg_stage1 *stage1 = &p->run->config->stage1;
    bt_params_finish(&p->model->params);
    p->model->shape.sub_norm = sub_norm;
    enum bt_err err = bt_params_init(&p->model->params, &p->model->shape, diag);
    return err ? err : bt_params_exclude(&p->model->params, stage1->exclude_layers, stage1->exclude_count, diag);
}

static size_t weight_bytes(const struct bt_params *params)
{
    return params->total * sizeof(float);
}

static size_t sum_of(const struct bt_stage_plan *s)
{
    return s->weights + s->gradients + s->optimizer + s->activations + s->other;
}

/* Adds what the rows of one kind take: their shards' pages and the plan of an epoch. */
static void add_rows(struct bt_stage_plan *s, const struct bt_rows *rows)
{
    if (rows)
        s->other += bt_rows_memory(rows);
}

static enum bt_err plan_data(struct planner *p, struct bt_stage_plan *s, struct bt_diag *diag)
{
    struct bt_stage_data data = {0};
    const enum bt_err err = bt_stage_open_data(p->run, s->stage, p->model, &data, diag);
    if (err)
        return err;
    s->updates = data.updates;
    s->rows = bt_rows_count(data.train);
    s->epoch_tokens = bt_rows_tokens(data.train);
    s->validation_rows = data.validation ? bt_rows_count(data.validation) : 0;
    add_rows(s, data.train);
    add_rows(s, data.validation);
    bt_stage_close_data(&data);
    return BT_OK;
}

/* Both moments. */
static size_t moment_bytes(const struct bt_params *params, const struct bt_cfg_optimizer *optimizer)
{
    return weight_bytes(params) + bt_second_moment_at(params, optimizer, params->count) * sizeof(float);
}

/* Codes and scales are the model at lambda 1. Below it, their master weights compute another function, and so the first
 * stage that trains must not begin there. */
static enum bt_err check_full_strength(struct planner *p, const struct bt_cfg_train_stage *config,
                                       enum bt_stage_id stage, struct bt_diag *diag)
{
    const bool packed = p->model->packed;
    p->model->packed = false;
    if (packed && bt_stage_is_quantised(config) && config->lambda_warmup.enabled)
        return bt_fail(diag, BT_EUSAGE,
                       "%s.lambda_warmup.enabled: %s holds packed ternary weights, which are that model at lambda 1 "
                       "alone; expected false",
                       bt_stage_name(stage), p->model->path);
    return BT_OK;
}

/* Of the codes that telemetry keeps. */
static uint64_t telemetry_disk(const struct planner *p, const struct bt_cfg_train_stage *config)
{
    if (!p->run->config->logging.telemetry_interval)
        return 0;
    return bt_telemetry_packed_bytes(&p->model->params, config->weights == BT_WEIGHTS_TERNARY);
}

static enum bt_err plan_training(struct planner *p, struct bt_stage_plan *s, struct bt_diag *diag)
{
    const struct bt_cfg_train_stage *config = bt_train_config_stage(p->run->config, s->stage);
    const struct bt_cfg_data *data = bt_train_config_data(p->run->config, s->stage);
    const struct bt_params *params = &p->model->params;
    struct bt_teaching teaching = {0};
    const bool taught = bt_stage_distils(s->stage);
    enum bt_err err = check_full_strength(p, config, s->stage, diag);
    if (!err)
        err = plan_data(p, s, diag);
    if (!err && taught)
        err = bt_stage_open_teaching(p->run, s->stage, &p->model->shape, false, &teaching, diag);
    if (err)
        return err;
    const size_t reserved = bt_trainer_memory(params, config, (size_t)data->max_seq_length, taught ? &teaching : NULL);
    if (teaching.teacher)
        s->other += weight_bytes(&teaching.teacher->params);
    bt_teaching_close(&teaching);
    if (!reserved)
        return bt_fail(diag, BT_EUSAGE, "%s: the sizes of the model and of batch_size overflow",
                       bt_stage_name(s->stage));
    if (p->run->config->logging.sample_interval)
        s->other += bt_stage_sample_memory(params, config);
    if (p->run->config->logging.telemetry_interval)
        s->other += bt_telemetry_memory(params, config->weights == BT_WEIGHTS_TERNARY);
    s->parameters = params->elements;
    s->weights = s->gradients = weight_bytes(params);
    s->optimizer = moment_bytes(params, &config->optimizer);
    s->activations = reserved - s->gradients - s->optimizer;
    const uint64_t kept = (uint64_t)p->run->config->checkpoint.keep_last_n + p->run->config->checkpoint.keep_best;
    const uint64_t model = bt_model_disk_size(params, p->model->path);
    s->disk = (kept + 1) * (model + s->optimizer + telemetry_disk(p, config)) + model;
    return BT_OK;
}

static enum bt_err plan_stage1(struct planner *p, struct bt_stage_plan *s, struct bt_diag *diag)
{
    struct bt_conversion_data data = {0};
    const size_t before = weight_bytes(&p->model->params);
    const bool bitnet = bt_is_bitnet_model(p->model);
    enum bt_err err = bt_conversion_open_data(p->run, p->model, &data, diag);
    if (err)
        return err;
    s->validation_rows = data.validation ? bt_rows_count(data.validation) : 0;
    add_rows(s, data.validation);
    add_rows(s, data.calibration);
    if (!bitnet)
        err = reshape(p, p->run->config->stage1.insert_subln, diag);
    s->parameters = p->model->params.elements;
    s->weights = before + weight_bytes(&p->model->params);
    if (data.seq)
        s->activations = bt_stage1_memory(&p->model->params, data.seq);
    s->disk = bt_model_disk_size(&p->model->params, p->model->path);
    bt_conversion_close_data(&data);
    return err;
}

/* The model that the first stage starts from; later ones start from what that one makes of it. */
static enum bt_err ensure_model(struct planner *p, enum bt_stage_id stage, struct bt_diag *diag)
{
    char *path = NULL;
    if (p->model)
        return BT_OK;
    enum bt_err err = bt_run_start_model(p->run, stage, &path, diag);
    if (!err)
        err = bt_model_inspect(path, p->run->config->model_config, &p->model, diag);
    bt_free(path);
    return err;
}

static enum bt_err plan_stage(struct planner *p, struct bt_stage_plan *s, struct bt_diag *diag)
{
    enum bt_err err = ensure_model(p, s->stage, diag);
    if (!err)
        err = s->stage == BT_STAGE1 ? plan_stage1(p, s, diag) : plan_training(p, s, diag);
    s->memory = sum_of(s);
    return err;
}

/* Resident bytes of this process now: code and libraries, before anything is reserved. */
static size_t resident_bytes(void)
{
    unsigned long long total = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file)
        return 0;
    if (fscanf(file, "%llu %llu", &total, &resident) != 2)
        resident = 0;
    fclose(file);
    return (size_t)resident * (size_t)sysconf(_SC_PAGESIZE);
}

static enum bt_err process_bytes(const struct bt_train_config *config, size_t *bytes, struct bt_diag *diag)
{
    const size_t threads = config->compute.threads ? (size_t)config->compute.threads : (size_t)bt_cpu_count();
    struct bt_compute compute;
    const enum bt_err err = bt_compute_choose(config, &compute, diag);
    if (err)
        return err;
    const size_t products =
        compute.matmul == bt_matmul_onednn() ? ONEDNN_BYTES + threads * ONEDNN_THREAD_BYTES : threads * THREAD_BYTES;
    *bytes = resident_bytes() + RUN_BYTES + products;
    return BT_OK;
}

enum bt_err bt_plan_run(const struct bt_run *run, struct bt_run_plan *plan, struct bt_diag *diag)
{
    struct planner p = {.run = run, .plan = plan};
    const struct bt_train_config *config = run->config;
    memset(plan, 0, sizeof *plan);
    enum bt_err err = process_bytes(config, &plan->process, diag);
    for (plan->count = 0; !err && plan->count < config->stage_count; plan->count++) {
        struct bt_stage_plan *s = &plan->stages[plan->count];
        s->stage = config->stages[plan->count];
        err = plan_stage(&p, s, diag);
        plan->memory = s->memory > plan->memory ? s->memory : plan->memory;
        plan->disk += s->disk;
    }
    plan->memory += plan->process;
    bt_model_unload(p.model);
    return err;
}
