#include "base/mem.h"
#include "io/file.h"
#include "io/json.h"
#include "train/metrics.h"
#include "train/stage1.h"

static json_t *names_where(const struct bt_conversion *c,
                           bool (*wanted)(const struct bt_conversion *, const struct bt_param *))
{
    json_t *names = json_array();
    for (size_t i = 0; names && i < c->params.count; i++)
        if (wanted(c, &c->params.list[i]) && json_array_append_new(names, json_string(c->params.list[i].name))) {
            json_decref(names);
            return NULL;
        }
    return names;
}

static bool is_changed(const struct bt_conversion *c, const struct bt_param *p)
{
    (void)c;
    return p->linear && !p->excluded;
}

static bool is_left_out(const struct bt_conversion *c, const struct bt_param *p)
{
    (void)c;
    return p->linear && p->excluded;
}

static bool is_added(const struct bt_conversion *c, const struct bt_param *p)
{
    return !bt_params_find(&c->from->params, p->name);
}

static json_t *float_list(const float *values, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < count; i++)
        if (json_array_append_new(list, bt_json_float(values[i]))) {
            json_decref(list);
            return NULL;
        }
    return list;
}

static json_t *gains_report(const struct bt_conversion *c)
{
    if (!c->data.calibration)
        return json_null();
    return json_pack("{s:o, s:o, s:I}", "attn_sub_norm", float_list(c->gains.attn, c->shape.layers), "ffn_sub_norm",
                     float_list(c->gains.ffn, c->shape.layers), "tokens", (json_int_t)c->squares.tokens);
}

static bool adds_norms(const struct bt_conversion *c)
{
    return c->shape.sub_norm && !c->from->shape.sub_norm;
}

static json_t *conversion_report(const struct bt_conversion *c)
{
    const char *init = c->config->subln_init == BT_SUBLN_CALIBRATED ? "calibrated" : "ones";
    return json_pack("{s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "passed_through", c->bitnet, "subln_init",
                     adds_norms(c) ? json_string(init) : json_null(), "loss_before", bt_json_real(c->loss_before),
                     "loss_lambda_0", bt_json_real(c->loss_lambda_0), "loss_lambda_1", bt_json_real(c->loss_lambda_1),
                     "changed", c->bitnet ? json_array() : names_where(c, is_changed), "added",
                     names_where(c, is_added), "left_out", names_where(c, is_left_out), "gains", gains_report(c));
}

static enum bt_err write_report(const struct bt_conversion *c, struct bt_diag *diag)
{
    char *folder = bt_run_stage_path(c->run->folder, BT_STAGE1, "");
    char *path = bt_run_stage_path(c->run->folder, BT_STAGE1, "conversion.json");
    json_t *report = conversion_report(c);
    enum bt_err err = folder && path && report ? bt_dir_make(folder, diag) : bt_fail_nomem(diag);
    if (!err)
        err = bt_json_replace(path, report, diag);
    json_decref(report);
    bt_free(folder);
    bt_free(path);
    return err;
}

static json_t *summary_part(const struct bt_conversion *c)
{
    return json_pack("{s:b, s:o, s:o, s:o, s:I}", "passed_through", c->bitnet, "loss_before",
                     bt_json_real(c->loss_before), "loss_lambda_0", bt_json_real(c->loss_lambda_0), "loss_lambda_1",
                     bt_json_real(c->loss_lambda_1), "parameters", (json_int_t)c->params.elements);
}

static json_t *metrics_record(const struct bt_conversion *c, const char *event)
{
    json_t *record = summary_part(c);
    json_t *head = json_pack("{s:s, s:s, s:i}", "event", event, "stage", "stage1", "step", 0);
    if (!record || !head || json_object_update(head, record)) {
        json_decref(head);
        head = NULL;
    }
    json_decref(record);
    return head;
}

static enum bt_err write_records(const struct bt_conversion *c, struct bt_diag *diag)
{
    struct bt_metrics *metrics = NULL;
    uint64_t keep = 0;
    const char *path = bt_run_metrics(c->run->folder);
    enum bt_err err = bt_metrics_stage_start(path, "stage1", &keep, diag);
    if (!err)
        err = bt_metrics_open(path, keep, &metrics, diag);
    if (!err)
        err = bt_metrics_write(metrics, metrics_record(c, "start"), diag);
    if (!err)
        err = bt_metrics_write(metrics, metrics_record(c, "end"), diag);
    if (!err)
        err = bt_metrics_sync(metrics, diag);
    if (!err)
        err = bt_run_summary(c->run->folder, BT_STAGE1, summary_part(c), diag);
    bt_metrics_close(metrics);
    return err;
}

enum bt_err bt_conversion_report(const struct bt_conversion *c, struct bt_diag *diag)
{
    const enum bt_err err = write_report(c, diag);
    return err ? err : write_records(c, diag);
}
