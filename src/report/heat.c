#include "report/heat.h"

#include <math.h>

#include "report/html.h"
#include "report/scale.h"

enum {
    LEVELS = 16,   /* of colour, see style.c */
    GAP = 7,       /* pixels between groups */
    ROW_MOST = 14, /* pixels of a row, */
    ROW_LEAST = 3,
    GROUP_HEIGHT = 84, /* about, where rows may be of any height */
    STRIPS = 300,      /* that say a value, at most */
};

struct frame {
    const struct bt_heat *heat;
    const struct bt_series *longest; /* of all rows: gives the columns their updates */
    struct bt_scale colours;
    size_t rows;
    int row_height, height; /* pixels */
};

static const struct bt_series *row_of(const struct bt_heat *heat, size_t group, size_t row)
{
    return heat->groups[group].rows[row];
}

static void measure(struct frame *f)
{
    double low = NAN, high = NAN;
    size_t most = 1;
    for (size_t g = 0; g < f->heat->group_count; g++) {
        most = f->heat->groups[g].count > most ? f->heat->groups[g].count : most;
        for (size_t r = 0; r < f->heat->groups[g].count; r++) {
            const struct bt_series *s = row_of(f->heat, g, r);
            f->rows++;
            if (!f->longest || s->count > f->longest->count)
                f->longest = s;
            for (size_t i = 0; i < s->count; i++)
                if (isfinite(s->y[i]) && (!f->heat->log || s->y[i] > 0.0)) {
                    low = fmin(low, s->y[i]);
                    high = fmax(high, s->y[i]);
                }
        }
    }
    const int height = GROUP_HEIGHT / (int)(most < GROUP_HEIGHT ? most : GROUP_HEIGHT);
    f->row_height = height > ROW_MOST ? ROW_MOST : height < ROW_LEAST ? ROW_LEAST : height;
    f->height = (int)f->rows * f->row_height + (int)(f->heat->group_count - 1) * GAP;
    f->colours = bt_scale_make(low, high, f->heat->log && isfinite(low));
}

static int top_of(const struct frame *f, size_t group)
{
    int top = 0;
    for (size_t g = 0; g < group; g++)
        top += (int)f->heat->groups[g].count * f->row_height + GAP;
    return top;
}

/* LEVELS for what is not finite. */
static int level_of(const struct frame *f, double y)
{
    if (!isfinite(y))
        return LEVELS;
    return (int)fmin(fmax(bt_scale_place(&f->colours, y), 0.0) * LEVELS, LEVELS - 1);
}

/* The cells of one group that have one colour, as one path: a line a cell, as thick as a row. */
static void write_level(struct bt_text_buf *out, const struct frame *f, size_t group, int level)
{
    bool any = false;
    for (size_t r = 0; r < f->heat->groups[group].count; r++) {
        const struct bt_series *s = row_of(f->heat, group, r);
        for (size_t i = 0; i < s->count; i++) {
            if (level_of(f, s->y[i]) != level)
                continue;
            if (!any && level == LEVELS)
                bt_text_add(out, "<path class=\"empty\" d=\"");
            else if (!any)
                bt_text_add(out, "<path class=\"h%d\" d=\"", level);
            bt_text_add(out, "M%zu %zu.5h1", i, r);
            any = true;
        }
    }
    if (any)
        bt_text_add(out, "\"/>");
}

static void write_group(struct bt_text_buf *out, const struct frame *f, size_t group)
{
    const struct bt_heat_group *g = &f->heat->groups[group];
    const int top = top_of(f, group), height = (int)g->count * f->row_height;
    bt_text_add(out, "<text x=\"0\" dx=\"-8\" y=\"%d\" dy=\"4\" text-anchor=\"end\">", top + height / 2);
    bt_html_text(out, g->name);
    bt_text_add(out,
                "</text><svg class=\"cells\" data-points=\"%zu\" y=\"%d\" width=\"100%%\" height=\"%d\" viewBox=\"0 0 "
                "%zu %zu\" preserveAspectRatio=\"none\">",
                f->longest->count * g->count, top, height, f->longest->count, g->count);
    for (int level = 0; level <= LEVELS; level++)
        write_level(out, f, group, level);
    bt_text_add(out, "</svg>");
}

static void write_strips(struct bt_text_buf *out, const struct frame *f, size_t group)
{
    const size_t columns = f->longest->count, share = STRIPS / f->rows;
    const size_t strips = share < 1 ? 1 : share < columns ? share : columns;
    for (size_t r = 0; r < f->heat->groups[group].count; r++) {
        const struct bt_series *s = row_of(f->heat, group, r);
        for (size_t k = 0; k < strips; k++) {
            const size_t last = (k + 1) * columns / strips - 1;
            if (last >= s->count)
                break;
            bt_text_add(out, "<rect x=\"%.2f%%\" y=\"%d\" width=\"%.2f%%\" height=\"%d\"><title>",
                        100.0 * (double)k / (double)strips, top_of(f, group) + (int)r * f->row_height,
                        100.0 / (double)strips, f->row_height);
            bt_html_text(out, f->heat->groups[group].name);
            bt_text_add(out, ", %s %zu\nupdate %.0f: ", f->heat->row_name, r, s->x[last]);
            bt_html_figure(out, s->y[last], 4);
            bt_text_add(out, "</title></rect>");
        }
    }
}

/* The column of the first record at an update or behind it. */
static size_t column_of(const struct bt_series *s, double update)
{
    size_t i = 0;
    while (i + 1 < s->count && s->x[i] < update)
        i++;
    return i;
}

/* Updates under the middles of their columns. */
static void write_axis(struct bt_text_buf *out, const struct frame *f)
{
    const struct bt_series *s = f->longest;
    const struct bt_scale updates = bt_scale_make(s->x[0], s->x[s->count - 1], false);
    const struct bt_ticks ticks = bt_scale_ticks(&updates, 5, true);
    size_t last = s->count;
    bt_text_add(out, "<g class=\"grid\">");
    for (size_t i = 0; i < ticks.count; i++) {
        const size_t column = column_of(s, ticks.values[i]);
        char text[32];
        if (column == last)
            continue;
        last = column;
        bt_figure(text, sizeof text, s->x[column], 6);
        bt_text_add(out,
                    "<svg x=\"%.2f%%\" y=\"%d\" width=\"1\" height=\"1\"><line class=\"tick\" y2=\"5\"/><text y=\"18\" "
                    "text-anchor=\"middle\">%s</text></svg>",
                    100.0 * ((double)column + 0.5) / (double)s->count, f->height, text);
    }
    bt_text_add(out, "</g>");
}

static void write_ramp(struct bt_text_buf *out, const struct frame *f)
{
    bt_text_add(out, "<span class=\"ramp\">");
    bt_html_figure(out, f->colours.low, 3);
    bt_text_add(out, "<i></i>");
    bt_html_figure(out, f->colours.high, 3);
    bt_text_add(out, "%s</span>", f->colours.log ? " log" : "");
}

void bt_heat_write(struct bt_text_buf *out, const struct bt_heat *heat)
{
    struct frame f = {.heat = heat};
    measure(&f);
    if (!f.rows)
        return;
    bt_text_add(out, "<figure class=\"plot heat\"><figcaption><b>");
    bt_html_text(out, heat->title);
    bt_text_add(out, "</b> ");
    bt_html_text(out, heat->unit);
    bt_text_add(out, "</figcaption><div class=\"frame\"><svg class=\"axes\" height=\"%d\" role=\"img\" aria-label=\"",
                f.height);
    bt_html_text(out, heat->title);
    bt_text_add(out, "\">");
    for (size_t g = 0; g < heat->group_count; g++)
        write_group(out, &f, g);
    write_axis(out, &f);
    bt_text_add(out, "<g class=\"strips\">");
    for (size_t g = 0; g < heat->group_count; g++)
        write_strips(out, &f, g);
    bt_text_add(out, "</g></svg></div><div class=\"x-name\">update");
    write_ramp(out, &f);
    bt_text_add(out, "</div></figure>\n");
}
