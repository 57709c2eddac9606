#include "report/report.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "io/file.h"

/* ---- twins ---- */

/* The keys in which a float twin differs from its run. */
static const char *const twin_keys[] = {"name",
                                        "output_dir",
                                        "logging",
                                        "checkpoint",
                                        "compute",
                                        "stage1_9.weights",
                                        "stage1_9.activations",
                                        "stage2.weights",
                                        "stage2.activations",
                                        "stage3.weights",
                                        "stage3.activations",
                                        "stage1_9.lambda_warmup", /* which a float run has no use for */
                                        "stage2.lambda_warmup",
                                        "stage3.lambda_warmup",
                                        NULL};

static enum bt_err is_twin(const struct bt_report_run *run, const struct bt_report_run *other, bool *ret_twin,
                           struct bt_diag *diag)
{
    const enum bt_stage_id last = bt_report_last_stage(run);
    const struct bt_flat_config *const configs[] = {&run->config, &other->config};
    const char **keys;
    size_t count;
    *ret_twin = run != other && run->config.count && other->config.count && last < BT_STAGE_COUNT &&
                last == bt_report_last_stage(other) && !bt_report_is_float(run, last) &&
                bt_report_is_float(other, last);
    if (!*ret_twin)
        return BT_OK;
    const enum bt_err err = bt_flat_config_differences(configs, 2, twin_keys, &keys, &count, diag);
    if (err)
        return err;
    *ret_twin = count == 0;
    bt_free(keys);
    return BT_OK;
}

static enum bt_err find_twin(struct bt_report *report, size_t i, struct bt_diag *diag)
{
    enum bt_err err = BT_OK;
    bool twin = false;
    report->twins[i] = BT_REPORT_NONE;
    for (size_t k = 0; k < report->run_count && !err && !twin; k++) {
        err = is_twin(&report->runs[i], &report->runs[k], &twin, diag);
        if (!err && twin)
            report->twins[i] = k;
    }
    return err;
}

/* ---- names ---- */

static const char *label_of(const struct bt_report *report, size_t i)
{
    for (size_t k = 0; k < report->run_count; k++)
        if (k != i && !strcmp(report->runs[k].name, report->runs[i].name))
            return report->runs[i].path;
    return report->runs[i].name;
}

/* Cuts the hash off the name of a member, "lr=0.001,seed=1-b55b4636". */
static void cut_hash(char *name)
{
    const size_t length = strlen(name), digits = 8;
    if (length > digits + 1 && name[length - digits - 1] == '-' &&
        strspn(name + length - digits, "0123456789abcdef") == digits)
        name[length - digits - 1] = '\0';
}

/* ---- reading ---- */

static enum bt_err add_run(struct bt_report *report, const char *path, struct bt_diag *diag)
{
    if (report->run_count == report->room) {
        const size_t room = report->room ? 2 * report->room : 8;
        struct bt_report_run *runs = bt_realloc(report->runs, room, sizeof *runs);
        if (!runs)
            return bt_fail_nomem(diag);
        report->runs = runs;
        report->room = room;
    }
    const enum bt_err err = bt_report_run_read(path, &report->runs[report->run_count], diag);
    if (!err)
        report->run_count++;
    return err;
}

/* Why its last start failed, if it did: members/<name>.json. */
static enum bt_err read_error(const char *sweep, const char *member, struct bt_report_run *run, struct bt_diag *diag)
{
    char *path = bt_sprintf("%s/members/%s.json", sweep, member);
    json_t *note = NULL;
    enum bt_err err = path ? bt_json_read_any(path, &note, diag) : bt_fail_nomem(diag);
    const char *text = json_string_value(json_object_get(note, "error"));
    if (!err && text && !(run->error = bt_strdup(text)))
        err = bt_fail_nomem(diag);
    json_decref(note);
    bt_free(path);
    return err;
}

static bool is_run_folder(const char *path)
{
    char config[4096], metrics[4096];
    snprintf(config, sizeof config, "%s/config.yaml", path);
    snprintf(metrics, sizeof metrics, "%s/metrics.jsonl", path);
    return bt_file_exists(config) || bt_file_exists(metrics);
}

/* A member that has been begun. */
static enum bt_err add_member(struct bt_report *report, const char *sweep, const char *member, struct bt_diag *diag)
{
    char *path = bt_path_join(sweep, member);
    enum bt_err err = path ? BT_OK : bt_fail_nomem(diag);
    if (!err && is_run_folder(path)) {
        err = add_run(report, path, diag);
        if (!err)
            err = read_error(sweep, member, &report->runs[report->run_count - 1], diag);
        if (!err)
            cut_hash(report->runs[report->run_count - 1].name);
    }
    bt_free(path);
    return err;
}

/* members/<name>.yaml is there for every member, and for what several share, which is no run to look at. */
static enum bt_err add_members(struct bt_report *report, const char *sweep, const char *folder, struct bt_diag *diag)
{
    char **names;
    size_t count;
    enum bt_err err = bt_dir_list(folder, &names, &count, diag);
    if (err)
        return err;
    for (size_t i = 0; i < count && !err; i++) {
        const size_t length = strlen(names[i]), ending = strlen(".yaml");
        if (length <= ending || strcmp(names[i] + length - ending, ".yaml") != 0 || !strncmp(names[i], "shared-", 7))
            continue;
        names[i][length - ending] = '\0';
        err = add_member(report, sweep, names[i], diag);
    }
    bt_names_free(names, count);
    return err;
}

/* Keeps a row of the sweep's results whose member has no run folder yet. */
static enum bt_err add_row(struct bt_report *report, const char *sweep, json_t *row, struct bt_diag *diag)
{
    const char *name = json_string_value(json_object_get(row, "name"));
    char *path = name ? bt_path_join(sweep, name) : NULL;
    if (name && !path)
        return bt_fail_nomem(diag);
    const bool wanted = name && !is_run_folder(path);
    bt_free(path);
    if (!wanted)
        return BT_OK;
    if (!report->pending && !(report->pending = json_array()))
        return bt_fail_nomem(diag);
    return json_array_append(report->pending, row) ? bt_fail_nomem(diag) : BT_OK;
}

static enum bt_err read_rows(struct bt_report *report, const char *sweep, const char *path, struct bt_diag *diag)
{
    char *text, *line, *rest;
    size_t size;
    if (!bt_file_exists(path))
        return BT_OK;
    enum bt_err err = bt_file_read(path, &text, &size, diag);
    if (err)
        return err;
    for (rest = text; !err && (line = strsep(&rest, "\n"));) {
        json_t *row = NULL;
        err = bt_json_parse(line, strlen(line), path, &row, NULL);
        err = err == BT_ENOMEM ? bt_fail_nomem(diag) : err ? BT_OK : add_row(report, sweep, row, diag);
        json_decref(row);
    }
    bt_free(text);
    return err;
}

static enum bt_err add_path(struct bt_report *report, const char *path, bool alone, struct bt_diag *diag)
{
    char *members = bt_path_join(path, "members"), *results = bt_path_join(path, "results.jsonl");
    enum bt_err err = members && results ? BT_OK : bt_fail_nomem(diag);
    const bool sweep = !err && bt_dir_exists(members) && !is_run_folder(path);
    if (!err && !sweep)
        err = add_run(report, path, diag);
    if (!err && sweep)
        err = add_members(report, path, members, diag);
    if (!err && sweep)
        err = read_rows(report, path, results, diag);
    if (!err && sweep && alone && !(report->sweep = bt_report_path_name(path)))
        err = bt_fail_nomem(diag);
    bt_free(members);
    bt_free(results);
    return err;
}

static enum bt_err relate(struct bt_report *report, struct bt_diag *diag)
{
    enum bt_err err = BT_OK;
    report->labels = bt_zalloc(report->run_count, sizeof *report->labels);
    report->twins = bt_zalloc(report->run_count, sizeof *report->twins);
    if (!report->labels || !report->twins)
        return bt_fail_nomem(diag);
    for (size_t i = 0; i < report->run_count && !err; i++) {
        report->labels[i] = label_of(report, i);
        err = find_twin(report, i, diag);
    }
    return err;
}

enum bt_err bt_report_read(const char *const *paths, size_t count, struct bt_report *ret_report, struct bt_diag *diag)
{
    struct bt_report report = {0};
    enum bt_err err = BT_OK;
    for (size_t i = 0; i < count && !err; i++)
        err = add_path(&report, paths[i], count == 1, diag);
    if (!err && !report.run_count)
        err = bt_fail(diag, BT_EINPUT, "%s: no member of the sweep has begun", paths[0]);
    if (!err)
        err = relate(&report, diag);
    if (err)
        bt_report_finish(&report);
    else
        *ret_report = report;
    return err;
}

void bt_report_finish(struct bt_report *report)
{
    for (size_t i = 0; i < report->run_count; i++)
        bt_report_run_finish(&report->runs[i]);
    bt_free(report->runs);
    bt_free(report->labels);
    bt_free(report->twins);
    bt_free(report->sweep);
    json_decref(report->pending);
    *report = (struct bt_report){0};
}

bool bt_report_goes_on(const struct bt_report *report)
{
    for (size_t i = 0; i < report->run_count; i++)
        if (report->runs[i].state != BT_REPORT_FINISHED)
            return true;
    return json_array_size(report->pending) > 0;
}

struct bt_report_source bt_report_source(const struct bt_report *report)
{
    struct bt_report_source source = {0};
    for (size_t i = 0; i < report->run_count; i++) {
        const struct bt_report_source *other = &report->runs[i].source;
        if (!source.known)
            source = *other;
        else if (other->known && other->source != source.source)
            return (struct bt_report_source){0};
    }
    return source;
}

double bt_report_loss(const struct bt_report *report, size_t run)
{
    const enum bt_stage_id last = run == BT_REPORT_NONE ? BT_STAGE_COUNT : bt_report_last_stage(&report->runs[run]);
    return last < BT_STAGE_COUNT ? bt_report_final_loss(&report->runs[run], last) : NAN;
}

double bt_report_end_loss(const struct bt_report *report, size_t run)
{
    const bool ended = run != BT_REPORT_NONE && report->runs[run].state == BT_REPORT_FINISHED;
    return ended ? bt_report_loss(report, run) : NAN;
}

double bt_report_cost(const struct bt_report *report, size_t run)
{
    return bt_report_end_loss(report, run) - bt_report_end_loss(report, report->twins[run]);
}

bool bt_report_is_twin(const struct bt_report *report, size_t run)
{
    for (size_t i = 0; i < report->run_count; i++)
        if (report->twins[i] == run)
            return true;
    return false;
}

double bt_report_seconds(const struct bt_report_run *run)
{
    double seconds = NAN;
    for (size_t i = 0; i < BT_STAGE_COUNT; i++) {
        const double part = bt_series_last(bt_series_find(&run->stages[i].train, "elapsed_s"));
        if (isfinite(part))
            seconds = part + (isfinite(seconds) ? seconds : 0.0);
    }
    return seconds;
}

size_t bt_report_warnings(const struct bt_report_run *run)
{
    size_t count = 0;
    for (size_t i = 0; i < BT_STAGE_COUNT; i++)
        count += json_array_size(run->stages[i].warnings);
    return count;
}

/* What it is like is of less interest than what other keys do. */
static void put_seed_last(const char **keys, size_t count)
{
    for (size_t i = 0; i + 1 < count; i++)
        if (!strcmp(keys[i], "seed")) {
            const char *seed = keys[i];
            memmove(keys + i, keys + i + 1, (count - i - 1) * sizeof *keys);
            keys[count - 1] = seed;
        }
}

enum bt_err bt_report_differences(const struct bt_report *report, bool twins, const char ***ret_keys, size_t *ret_count,
                                  struct bt_diag *diag)
{
    static const char *const aside[] = {"name", "output_dir", "compute.threads", NULL};
    const struct bt_flat_config **configs = bt_alloc(report->run_count * sizeof *configs);
    size_t count = 0;
    if (!configs)
        return bt_fail_nomem(diag);
    for (size_t i = 0; i < report->run_count; i++)
        if (report->runs[i].config.count && (twins || !bt_report_is_twin(report, i)))
            configs[count++] = &report->runs[i].config;
    const enum bt_err err = bt_flat_config_differences(configs, count, aside, ret_keys, ret_count, diag);
    bt_free(configs);
    if (!err)
        put_seed_last(*ret_keys, *ret_count);
    return err;
}
