/* What is read rather than seen: samples, the conversion, configs and where they differ. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "report/html.h"
#include "report/page_parts.h"

/* " of NAME" behind a heading, where there are several runs. */
static void write_of(struct bt_text_buf *out, const struct bt_report *report, size_t run)
{
    if (report->run_count == 1)
        return;
    bt_text_add(out, " <small>");
    bt_html_text(out, report->labels[run]);
    bt_text_add(out, "</small>");
}

static double number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

/* ---- samples ---- */

static void write_sample(struct bt_text_buf *out, enum bt_stage_id stage, const json_t *sample)
{
    const char *text = json_string_value(json_object_get(sample, "text"));
    bt_text_add(out, "<li><div><b>%s</b> update %.0f<br>lambda ", bt_stage_name(stage), number(sample, "step"));
    bt_html_figure(out, number(sample, "lambda"), 3);
    bt_text_add(out, "</div><p>");
    bt_html_text(out, text ? text : "(the model gave no finite probabilities)");
    bt_text_add(out, "</p></li>\n");
}

void bt_page_samples(struct bt_text_buf *out, const struct bt_report *report, size_t run)
{
    size_t count = 0;
    for (size_t s = 0; s < BT_STAGE_COUNT; s++)
        count += json_array_size(report->runs[run].stages[s].samples);
    if (!count)
        return;
    bt_text_add(out, "<section><h2>Samples");
    write_of(out, report, run);
    bt_text_add(out, "</h2><p class=\"note\">What the model writes when it always takes the likeliest token.</p><ol "
                     "class=\"samples\">");
    for (size_t s = 0; s < BT_STAGE_COUNT; s++) {
        const json_t *samples = report->runs[run].stages[s].samples;
        for (size_t i = 0; i < json_array_size(samples); i++)
            write_sample(out, (enum bt_stage_id)s, json_array_get(samples, i));
    }
    bt_text_add(out, "</ol></section>\n");
}

/* ---- conversion ---- */

static void write_loss_row(struct bt_text_buf *out, const char *what, double loss, double before)
{
    bt_text_add(out, "<tr><th scope=\"row\">%s</th><td>", what);
    bt_html_fixed(out, loss, 4);
    bt_text_add(out, "</td><td>");
    if (isfinite(loss - before))
        bt_text_add(out, "%+.4f", loss - before);
    bt_text_add(out, "</td></tr>");
}

static void write_names(struct bt_text_buf *out, const char *what, const json_t *names)
{
    if (!json_array_size(names))
        return;
    bt_text_add(out, "<details><summary>%zu tensors %s</summary><pre>", json_array_size(names), what);
    for (size_t i = 0; i < json_array_size(names); i++) {
        bt_html_text(out, json_string_value(json_array_get(names, i)));
        bt_text_add(out, "\n");
    }
    bt_text_add(out, "</pre></details>");
}

/* Members of a sweep share conversions: each is shown once. */
static bool has_earlier(const struct bt_report *report, size_t run)
{
    for (size_t i = 0; i < run; i++)
        if (json_equal(report->runs[i].conversion, report->runs[run].conversion))
            return true;
    return false;
}

static void write_alike(struct bt_text_buf *out, const struct bt_report *report, size_t run)
{
    size_t count = 0;
    for (size_t i = run + 1; i < report->run_count; i++)
        count += json_equal(report->runs[i].conversion, report->runs[run].conversion);
    if (count)
        bt_text_add(out, " <small>and %zu more with the same</small>", count);
}

void bt_page_conversion(struct bt_text_buf *out, const struct bt_report *report, size_t run)
{
    const json_t *c = report->runs[run].conversion;
    const double before = number(c, "loss_before");
    if (!json_is_object(c) || has_earlier(report, run))
        return;
    bt_text_add(out, "<section><h2>Conversion");
    write_of(out, report, run);
    write_alike(out, report, run);
    bt_text_add(out, "</h2>");
    if (json_is_true(json_object_get(c, "passed_through")))
        bt_text_add(out, "<p>The model was a BitNet model already; nothing was changed.</p>");
    bt_text_add(out, "<div class=\"scroll\"><table class=\"short\"><thead><tr><th>validation loss</th><th>nats per "
                     "label</th><th>change</th></tr></thead><tbody>");
    write_loss_row(out, "before conversion", before, NAN);
    write_loss_row(out, "converted, lambda 0", number(c, "loss_lambda_0"), before);
    write_loss_row(out, "converted, lambda 1", number(c, "loss_lambda_1"), before);
    bt_text_add(out, "</tbody></table></div><p class=\"note\">New norms: ");
    const char *init = json_string_value(json_object_get(c, "subln_init"));
    bt_html_text(out, init ? init : "none");
    bt_text_add(out, "</p>");
    write_names(out, "are quantised from here on", json_object_get(c, "changed"));
    write_names(out, "were added", json_object_get(c, "added"));
    write_names(out, "were left in float", json_object_get(c, "left_out"));
    bt_text_add(out, "</section>\n");
}

/* ---- configs ---- */

static void write_difference(struct bt_text_buf *out, const struct bt_report *report, const char *key)
{
    bt_text_add(out, "<tr><th scope=\"row\"><code>");
    bt_html_text(out, key);
    bt_text_add(out, "</code></th>");
    for (size_t i = 0; i < report->run_count; i++) {
        bt_text_add(out, "<td>");
        bt_html_text(out, bt_flat_config_show(&report->runs[i].config, key));
        bt_text_add(out, "</td>");
    }
    bt_text_add(out, "</tr>\n");
}

static void write_difference_table(struct bt_text_buf *out, const struct bt_report *report, const char *const *keys,
                                   size_t count)
{
    bt_text_add(out, "<div class=\"scroll\"><table><thead><tr><th>key</th>");
    for (size_t i = 0; i < report->run_count; i++) {
        bt_text_add(out, "<th>");
        bt_html_text(out, report->labels[i]);
        bt_text_add(out, "</th>");
    }
    bt_text_add(out, "</tr></thead><tbody>\n");
    for (size_t k = 0; k < count; k++)
        write_difference(out, report, keys[k]);
    bt_text_add(out, "</tbody></table></div>");
}

void bt_page_differences(struct bt_text_buf *out, const struct bt_report *report)
{
    const char **keys;
    size_t count;
    if (report->run_count < 2)
        return;
    if (bt_report_differences(report, true, &keys, &count, NULL)) {
        out->failed = true;
        return;
    }
    if (!bt_page_keys_in_table(report, count)) { /* with those in which twins differ: there the table says it */
        bt_text_add(out, "<section id=\"differences\"><h2>Where the configs differ</h2>");
        if (count)
            write_difference_table(out, report, keys, count);
        else
            bt_text_add(out, "<p>Nowhere but in the name.</p>");
        bt_text_add(out, "</section>\n");
    }
    bt_free(keys);
}

void bt_page_config(struct bt_text_buf *out, const struct bt_report *report, size_t run)
{
    if (!report->runs[run].config_text)
        return;
    bt_text_add(out, "<section><h2>Config");
    write_of(out, report, run);
    bt_text_add(out, "</h2><details><summary>config.yaml, every key with its value</summary><pre>");
    bt_html_text(out, report->runs[run].config_text);
    bt_text_add(out, "</pre></details></section>\n");
}
