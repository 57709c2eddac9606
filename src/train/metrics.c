#include "train/metrics.h"

#include <stdbool.h>
#include <string.h>

#include "base/mem.h"
#include "config/train_config.h"
#include "io/file.h"

struct bt_metrics {
    struct bt_append *file;
};

enum bt_err bt_metrics_open(const char *path, uint64_t keep_bytes, struct bt_metrics **ret_metrics,
                            struct bt_diag *diag)
{
    struct bt_metrics *metrics = bt_zalloc(1, sizeof *metrics);
    if (!metrics)
        return bt_fail_nomem(diag);
    const enum bt_err err = bt_append_open(path, keep_bytes, &metrics->file, diag);
    if (err)
        bt_free(metrics);
    else
        *ret_metrics = metrics;
    return err;
}

void bt_metrics_close(struct bt_metrics *metrics)
{
    if (!metrics)
        return;
    bt_append_close(metrics->file);
    bt_free(metrics);
}

enum bt_err bt_metrics_write(struct bt_metrics *metrics, json_t *record, struct bt_diag *diag)
{
    char *line = record ? bt_json_text(record, JSON_COMPACT) : NULL;
    json_decref(record);
    if (!line)
        return bt_fail_nomem(diag);
    const enum bt_err err = bt_append_line(metrics->file, line, strlen(line), diag);
    bt_free(line);
    return err;
}

enum bt_err bt_metrics_sync(struct bt_metrics *metrics, struct bt_diag *diag)
{
    return bt_append_sync(metrics->file, diag);
}

uint64_t bt_metrics_size(const struct bt_metrics *metrics)
{
    return bt_append_size(metrics->file);
}

/* Is the line a record of a stage that comes before `stage`? A line that is no record is not. */
static enum bt_err belongs_before(const char *line, size_t length, const char *path, enum bt_stage_id stage,
                                  bool *ret_before, struct bt_diag *diag)
{
    json_t *record = NULL;
    const enum bt_err err = bt_json_parse(line, length, path, &record, NULL);
    if (err == BT_ENOMEM)
        return bt_fail_nomem(diag);
    *ret_before = !err && bt_stage_by_name(json_string_value(json_object_get(record, "stage"))) < stage;
    json_decref(record);
    return BT_OK;
}

enum bt_err bt_metrics_stage_start(const char *path, const char *stage, uint64_t *ret_bytes, struct bt_diag *diag)
{
    struct bt_map map = {0};
    enum bt_err err = BT_OK;
    size_t at = 0;
    const enum bt_stage_id id = bt_stage_by_name(stage);
    if (bt_file_exists(path))
        err = bt_map_open(path, &map, diag);
    while (!err && at < map.size) {
        bool before = false;
        const char *line = (const char *)map.data + at, *end = memchr(line, '\n', map.size - at);
        if (end)
            err = belongs_before(line, (size_t)(end - line), path, id, &before, diag);
        if (!before)
            break;
        at += (size_t)(end - line) + 1;
    }
    if (!err)
        *ret_bytes = at;
    bt_map_close(&map);
    return err;
}
