#include "report/run.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "io/file.h"
#include "io/lock.h"

const char *bt_report_state_name(enum bt_report_state state)
{
    static const char *const names[] = {
        [BT_REPORT_FINISHED] = "finished", [BT_REPORT_RUNNING] = "running", [BT_REPORT_STOPPED] = "stopped"};
    return names[state];
}

/* ---- metrics.jsonl ---- */

static enum bt_err keep_last(json_t **kept, json_t *record)
{
    json_decref(*kept);
    *kept = json_incref(record);
    return BT_OK;
}

static enum bt_err keep_all(json_t **list, json_t *record)
{
    if (!*list && !(*list = json_array()))
        return BT_ENOMEM;
    return json_array_append(*list, record) ? BT_ENOMEM : BT_OK;
}

static enum bt_err add_record(struct bt_report_run *run, json_t *record, bool *ret_known)
{
    const enum bt_stage_id id = bt_stage_by_name(json_string_value(json_object_get(record, "stage")));
    const char *event = json_string_value(json_object_get(record, "event"));
    *ret_known = id < BT_STAGE_COUNT && event && json_is_number(json_object_get(record, "step"));
    if (!*ret_known)
        return BT_OK;
    struct bt_report_stage *stage = &run->stages[id];
    if (!strcmp(event, "train"))
        return bt_series_add(&stage->train, record, ret_known, NULL);
    if (!strcmp(event, "eval"))
        return bt_series_add(&stage->eval, record, ret_known, NULL);
    if (!strcmp(event, "telemetry"))
        return bt_series_add(&stage->telemetry, record, ret_known, NULL);
    if (!strcmp(event, "sample"))
        return keep_all(&stage->samples, record);
    if (!strcmp(event, "warning"))
        return keep_all(&stage->warnings, record);
    if (!strcmp(event, "end"))
        return keep_last(&stage->end, record);
    if (strcmp(event, "start") != 0)
        return BT_OK; /* of a kind that no page shows */
    stage->starts++;
    return keep_last(&stage->start, record);
}

static enum bt_err read_line(struct bt_report_run *run, const char *line, size_t length, uint64_t number)
{
    json_t *record = NULL;
    bool known = false;
    enum bt_err err = bt_json_parse(line, length, "", &record, NULL);
    if (!err)
        err = add_record(run, record, &known);
    json_decref(record);
    if (err == BT_ENOMEM)
        return err;
    if (!known && !run->damaged++)
        run->first_damaged = number;
    return BT_OK;
}

/* What stands behind the last end of a line is being written. */
static enum bt_err read_metrics(struct bt_report_run *run, const char *path, struct bt_diag *diag)
{
    char *text;
    size_t size, at = 0;
    enum bt_err err = bt_file_read(path, &text, &size, diag);
    if (err)
        return err;
    for (uint64_t number = 1; !err && at < size; number++) {
        const char *end = memchr(text + at, '\n', size - at);
        if (!end)
            break;
        const size_t length = (size_t)(end - (text + at));
        err = read_line(run, text + at, length, number);
        at += length + 1;
    }
    bt_free(text);
    return err ? bt_fail_nomem(diag) : BT_OK;
}

/* ---- the other files ---- */

static enum bt_err read_config(struct bt_report_run *run, const char *path, struct bt_diag *diag)
{
    size_t size;
    enum bt_err err = bt_file_read(path, &run->config_text, &size, diag);
    if (!err)
        err = bt_flat_config_read(run->config_text, size, path, &run->config, NULL);
    return err == BT_ENOMEM ? bt_fail_nomem(diag) : BT_OK;
}

static bool all_stages_finished(const struct bt_report_run *run)
{
    char key[32], path[4096];
    const char *stage = NULL;
    for (size_t i = 0; i < BT_STAGE_COUNT; i++) {
        snprintf(key, sizeof key, "stages.%zu", i);
        const char *next = bt_flat_config_get(&run->config, key);
        if (!next)
            break;
        stage = next;
        snprintf(path, sizeof path, "%s/%s/model", run->path, stage);
        if (!bt_dir_exists(path))
            return false;
    }
    return stage != NULL;
}

static enum bt_report_state state_of(const struct bt_report_run *run, const char *lock)
{
    if (bt_lock_has_holder(lock))
        return BT_REPORT_RUNNING;
    return all_stages_finished(run) ? BT_REPORT_FINISHED : BT_REPORT_STOPPED;
}

char *bt_report_path_name(const char *path)
{
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/')
        length--;
    const char *at = path + length;
    while (at > path && at[-1] != '/')
        at--;
    return bt_strndup(at, (size_t)(path + length - at));
}

struct paths {
    char *metrics, *config, *summary, *conversion, *lock;
};

static bool make_paths(const char *path, struct paths *p)
{
    *p = (struct paths){.metrics = bt_path_join(path, "metrics.jsonl"),
                        .config = bt_path_join(path, "config.yaml"),
                        .summary = bt_path_join(path, "summary.json"),
                        .conversion = bt_path_join(path, "stage1/conversion.json"),
                        .lock = bt_path_join(path, "lock")};
    return p->metrics && p->config && p->summary && p->conversion && p->lock;
}

static void free_paths(struct paths *p)
{
    bt_free(p->metrics);
    bt_free(p->config);
    bt_free(p->summary);
    bt_free(p->conversion);
    bt_free(p->lock);
}

static enum bt_err read_folder(struct bt_report_run *run, const struct paths *p, struct bt_diag *diag)
{
    enum bt_err err = BT_OK;
    const bool has_config = bt_file_exists(p->config), has_metrics = bt_file_exists(p->metrics);
    if (!has_config && !has_metrics)
        return bt_fail(diag, BT_EINPUT, "%s: found neither config.yaml nor metrics.jsonl, expected a run folder",
                       run->path);
    if (has_config)
        err = read_config(run, p->config, diag);
    if (!err && has_metrics)
        err = read_metrics(run, p->metrics, diag);
    if (!err)
        err = bt_json_read_any(p->summary, &run->summary, diag);
    if (!err)
        err = bt_json_read_any(p->conversion, &run->conversion, diag);
    if (!err)
        err = bt_report_source_find(run->path, &run->config, &run->source, diag);
    if (!err)
        run->state = state_of(run, p->lock);
    return err;
}

enum bt_err bt_report_run_read(const char *path, struct bt_report_run *ret_run, struct bt_diag *diag)
{
    struct bt_report_run run = {0};
    struct paths paths;
    run.path = bt_strdup(path);
    run.name = bt_report_path_name(path);
    const bool made = make_paths(path, &paths);
    const enum bt_err err = made && run.path && run.name ? read_folder(&run, &paths, diag) : bt_fail_nomem(diag);
    free_paths(&paths);
    if (err)
        bt_report_run_finish(&run);
    else
        *ret_run = run;
    return err;
}

void bt_report_run_finish(struct bt_report_run *run)
{
    for (size_t i = 0; i < BT_STAGE_COUNT; i++) {
        struct bt_report_stage *stage = &run->stages[i];
        bt_series_finish(&stage->train);
        bt_series_finish(&stage->eval);
        bt_series_finish(&stage->telemetry);
        json_decref(stage->start);
        json_decref(stage->end);
        json_decref(stage->samples);
        json_decref(stage->warnings);
    }
    bt_flat_config_finish(&run->config);
    bt_free(run->config_text);
    json_decref(run->summary);
    json_decref(run->conversion);
    bt_free(run->path);
    bt_free(run->name);
    bt_free(run->error);
    *run = (struct bt_report_run){0};
}

/* ---- questions ---- */

const char *bt_report_stage_text(const struct bt_report_run *run, enum bt_stage_id stage, const char *key)
{
    char whole[256];
    snprintf(whole, sizeof whole, "%s.%s", bt_stage_name(stage), key);
    return bt_flat_config_get(&run->config, whole);
}

double bt_report_stage_number(const struct bt_report_run *run, enum bt_stage_id stage, const char *key,
                              double otherwise)
{
    char whole[256];
    snprintf(whole, sizeof whole, "%s.%s", bt_stage_name(stage), key);
    return bt_flat_config_number(&run->config, whole, otherwise);
}

double bt_report_stage_updates(const struct bt_report_stage *stage)
{
    const json_t *updates = json_object_get(stage->start, "updates");
    return json_is_number(updates) ? json_number_value(updates) : 0.0;
}

bool bt_report_stage_trained(const struct bt_report_stage *stage)
{
    return stage->train.records || stage->eval.records;
}

enum bt_stage_id bt_report_last_stage(const struct bt_report_run *run)
{
    for (size_t i = BT_STAGE_COUNT; i > 0; i--)
        if (bt_report_stage_trained(&run->stages[i - 1]))
            return (enum bt_stage_id)(i - 1);
    return BT_STAGE_COUNT;
}

static bool is_none(const struct bt_report_run *run, enum bt_stage_id stage, const char *key)
{
    const char *text = json_string_value(json_object_get(run->stages[stage].start, key));
    if (!text)
        text = bt_report_stage_text(run, stage, key);
    return text && !strcmp(text, "none");
}

bool bt_report_is_float(const struct bt_report_run *run, enum bt_stage_id stage)
{
    return stage == BT_STAGE0 || (is_none(run, stage, "weights") && is_none(run, stage, "activations"));
}

bool bt_report_is_full(const struct bt_report_run *run, enum bt_stage_id stage, size_t i)
{
    const struct bt_series *loss = bt_series_find(&run->stages[stage].eval, "loss");
    const struct bt_series *lambda = bt_series_find(&run->stages[stage].eval, "lambda");
    if (bt_report_is_float(run, stage))
        return true;
    return loss && lambda && i < loss->count && i < lambda->count && loss->x[i] == lambda->x[i] &&
           lambda->y[i] >= bt_report_stage_number(run, stage, "lambda_warmup.max", 1.0);
}

double bt_report_best_loss(const struct bt_report_run *run, enum bt_stage_id stage, double *ret_step)
{
    const struct bt_series *loss = bt_series_find(&run->stages[stage].eval, "loss");
    double best = NAN;
    for (size_t i = 0; loss && i < loss->count; i++)
        if (loss->x[i] > 0.0 && isfinite(loss->y[i]) && !(loss->y[i] >= best) && bt_report_is_full(run, stage, i)) {
            best = loss->y[i];
            *ret_step = loss->x[i];
        }
    return best;
}

double bt_report_final_loss(const struct bt_report_run *run, enum bt_stage_id stage)
{
    const struct bt_series *loss = bt_series_find(&run->stages[stage].eval, "loss");
    for (size_t i = loss ? loss->count : 0; i > 0; i--)
        if (isfinite(loss->y[i - 1]) && bt_report_is_full(run, stage, i - 1))
            return loss->y[i - 1];
    return NAN;
}
