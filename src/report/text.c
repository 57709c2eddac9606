/* The report for a terminal. */
#include <math.h>
#include <string.h>

#include "report/html.h"
#include "report/report.h"
#include "train/progress.h"

enum { SPARKS = 32 };

struct column_widths {
    int name;
};

static size_t characters(const char *text) /* of UTF-8 */
{
    size_t count = 0;
    for (; *text; text++)
        count += ((unsigned char)*text & 0xC0) != 0x80;
    return count;
}

/* Names come from folders: what a terminal would take for a command is not passed on. */
static void add_plain(struct bt_text_buf *out, const char *text)
{
    for (; *text; text++) {
        const unsigned char c = (unsigned char)*text;
        bt_text_add(out, "%c", c < 0x20 || c == 0x7F ? '?' : *text);
    }
}

static void add_name(struct bt_text_buf *out, const char *name, size_t width)
{
    const size_t length = characters(name);
    add_plain(out, name);
    bt_text_add(out, "%*s", (int)(width > length ? width - length : 0), "");
}

static void add_loss(struct bt_text_buf *out, double loss)
{
    if (isfinite(loss))
        bt_text_add(out, "  %8.4f", loss);
    else
        bt_text_add(out, "  %8s", "-");
}

static void add_row(struct bt_text_buf *out, const struct bt_report *report, size_t i, size_t width)
{
    const struct bt_report_run *run = &report->runs[i];
    const enum bt_stage_id last = bt_report_last_stage(run);
    char updates[64] = "-", time[32] = "-", rate[32] = "-";
    double best = NAN, final = NAN, step;
    if (last < BT_STAGE_COUNT) {
        const struct bt_report_stage *stage = &run->stages[last];
        const struct bt_series *loss = bt_series_find(&stage->train, "loss");
        const double speed = bt_series_last(bt_series_find(&stage->train, "tokens_per_second"));
        const double seconds = bt_report_seconds(run);
        snprintf(updates, sizeof updates, "%.0f/%.0f", loss ? loss->x[loss->count - 1] : 0.0,
                 bt_report_stage_updates(stage));
        best = bt_report_best_loss(run, last, &step);
        final = bt_report_final_loss(run, last);
        if (isfinite(speed))
            bt_format_rate(rate, sizeof rate, speed);
        if (isfinite(seconds))
            bt_format_duration(time, sizeof time, seconds);
    }
    add_name(out, report->labels[i], width);
    bt_text_add(out, "  %-8s  %-8s  %11s", bt_report_state_name(run->state),
                last < BT_STAGE_COUNT ? bt_stage_name(last) : "-", updates);
    add_loss(out, final);
    add_loss(out, best);
    add_loss(out, run->source.known ? final - run->source.source : NAN);
    add_loss(out, bt_report_cost(report, i));
    bt_text_add(out, "  %8s  %10s\n", rate, time);
}

static void add_table(struct bt_text_buf *out, const struct bt_report *report, size_t width)
{
    bt_text_add(out, "%-*s  %-8s  %-8s  %11s  %8s  %8s  %8s  %8s  %8s  %10s\n", (int)width, "run", "state", "stage",
                "updates", "loss", "best", "-source", "-twin", "tokens/s", "time");
    for (size_t i = 0; i < report->run_count; i++)
        add_row(out, report, i, width);
}

/* ---- sparklines ---- */

/* The mean of the finite values of a part of a series; NaN where there are none. */
static double part_mean(const struct bt_series *series, size_t from, size_t to)
{
    double sum = 0.0;
    size_t count = 0;
    for (size_t i = from; i < to; i++)
        if (isfinite(series->y[i])) {
            sum += series->y[i];
            count++;
        }
    return count ? sum / (double)count : NAN;
}

static void add_spark(struct bt_text_buf *out, double share, bool utf8)
{
    static const char ascii[] = "_.-=+*%#";
    const int level = isfinite(share) ? (int)fmin(fmax(share * 8.0, 0.0), 7.0) : -1;
    if (level < 0)
        bt_text_add(out, " ");
    else if (utf8)
        bt_text_add(out, "\xE2\x96%c", (char)(0x81 + level)); /* U+2581 to U+2588 */
    else
        bt_text_add(out, "%c", ascii[level]);
}

static void add_sparkline(struct bt_text_buf *out, const struct bt_series *series, bool utf8)
{
    double values[SPARKS], low = NAN, high = NAN;
    const size_t count = series->count < SPARKS ? series->count : SPARKS;
    for (size_t i = 0; i < count; i++) {
        values[i] = part_mean(series, i * series->count / count, (i + 1) * series->count / count);
        low = fmin(low, values[i]);
        high = fmax(high, values[i]);
    }
    for (size_t i = 0; i < count; i++)
        add_spark(out, high > low ? (values[i] - low) / (high - low) : values[i] - low, utf8);
    bt_text_add(out, "%*s  %.4f to %.4f\n", (int)(SPARKS - count), "", series->y[0], series->y[series->count - 1]);
}

static void add_curves(struct bt_text_buf *out, const struct bt_report *report, size_t width, bool utf8)
{
    for (size_t i = 0; i < report->run_count; i++)
        for (size_t s = 0; s < BT_STAGE_COUNT; s++) {
            const struct bt_report_stage *stage = &report->runs[i].stages[s];
            const struct bt_series *const series[] = {bt_series_find(&stage->train, "loss"),
                                                      bt_series_find(&stage->eval, "loss")};
            for (size_t k = 0; k < 2; k++)
                if (series[k]) {
                    add_name(out, report->labels[i], width);
                    bt_text_add(out, "  %-8s  %-10s  ", bt_stage_name((enum bt_stage_id)s),
                                k ? "validation" : "training");
                    add_sparkline(out, series[k], utf8);
                }
        }
}

char *bt_report_text(const struct bt_report *report, bool utf8)
{
    struct bt_text_buf out = {0};
    const struct bt_report_source source = bt_report_source(report);
    size_t width = strlen("run");
    for (size_t i = 0; i < report->run_count; i++)
        width = characters(report->labels[i]) > width ? characters(report->labels[i]) : width;
    add_table(&out, report, width);
    bt_text_add(&out, "\n");
    add_curves(&out, report, width, utf8);
    if (source.known)
        bt_text_add(&out, "\nthe source of the text: %.4f nats a label on the validation text, %.4f on average\n",
                    source.source, source.entropy);
    for (size_t i = 0; i < report->run_count; i++)
        if (report->runs[i].damaged) {
            add_plain(&out, report->runs[i].path);
            bt_text_add(&out, "/metrics.jsonl: %zu lines could not be read, from line %llu on\n",
                        report->runs[i].damaged, (unsigned long long)report->runs[i].first_damaged);
        }
    return bt_text_take(&out);
}
