/* The page as a whole: head, what comes first, and the order of the sections. */
#include <math.h>
#include <string.h>

#include "report/html.h"
#include "report/page_parts.h"

/* ---- figures of one run ---- */

static void begin_tile(struct bt_text_buf *out, const char *what)
{
    bt_text_add(out, "<div><dt>%s</dt><dd>", what);
}

static void end_tile(struct bt_text_buf *out, const char *note)
{
    bt_text_add(out, "</dd>");
    if (note)
        bt_text_add(out, "<dd class=\"note\">%s</dd>", note);
    bt_text_add(out, "</div>");
}

static void write_loss_tiles(struct bt_text_buf *out, const struct bt_report_run *run, enum bt_stage_id stage)
{
    double step = 0.0;
    const double final = bt_report_final_loss(run, stage), best = bt_report_best_loss(run, stage, &step);
    char note[160];
    if (!isfinite(final))
        return;
    begin_tile(out, "validation loss");
    bt_html_fixed(out, final, 4);
    snprintf(note, sizeof note, "%s%s; best %.4f at update %.0f", bt_stage_name(stage),
             bt_report_is_float(run, stage) ? "" : ", full lambda", best, step);
    end_tile(out, note);
    begin_tile(out, "perplexity");
    bt_html_figure(out, exp(final), 5);
    end_tile(out, NULL);
    if (!run->source.known)
        return;
    begin_tile(out, "above the source of the text");
    bt_text_add(out, "%+.4f", final - run->source.source);
    snprintf(note, sizeof note, "the best possible loss is %.4f on this text, %.4f on average", run->source.source,
             run->source.entropy);
    end_tile(out, note);
    if (!isfinite(run->source.trigram))
        return;
    begin_tile(out, "from trigram to source");
    bt_text_add(out, "%.1f %%", 100.0 * (run->source.trigram - final) / (run->source.trigram - run->source.source));
    snprintf(note, sizeof note, "a byte trigram model has %.4f", run->source.trigram);
    end_tile(out, note);
}

static void write_tiles(struct bt_text_buf *out, const struct bt_report_run *run)
{
    const enum bt_stage_id last = bt_report_last_stage(run);
    bt_text_add(out, "<dl class=\"figures\">");
    if (last < BT_STAGE_COUNT) {
        const struct bt_report_stage *stage = &run->stages[last];
        write_loss_tiles(out, run, last);
        begin_tile(out, "parameters");
        bt_html_figure(out, json_number_value(json_object_get(stage->start, "parameters")), 4);
        end_tile(out, NULL);
        begin_tile(out, "tokens");
        bt_html_figure(out, bt_series_last(bt_series_find(&stage->train, "tokens")), 4);
        end_tile(out, bt_stage_name(last));
    }
    begin_tile(out, "time");
    bt_html_duration(out, bt_report_seconds(run));
    end_tile(out, "all stages");
    bt_text_add(out, "</dl>\n");
}

/* ---- the page ---- */

static void write_title(struct bt_text_buf *out, const struct bt_report *report)
{
    if (report->sweep)
        bt_html_text(out, report->sweep);
    else if (report->run_count == 1)
        bt_html_text(out, report->labels[0]);
    else
        bt_text_add(out, "%zu runs", report->run_count);
}

static void write_head(struct bt_text_buf *out, const struct bt_report *report, unsigned refresh)
{
    bt_text_add(out, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
                     "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
                     "'unsafe-inline'; img-src data:\">\n"
                     "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                     "<meta name=\"color-scheme\" content=\"light dark\">\n<link rel=\"icon\" href=\"data:,\">\n");
    if (refresh)
        bt_text_add(out, "<meta http-equiv=\"refresh\" content=\"%u\">\n", refresh);
    bt_text_add(out, "<title>");
    write_title(out, report);
    bt_text_add(out, " \xC2\xB7 bitnet-report</title>\n<style>\n");
    bt_page_style(out);
    bt_text_add(out, "</style></head>\n<body>\n");
}

static void write_damage(struct bt_text_buf *out, const struct bt_report *report)
{
    for (size_t i = 0; i < report->run_count; i++) {
        const struct bt_report_run *run = &report->runs[i];
        if (!run->damaged)
            continue;
        bt_text_add(out, "<p class=\"damage\">");
        bt_html_text(out, run->path);
        bt_text_add(out, "/metrics.jsonl: %zu line%s could not be read, from line %llu on; the rest is shown.</p>\n",
                    run->damaged, run->damaged == 1 ? "" : "s", (unsigned long long)run->first_damaged);
    }
}

static void write_header(struct bt_text_buf *out, const struct bt_report *report)
{
    bt_text_add(out, "<header><h1>");
    write_title(out, report);
    bt_text_add(out, "</h1>");
    if (report->run_count == 1) {
        const char *state = bt_report_state_name(report->runs[0].state);
        bt_text_add(out, "<span class=\"state %s\">%s</span><code>", state, state);
        bt_html_text(out, report->runs[0].path);
        bt_text_add(out, "</code>");
    }
    bt_text_add(out, "</header>\n<main>\n");
}

char *bt_report_page(const struct bt_report *report, const char *version, unsigned refresh_seconds)
{
    struct bt_text_buf page = {0};
    write_head(&page, report, refresh_seconds);
    write_header(&page, report);
    write_damage(&page, report);
    if (report->run_count == 1)
        write_tiles(&page, &report->runs[0]);
    else
        bt_page_runs(&page, report);
    bt_page_effects(&page, report);
    bt_page_differences(&page, report);
    bt_page_warnings(&page, report);
    for (size_t stage = BT_STAGE_COUNT; stage > 0; stage--) /* what is of most interest comes first */
        bt_page_stage(&page, report, (enum bt_stage_id)(stage - 1));
    bt_page_telemetry_means(&page, report);
    for (size_t i = 0; i < report->run_count; i++)
        bt_page_telemetry(&page, report, i);
    for (size_t i = 0; i < report->run_count; i++)
        bt_page_samples(&page, report, i);
    for (size_t i = 0; i < report->run_count; i++)
        bt_page_conversion(&page, report, i);
    for (size_t i = 0; i < report->run_count; i++)
        bt_page_config(&page, report, i);
    bt_text_add(&page, "</main>\n<footer>bitnet-report ");
    bt_html_text(&page, version);
    bt_text_add(&page, "</footer>\n</body></html>\n");
    return bt_text_take(&page);
}
