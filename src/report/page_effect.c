/* What each key that varies does: every run a dot, and the medians in numbers. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "report/effect.h"
#include "report/html.h"
#include "report/page_parts.h"
#include "report/plot.h"

enum {
    RUNS_LEAST = 3,      /* from which on there is something to see */
    KEYS_MOST = 12,      /* configs that differ in more are not of one experiment */
    CATEGORIES_MOST = 8, /* numbers beyond that have an axis */
};

static const char none[] = "\xE2\x80\x93";

struct drawing { /* of one effect */
    struct bt_plot_curve curves[2];
    double *x, *y;      /* of the runs, then of the medians */
    const char **names; /* of the runs, then of the values */
    size_t runs;
};

static double place_of(const struct bt_effect *e, size_t value, bool axis)
{
    return axis ? e->values[value].number : (double)value;
}

static bool prepare(struct drawing *d, const struct bt_report *report, const struct bt_effect *e, bool axis)
{
    const size_t room = report->run_count + e->count;
    *d = (struct drawing){.x = bt_alloc(room * sizeof *d->x),
                          .y = bt_alloc(room * sizeof *d->y),
                          .names = bt_alloc(room * sizeof *d->names)};
    if (!d->x || !d->y || !d->names)
        return false;
    for (size_t r = 0; r < report->run_count; r++)
        if (e->value_of[r] != BT_REPORT_NONE) {
            d->x[d->runs] = place_of(e, e->value_of[r], axis);
            d->y[d->runs] = bt_report_end_loss(report, r);
            d->names[d->runs++] = report->labels[r];
        }
    for (size_t i = 0; i < e->count; i++) {
        d->x[d->runs + i] = place_of(e, i, axis);
        d->y[d->runs + i] = e->values[i].median;
        d->names[d->runs + i] = e->values[i].text ? e->values[i].text : none;
    }
    d->curves[0] = (struct bt_plot_curve){.name = "median",
                                          .kind = BT_PLOT_LINE,
                                          .colour = 7,
                                          .count = axis ? 0 : e->count,
                                          .x = d->x + d->runs,
                                          .y = d->y + d->runs};
    d->curves[1] = (struct bt_plot_curve){
        .name = "runs", .kind = BT_PLOT_DOTS, .count = d->runs, .x = d->x, .y = d->y, .point_names = d->names};
    return true;
}

/* Where a loss is more than twice another one, runs have failed: beside them, only a logarithm shows the others apart.
 */
static bool wants_log(const struct drawing *d)
{
    double least = INFINITY, most = -INFINITY;
    for (size_t i = 0; i < d->runs; i++) {
        least = fmin(least, d->y[i]);
        most = fmax(most, d->y[i]);
    }
    return least > 0.0 && most > 2.0 * least;
}

static void draw(struct bt_text_buf *out, const struct bt_report *report, const struct bt_effect *e)
{
    const bool axis = e->numbers && e->count > CATEGORIES_MOST;
    const double first = e->values[0].number, last = e->values[e->count - 1].number;
    struct drawing d;
    if (prepare(&d, report, e, axis))
        bt_plot_write(out, &(struct bt_plot){.title = e->key,
                                             .x_name = "",
                                             .curves = d.curves,
                                             .curve_count = 2,
                                             .x_low = axis ? first : -0.5,
                                             .x_high = axis ? last : (double)e->count - 0.5,
                                             .categories = axis ? NULL : d.names + d.runs,
                                             .category_count = axis ? 0 : e->count,
                                             .log_x = axis && first > 0.0 && last > 20.0 * first,
                                             .log_y = wants_log(&d),
                                             .small = true});
    else
        out->failed = true;
    bt_free(d.x);
    bt_free(d.y);
    bt_free(d.names);
}

static void write_row(struct bt_text_buf *out, const struct bt_effect_value *v)
{
    bt_text_add(out, "<tr><th scope=\"row\">");
    bt_html_text(out, v->text ? v->text : none);
    bt_text_add(out, "</th><td>%zu</td><td><b>", v->runs);
    bt_html_fixed(out, v->median, 4);
    bt_text_add(out, "</b></td><td>");
    bt_html_fixed(out, v->least, 4);
    bt_text_add(out, "</td><td>");
    bt_html_fixed(out, v->most, 4);
    bt_text_add(out, "</td><td>");
    if (isfinite(v->cost))
        bt_text_add(out, "%+.4f", v->cost);
    bt_text_add(out, "</td></tr>\n");
}

static void write_effect(struct bt_text_buf *out, const struct bt_report *report, const char *key)
{
    struct bt_effect e;
    if (bt_effect_find(report, key, &e, NULL)) {
        out->failed = true;
        return;
    }
    if (e.count > 1) {
        bt_text_add(out, "<div class=\"effect\">");
        draw(out, report, &e);
        bt_text_add(out,
                    "<div class=\"scroll\"><table><thead><tr><th>value</th><th>runs</th><th>median</th><th>least</th>"
                    "<th>most</th><th>above twin</th></tr></thead><tbody>\n");
        for (size_t i = 0; i < e.count; i++)
            write_row(out, &e.values[i]);
        bt_text_add(out, "</tbody></table></div></div>\n");
    }
    bt_effect_finish(&e);
}

void bt_page_effects(struct bt_text_buf *out, const struct bt_report *report)
{
    const char **keys;
    size_t count, runs = 0;
    for (size_t r = 0; r < report->run_count; r++)
        runs += isfinite(bt_report_end_loss(report, r)) && !bt_report_is_twin(report, r);
    if (runs < RUNS_LEAST)
        return;
    if (bt_report_differences(report, false, &keys, &count, NULL)) {
        out->failed = true;
        return;
    }
    if (count && count <= KEYS_MOST) {
        bt_text_add(out, "<section id=\"effects\"><h2>The effect of each key <small>final validation loss at full "
                         "lambda, nats per label; every run a dot, the line joins the medians</small></h2><div "
                         "class=\"wide\">\n");
        for (size_t k = 0; k < count; k++)
            write_effect(out, report, keys[k]);
        bt_text_add(out, "</div></section>\n");
    }
    bt_free(keys);
}
