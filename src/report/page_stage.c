/* A stage of all runs: losses, and what went with them. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "report/html.h"
#include "report/page_parts.h"
#include "report/plot.h"

struct stage_page {
    struct bt_text_buf *out;
    const struct bt_report *report;
    enum bt_stage_id stage;
    double x_high;
    struct bt_plot_curve *curves; /* room for three a run */
    size_t count;
    double *split; /* validations, apart by their lambda: what the curves of those point to */
    size_t split_used;
};

static const struct bt_report_stage *stage_of(const struct stage_page *p, size_t run)
{
    return &p->report->runs[run].stages[p->stage];
}

static double last_update(const struct stage_page *p)
{
    double last = 1.0;
    for (size_t r = 0; r < p->report->run_count; r++) {
        const struct bt_report_stage *stage = stage_of(p, r);
        const struct bt_series *const series[] = {bt_series_find(&stage->train, "loss"),
                                                  bt_series_find(&stage->eval, "loss")};
        for (size_t i = 0; i < 2; i++)
            if (series[i])
                last = fmax(last, series[i]->x[series[i]->count - 1]);
        if (p->report->runs[r].state == BT_REPORT_RUNNING && bt_report_stage_trained(stage))
            last = fmax(last, bt_report_stage_updates(stage));
    }
    return last;
}

/* ---- curves ---- */

static void add_curve(struct stage_page *p, const char *name, enum bt_plot_kind kind, unsigned colour, const double *x,
                      const double *y, size_t count, bool unnamed)
{
    if (count)
        p->curves[p->count++] = (struct bt_plot_curve){
            .name = name, .kind = kind, .colour = colour, .unnamed = unnamed, .count = count, .x = x, .y = y};
}

static void add_series(struct stage_page *p, const char *name, enum bt_plot_kind kind, unsigned colour,
                       const struct bt_series *series)
{
    if (series)
        add_curve(p, name, kind, colour, series->x, series->y, series->count, false);
}

/* Copies the validations that ran below full lambda, or the others. */
static size_t copy_validations(struct stage_page *p, size_t run, bool full, double **ret_x, double **ret_y)
{
    const struct bt_series *loss = bt_series_find(&stage_of(p, run)->eval, "loss");
    const size_t room = loss ? loss->count : 0;
    size_t count = 0;
    *ret_x = p->split + p->split_used;
    *ret_y = *ret_x + room;
    for (size_t i = 0; i < room; i++)
        if (bt_report_is_full(&p->report->runs[run], p->stage, i) == full) {
            (*ret_x)[count] = loss->x[i];
            (*ret_y)[count++] = loss->y[i];
        }
    p->split_used += 2 * room;
    return count;
}

static void add_validations(struct stage_page *p, size_t run, const char *below_name, const char *full_name,
                            unsigned colour)
{
    double *x, *y;
    const size_t below = copy_validations(p, run, false, &x, &y);
    add_curve(p, below_name, BT_PLOT_DASHED, colour, x, y, below, below_name == full_name);
    const size_t full = copy_validations(p, run, true, &x, &y);
    add_curve(p, full_name, BT_PLOT_MARKED, colour, x, y, full, false);
}

static bool reserve(struct stage_page *p)
{
    size_t validations = 0;
    for (size_t r = 0; r < p->report->run_count; r++)
        validations += stage_of(p, r)->eval.records;
    p->curves = bt_alloc(3 * p->report->run_count * sizeof *p->curves);
    p->split = bt_alloc(4 * validations * sizeof *p->split);
    p->out->failed |= !p->curves || !p->split;
    return p->curves && p->split;
}

static void restart(struct stage_page *p)
{
    p->count = 0;
    p->split_used = 0;
}

/* ---- plots ---- */

/* Losses to compare with: lines across the plot. */
static size_t find_levels(const struct stage_page *p, struct bt_plot_level levels[2])
{
    const struct bt_report_source source = bt_report_source(p->report);
    const json_t *before = json_object_get(p->report->runs[0].conversion, "loss_before");
    size_t count = 0;
    if (source.known)
        levels[count++] = (struct bt_plot_level){"source of the text", source.source};
    if (p->report->run_count == 1 && p->stage > BT_STAGE1 && json_is_number(before))
        levels[count++] = (struct bt_plot_level){"before conversion", json_number_value(before)};
    return count;
}

static void write_losses(const struct stage_page *p, const char *title, const char *unit)
{
    struct bt_plot_level levels[2];
    struct bt_plot plot = {.title = title,
                           .unit = unit,
                           .x_name = "update",
                           .curves = p->curves,
                           .curve_count = p->count,
                           .levels = levels,
                           .x_high = p->x_high};
    if (!p->count)
        return;
    plot.level_count = find_levels(p, levels);
    plot.log_y = p->report->run_count > 1 && bt_plot_spans(&plot, 5.0);
    bt_plot_write(p->out, &plot);
    if (!bt_plot_wants_close_up(&plot))
        return;
    plot.title = "Close-up";
    plot.unit = "the last three quarters; of many runs the better half";
    plot.close_up = true;
    plot.log_y = false;
    bt_plot_write(p->out, &plot);
}

static const char *full_name(const struct bt_report_run *run, enum bt_stage_id stage)
{
    return bt_report_is_float(run, stage) ? "validation" : "validation at full lambda";
}

static void write_single(struct stage_page *p)
{
    restart(p);
    add_series(p, "training", BT_PLOT_THIN, 0, bt_series_find(&stage_of(p, 0)->train, "loss"));
    add_validations(p, 0, "validation below full lambda", full_name(&p->report->runs[0], p->stage), 1);
    write_losses(p, "Loss", "nats per label");
}

static void write_overlays(struct stage_page *p)
{
    restart(p);
    for (size_t r = 0; r < p->report->run_count; r++)
        add_validations(p, r, p->report->labels[r], p->report->labels[r], (unsigned)r);
    write_losses(p, "Validation loss", "nats per label; broken and pale: lambda is below its highest");
    restart(p);
    for (size_t r = 0; r < p->report->run_count; r++)
        add_series(p, p->report->labels[r], BT_PLOT_LINE, (unsigned)r, bt_series_find(&stage_of(p, r)->train, "loss"));
    write_losses(p, "Training loss", "nats per label, each update by itself");
}

struct small_plot {
    const char *key, *title, *unit;
    bool log, from_zero;
};

static void write_small(struct stage_page *p, const struct small_plot *small)
{
    restart(p);
    for (size_t r = 0; r < p->report->run_count; r++)
        add_series(p, p->report->labels[r], BT_PLOT_LINE, (unsigned)r,
                   bt_series_find(&stage_of(p, r)->train, small->key));
    const struct bt_plot plot = {.title = small->title,
                                 .unit = small->unit,
                                 .x_name = "update",
                                 .curves = p->curves,
                                 .curve_count = p->count,
                                 .x_high = p->x_high,
                                 .log_y = small->log,
                                 .from_zero = small->from_zero,
                                 .small = true,
                                 .no_legend = true};
    if (p->count)
        bt_plot_write(p->out, &plot);
}

/* The terms of a loss that is a sum (stages 1.9 and 3). */
static void write_terms(struct stage_page *p)
{
    static const char *const names[] = {"cross_entropy", "logits", "hidden", "attention_relation"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char weighted[64], share[64];
        snprintf(weighted, sizeof weighted, "terms.%s.weighted", names[i]);
        snprintf(share, sizeof share, "terms.%s.share", names[i]);
        write_small(p, &(struct small_plot){weighted, names[i], "weighted", false, false});
        write_small(p, &(struct small_plot){share, names[i], "share of the sum", false, true});
    }
}

static bool any_skipped(const struct stage_page *p)
{
    for (size_t r = 0; r < p->report->run_count; r++)
        if (bt_series_last(bt_series_find(&stage_of(p, r)->train, "skipped_updates")) > 0.0)
            return true;
    return false;
}

static void write_all_small(struct stage_page *p)
{
    static const struct small_plot plots[] = {
        {"lr", "Learning rate", NULL, false, true},
        {"lambda", "Lambda", NULL, false, true},
        {"grad_norm", "Gradient norm", "log scale", true, false},
        {"tokens_per_second", "Throughput", "tokens/s", false, true},
    };
    static const struct small_plot skipped = {"skipped_updates", "Skipped updates", "so far", false, true};
    for (size_t i = 0; i < sizeof plots / sizeof plots[0]; i++)
        write_small(p, &plots[i]);
    write_terms(p);
    if (any_skipped(p))
        write_small(p, &skipped);
}

static const char *stage_title(enum bt_stage_id stage)
{
    static const char *const titles[] = {[BT_STAGE0] = "pretraining in float",
                                         [BT_STAGE1] = "conversion",
                                         [BT_STAGE1_9] = "layer-wise distillation",
                                         [BT_STAGE2] = "quantisation-aware training",
                                         [BT_STAGE3] = "distillation"};
    return titles[stage];
}

void bt_page_stage(struct bt_text_buf *out, const struct bt_report *report, enum bt_stage_id stage)
{
    struct stage_page p = {.out = out, .report = report, .stage = stage};
    bool trained = false;
    for (size_t r = 0; r < report->run_count; r++)
        trained |= bt_report_stage_trained(&report->runs[r].stages[stage]);
    if (trained && reserve(&p)) {
        p.x_high = last_update(&p);
        bt_text_add(out, "<section id=\"%s\"><h2>%s <small>%s</small></h2>\n<div class=\"%s\">", bt_stage_name(stage),
                    bt_stage_name(stage), stage_title(stage), report->run_count == 1 ? "wide" : "stack");
        if (report->run_count == 1)
            write_single(&p);
        else
            write_overlays(&p);
        bt_text_add(out, "</div>\n<div class=\"tiles\">");
        write_all_small(&p);
        bt_text_add(out, "</div></section>\n");
    }
    bt_free(p.curves);
    bt_free(p.split);
}
