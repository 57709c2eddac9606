/* What the ternary weights and int8 activations did (docs/telemetry.md), and what was warned of. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "report/heat.h"
#include "report/html.h"
#include "report/page_parts.h"
#include "report/plot.h"

enum { GROUPS_MAX = 7, LAYERS_MAX = 1024, HEAT_RUNS_MAX = 4 };

static const char *const projections[] = {"q_proj",    "k_proj",  "v_proj",    "o_proj",
                                          "gate_proj", "up_proj", "down_proj", NULL};
static const char *const activations[] = {"qkv", "o", "gate_up", "down", NULL};

struct measure {
    const char *section, *key;
    const char *const *groups;
    const char *title, *unit;
    bool log;
};

static const struct measure measures[] = {
    {"projections", "zero", projections, "Zeros", "share of codes that are 0", false},
    {"projections", "flipped", projections, "Flips", "share of codes, since the record before", true},
    {"projections", "near_boundary", projections, "Near a boundary", "share of master weights", false},
    {"projections", "sign_changed", projections, "Sign changes", "share of codes", true},
    {"projections", "scale", projections, "Scale", "mean magnitude of the weights", true},
    {"projections", "grad_norm", projections, "Gradient norm", NULL, true},
    {"projections", "update_ratio", projections, "Update to weight", "ratio of norms", true},
    {"projections", "minus", projections, "Codes -1", "share", false},
    {"projections", "plus", projections, "Codes +1", "share", false},
    {"activations", "absmax", activations, "Largest activation", "magnitude", true},
    {"activations", "ends", activations, "Activations at the ends", "share of codes at 127 and -127", true},
};
#define MEASURE_COUNT (sizeof measures / sizeof measures[0])

/* ---- what is there ---- */

struct rows { /* of a measure in a stage */
    struct bt_heat_group groups[GROUPS_MAX];
    size_t group_count;
    const struct bt_series **list; /* what the groups point to; bt_free */
    size_t count;
};

static const struct bt_series *find_layer(const struct bt_series_set *set, const struct measure *m, const char *group,
                                          size_t layer)
{
    char key[128];
    snprintf(key, sizeof key, "%s.%s.%s.%zu", m->section, group, m->key, layer);
    return bt_series_find(set, key);
}

/* The layers of each group, as many as follow each other from 0 on. False when memory is out. */
static bool find_rows(const struct bt_series_set *set, const struct measure *m, struct rows *rows)
{
    *rows = (struct rows){.list = bt_alloc(GROUPS_MAX * LAYERS_MAX * sizeof *rows->list)};
    for (size_t g = 0; rows->list && m->groups[g]; g++) {
        const struct bt_series **first = rows->list + rows->count, *found;
        size_t layers = 0;
        while (layers < LAYERS_MAX && (found = find_layer(set, m, m->groups[g], layers)))
            first[layers++] = found;
        if (layers)
            rows->groups[rows->group_count++] =
                (struct bt_heat_group){.name = m->groups[g], .rows = first, .count = layers};
        rows->count += layers;
    }
    return rows->list;
}

static bool any_finite(const struct rows *rows)
{
    for (size_t i = 0; i < rows->count; i++)
        if (isfinite(bt_series_last(rows->list[i])))
            return true;
    return false;
}

/* ---- heat maps of one run ---- */

static void write_heat(struct bt_text_buf *out, const struct bt_series_set *set, const struct measure *m)
{
    struct rows rows;
    if (!find_rows(set, m, &rows))
        out->failed = true;
    else if (any_finite(&rows))
        bt_heat_write(out, &(struct bt_heat){.title = m->title,
                                             .unit = m->unit,
                                             .row_name = "layer",
                                             .groups = rows.groups,
                                             .group_count = rows.group_count,
                                             .log = m->log});
    bt_free(rows.list);
}

static void write_heats(struct bt_text_buf *out, const struct bt_report *report, size_t run, enum bt_stage_id stage)
{
    const struct bt_series_set *set = &report->runs[run].stages[stage].telemetry;
    const bool folded = report->run_count > 1;
    if (!set->records)
        return;
    bt_text_add(out, "<section class=\"telemetry\"><h2>Telemetry <small>%s, %zu records%s", bt_stage_name(stage),
                set->records, folded ? " of " : "");
    if (folded)
        bt_html_text(out, report->labels[run]);
    bt_text_add(out,
                "</small></h2>%s<p class=\"note\">A row is a layer, the first one on top; a column is a record.</p>"
                "<div class=\"wide heats\">",
                folded ? "<details><summary>heat maps</summary>" : "");
    for (size_t i = 0; i < MEASURE_COUNT; i++)
        write_heat(out, set, &measures[i]);
    bt_text_add(out, "</div>%s</section>\n", folded ? "</details>" : "");
}

void bt_page_telemetry(struct bt_text_buf *out, const struct bt_report *report, size_t run)
{
    if (report->run_count <= HEAT_RUNS_MAX)
        for (size_t s = BT_STAGE_COUNT; s > 0; s--)
            write_heats(out, report, run, (enum bt_stage_id)(s - 1));
}

/* ---- several runs: means over all layers ---- */

struct means {
    struct bt_plot_curve *curves; /* (run_count) */
    double *values;               /* of all curves */
    size_t count, used;
};

static double mean_at(const struct rows *rows, size_t record)
{
    double sum = 0.0;
    size_t count = 0;
    for (size_t i = 0; i < rows->count; i++)
        if (record < rows->list[i]->count && isfinite(rows->list[i]->y[record])) {
            sum += rows->list[i]->y[record];
            count++;
        }
    return count ? sum / (double)count : NAN;
}

/* Adds the curve of a run. Records that have nothing of the kind, such as gradients before the first update, are no
 * points. */
static void add_mean(struct means *means, const struct rows *rows, const char *name, unsigned colour)
{
    const struct bt_series *first = rows->count ? rows->list[0] : NULL;
    const size_t room = first ? first->count : 0;
    double *x = means->values + means->used, *y = x + room;
    size_t count = 0;
    for (size_t i = 0; i < room; i++) {
        const double mean = mean_at(rows, i);
        if (!isfinite(mean))
            continue;
        x[count] = first->x[i];
        y[count++] = mean;
    }
    means->used += 2 * room;
    if (count)
        means->curves[means->count++] = (struct bt_plot_curve){
            .name = name, .kind = BT_PLOT_LINE, .colour = colour, .count = count, .x = x, .y = y};
}

static void write_means(struct bt_text_buf *out, const struct bt_report *report, enum bt_stage_id stage,
                        const struct measure *m, struct means *means)
{
    double x_high = 1.0;
    means->count = means->used = 0;
    for (size_t r = 0; r < report->run_count; r++) {
        struct rows rows;
        if (find_rows(&report->runs[r].stages[stage].telemetry, m, &rows))
            add_mean(means, &rows, report->labels[r], (unsigned)r);
        else
            out->failed = true;
        bt_free(rows.list);
    }
    for (size_t c = 0; c < means->count; c++)
        x_high = fmax(x_high, means->curves[c].x[means->curves[c].count - 1]);
    if (means->count)
        bt_plot_write(out, &(struct bt_plot){.title = m->title,
                                             .unit = m->unit,
                                             .x_name = "update",
                                             .curves = means->curves,
                                             .curve_count = means->count,
                                             .x_high = x_high,
                                             .log_y = m->log,
                                             .small = true,
                                             .no_legend = true});
}

static void write_stage_means(struct bt_text_buf *out, const struct bt_report *report, enum bt_stage_id stage)
{
    struct means means = {0};
    size_t records = 0;
    for (size_t r = 0; r < report->run_count; r++)
        records += report->runs[r].stages[stage].telemetry.records;
    if (!records)
        return;
    means.curves = bt_alloc(report->run_count * sizeof *means.curves);
    means.values = bt_alloc(2 * records * sizeof *means.values);
    out->failed |= !means.curves || !means.values;
    bt_text_add(out,
                "<section><h2>Telemetry <small>%s, means over all layers and projections</small></h2><div "
                "class=\"tiles\">",
                bt_stage_name(stage));
    for (size_t i = 0; i < MEASURE_COUNT && means.curves && means.values; i++)
        write_means(out, report, stage, &measures[i], &means);
    bt_text_add(out, "</div></section>\n");
    bt_free(means.curves);
    bt_free(means.values);
}

void bt_page_telemetry_means(struct bt_text_buf *out, const struct bt_report *report)
{
    if (report->run_count > 1)
        for (size_t s = BT_STAGE_COUNT; s > 0; s--)
            write_stage_means(out, report, (enum bt_stage_id)(s - 1));
}

/* ---- warnings ---- */

static void write_warning(struct bt_text_buf *out, const struct bt_report *report, size_t run, enum bt_stage_id stage,
                          const json_t *warning)
{
    bt_text_add(out, "<li><div><b>%s</b> update %.0f", bt_stage_name(stage),
                json_number_value(json_object_get(warning, "step")));
    if (report->run_count > 1) {
        bt_text_add(out, "<br>");
        bt_html_text(out, report->labels[run]);
    }
    bt_text_add(out, "</div><p><b>");
    bt_html_text(out, json_string_value(json_object_get(warning, "message")));
    bt_text_add(out, "</b> ");
    bt_html_text(out, json_string_value(json_object_get(warning, "advice")));
    bt_text_add(out, "</p></li>\n");
}

void bt_page_warnings(struct bt_text_buf *out, const struct bt_report *report)
{
    bool any = false;
    for (size_t r = 0; r < report->run_count; r++)
        any |= bt_report_warnings(&report->runs[r]) > 0;
    if (!any)
        return;
    bt_text_add(out, "<section id=\"warnings\"><h2>Warnings</h2><ol class=\"samples warnings\">");
    for (size_t r = 0; r < report->run_count; r++)
        for (size_t s = 0; s < BT_STAGE_COUNT; s++) {
            const json_t *list = report->runs[r].stages[s].warnings;
            for (size_t i = 0; i < json_array_size(list); i++)
                write_warning(out, report, r, (enum bt_stage_id)s, json_array_get(list, i));
        }
    bt_text_add(out, "</ol></section>\n");
}
