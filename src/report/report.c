#include "report/report.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"

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

/* ---- the whole ---- */

static const char *label_of(const struct bt_report *report, size_t i)
{
    for (size_t k = 0; k < report->run_count; k++)
        if (k != i && !strcmp(report->runs[k].name, report->runs[i].name))
            return report->runs[i].path;
    return report->runs[i].name;
}

static enum bt_err relate(struct bt_report *report, struct bt_diag *diag)
{
    enum bt_err err = BT_OK;
    for (size_t i = 0; i < report->run_count && !err; i++) {
        report->labels[i] = label_of(report, i);
        err = find_twin(report, i, diag);
    }
    return err;
}

enum bt_err bt_report_read(const char *const *paths, size_t count, struct bt_report *ret_report, struct bt_diag *diag)
{
    struct bt_report report = {.runs = bt_zalloc(count, sizeof *report.runs),
                               .labels = bt_zalloc(count, sizeof *report.labels),
                               .twins = bt_zalloc(count, sizeof *report.twins)};
    enum bt_err err = report.runs && report.labels && report.twins ? BT_OK : bt_fail_nomem(diag);
    for (size_t i = 0; i < count && !err; i++) {
        err = bt_report_run_read(paths[i], &report.runs[i], diag);
        if (!err)
            report.run_count++;
    }
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
    *report = (struct bt_report){0};
}

bool bt_report_goes_on(const struct bt_report *report)
{
    for (size_t i = 0; i < report->run_count; i++)
        if (report->runs[i].state != BT_REPORT_FINISHED)
            return true;
    return false;
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

enum bt_err bt_report_differences(const struct bt_report *report, const char ***ret_keys, size_t *ret_count,
                                  struct bt_diag *diag)
{
    static const char *const aside[] = {"name", NULL};
    const struct bt_flat_config **configs = bt_alloc(report->run_count * sizeof *configs);
    size_t count = 0;
    if (!configs)
        return bt_fail_nomem(diag);
    for (size_t i = 0; i < report->run_count; i++)
        if (report->runs[i].config.count)
            configs[count++] = &report->runs[i].config;
    const enum bt_err err = bt_flat_config_differences(configs, count, aside, ret_keys, ret_count, diag);
    bt_free(configs);
    return err;
}
