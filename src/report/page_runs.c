/* The table of runs. Of many runs, the keys in which they differ are columns of it. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "report/html.h"
#include "report/page_parts.h"
#include "report/plot.h"

enum { KEYS_MOST = 12, RUNS_MANY = 5 };

struct run_table {
    struct bt_text_buf *out;
    const struct bt_report *report;
    size_t *order;     /* (run_count) */
    const char **keys; /* columns */
    size_t key_count;
    bool sources, twins; /* known of any run: columns */
};

/* ---- what is shown ---- */

/* By loss, as the table of a sweep is; runs that are not finished come last. */
static void sort_by_loss(struct run_table *t)
{
    for (size_t i = 1; i < t->report->run_count; i++)
        for (size_t k = i; k > 0; k--) {
            const double a = bt_report_end_loss(t->report, t->order[k - 1]);
            const double b = bt_report_end_loss(t->report, t->order[k]);
            if (!isfinite(b) || a <= b)
                break;
            const size_t swap = t->order[k];
            t->order[k] = t->order[k - 1];
            t->order[k - 1] = swap;
        }
}

bool bt_page_keys_in_table(const struct bt_report *report, size_t key_count)
{
    return report->run_count >= RUNS_MANY && key_count <= KEYS_MOST;
}

static void find_columns(struct run_table *t)
{
    for (size_t i = 0; i < t->report->run_count; i++) {
        t->sources |= t->report->runs[i].source.known;
        t->twins |= t->report->twins[i] != BT_REPORT_NONE;
    }
}

static size_t loss_columns(const struct run_table *t)
{
    return 2 + (size_t)t->sources + (size_t)t->twins;
}

static bool prepare(struct run_table *t)
{
    t->order = bt_alloc(t->report->run_count * sizeof *t->order);
    if (!t->order || bt_report_differences(t->report, false, &t->keys, &t->key_count, NULL)) {
        t->out->failed = true;
        return false;
    }
    for (size_t i = 0; i < t->report->run_count; i++)
        t->order[i] = i;
    find_columns(t);
    if (t->report->sweep)
        sort_by_loss(t);
    if (!bt_page_keys_in_table(t->report, t->key_count))
        t->key_count = 0;
    return true;
}

/* The last part of a key, or all of it where that is another one's too. */
static const char *short_key(const struct run_table *t, size_t k)
{
    const char *dot = strrchr(t->keys[k], '.'), *end = dot ? dot + 1 : t->keys[k];
    for (size_t i = 0; i < t->key_count; i++) {
        const char *other = strrchr(t->keys[i], '.');
        if (i != k && !strcmp(other ? other + 1 : t->keys[i], end))
            return t->keys[k];
    }
    return end;
}

/* ---- cells ---- */

static void write_gap(struct bt_text_buf *out, double gap)
{
    bt_text_add(out, "<td>");
    if (isfinite(gap))
        bt_text_add(out, "%+.4f", gap);
    bt_text_add(out, "</td>");
}

static void write_name(const struct run_table *t, size_t i)
{
    bt_text_add(t->out, "<th scope=\"row\"><i class=\"swatch c%u%s\"></i>", (unsigned)i % BT_PLOT_COLOURS,
                i / BT_PLOT_COLOURS % 2 ? " broken" : "");
    bt_html_text(t->out, t->report->labels[i]);
    bt_text_add(t->out, "</th>");
}

static void write_keys(const struct run_table *t, const struct bt_flat_config *config)
{
    for (size_t k = 0; k < t->key_count; k++) {
        bt_text_add(t->out, "<td>");
        bt_html_text(t->out, bt_flat_config_show(config, t->keys[k]));
        bt_text_add(t->out, "</td>");
    }
}

static void write_state(struct bt_text_buf *out, const char *state)
{
    bt_text_add(out, "<td class=\"left\"><span class=\"state ");
    bt_html_text(out, state);
    bt_text_add(out, "\">");
    bt_html_text(out, state);
    bt_text_add(out, "</span></td>");
}

static void write_losses(const struct run_table *t, size_t i, enum bt_stage_id last)
{
    const struct bt_report_run *run = &t->report->runs[i];
    double step;
    const double final = bt_report_loss(t->report, i), best = bt_report_best_loss(run, last, &step);
    bt_text_add(t->out, "<td%s>", run->state == BT_REPORT_FINISHED ? "" : " class=\"so-far\"");
    bt_html_fixed(t->out, final, 4);
    bt_text_add(t->out, "</td><td>");
    bt_html_fixed(t->out, best, 4);
    bt_text_add(t->out, "</td>");
    if (t->sources)
        write_gap(t->out, run->source.known ? final - run->source.source : NAN);
    if (t->twins)
        write_gap(t->out, bt_report_cost(t->report, i));
}

static void write_progress(const struct run_table *t, size_t i, enum bt_stage_id last)
{
    const struct bt_report_stage *stage = &t->report->runs[i].stages[last];
    const struct bt_series *loss = bt_series_find(&stage->train, "loss");
    bt_text_add(t->out, "<td class=\"left\">%s%s</td><td>%.0f / %.0f</td>", bt_stage_name(last),
                bt_report_is_float(&t->report->runs[i], last) ? " in float" : "", loss ? loss->x[loss->count - 1] : 0.0,
                bt_report_stage_updates(stage));
}

static void write_pace(const struct run_table *t, size_t i, enum bt_stage_id last)
{
    const struct bt_report_run *run = &t->report->runs[i];
    bt_text_add(t->out, "<td>");
    bt_html_figure(t->out, bt_series_last(bt_series_find(&run->stages[last].train, "tokens_per_second")), 4);
    bt_text_add(t->out, "</td><td>");
    bt_html_duration(t->out, bt_report_seconds(run));
    bt_text_add(t->out, "</td><td>%zu</td>", bt_report_warnings(run));
}

static void write_row(const struct run_table *t, size_t i)
{
    const struct bt_report_run *run = &t->report->runs[i];
    const enum bt_stage_id last = bt_report_last_stage(run);
    const bool failed = run->error && run->state == BT_REPORT_STOPPED, begun = last < BT_STAGE_COUNT;
    bt_text_add(t->out, "<tr>");
    write_name(t, i);
    if (begun)
        write_losses(t, i, last);
    else
        bt_text_add(t->out, "<td colspan=\"%zu\"></td>", loss_columns(t));
    write_keys(t, &run->config);
    write_state(t->out, failed ? "failed" : bt_report_state_name(run->state));
    if (begun) {
        write_progress(t, i, last);
        write_pace(t, i, last);
    } else {
        bt_text_add(t->out, "<td colspan=\"5\" class=\"left\">nothing trained yet</td>");
    }
    bt_text_add(t->out, "<td class=\"left\">");
    bt_html_text(t->out, failed ? run->error : NULL);
    bt_text_add(t->out, "</td></tr>\n");
}

/* A member of a sweep that has not begun, or that failed before it had a folder. */
static void write_pending(const struct run_table *t, const json_t *row)
{
    const char *status = json_string_value(json_object_get(row, "status"));
    bt_text_add(t->out, "<tr><th scope=\"row\">");
    bt_html_text(t->out, json_string_value(json_object_get(row, "name")));
    bt_text_add(t->out, "</th><td colspan=\"%zu\"></td>", loss_columns(t) + t->key_count);
    write_state(t->out, status ? status : "pending");
    bt_text_add(t->out, "<td colspan=\"5\"></td><td class=\"left\">");
    bt_html_text(t->out, json_string_value(json_object_get(row, "error")));
    bt_text_add(t->out, "</td></tr>\n");
}

static void write_head(const struct run_table *t)
{
    bt_text_add(t->out, "<thead><tr><th>run</th><th>final loss</th><th>best</th>%s%s",
                t->sources ? "<th>above source</th>" : "", t->twins ? "<th>above twin</th>" : "");
    for (size_t k = 0; k < t->key_count; k++) {
        bt_text_add(t->out, "<th title=\"");
        bt_html_text(t->out, t->keys[k]);
        bt_text_add(t->out, "\">");
        bt_html_text(t->out, short_key(t, k));
        bt_text_add(t->out, "</th>");
    }
    bt_text_add(t->out, "<th class=\"left\">state</th><th class=\"left\">stage</th><th>updates</th><th>tokens/s</th>"
                        "<th>time</th><th>warnings</th><th></th></tr></thead>\n<tbody>");
}

void bt_page_runs(struct bt_text_buf *out, const struct bt_report *report)
{
    struct run_table t = {.out = out, .report = report};
    if (prepare(&t)) {
        bt_text_add(out, "<section id=\"runs\"><h2>Runs</h2><div class=\"scroll\"><table>");
        write_head(&t);
        for (size_t i = 0; i < report->run_count; i++)
            write_row(&t, t.order[i]);
        for (size_t i = 0; i < json_array_size(report->pending); i++)
            write_pending(&t, json_array_get(report->pending, i));
        bt_text_add(out,
                    "</tbody></table></div><p class=\"note\">Final and best loss: validation of the last stage at "
                    "full lambda, in nats per label; pale: so far, of a run that is not finished.%s</p></section>\n",
                    t.twins ? " Above twin: what the ternary weights and int8 activations cost, against the same run "
                              "in float, once both are finished."
                            : "");
    }
    bt_free(t.order);
    bt_free(t.keys);
}
