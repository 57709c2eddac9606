#include "report/plot.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "report/html.h"
#include "report/scale.h"

enum {
    ACROSS = 10000,
    DOWN = 3000,       /* units of the stretched drawing */
    STRIPS = 100,      /* at most */
    STRIP_CURVES = 16, /* curves of which a strip says the value, at most */
    NAME_CHARACTERS = 34,
    TICK_CHARACTERS = 14,
    NAME_WIDTH = 7,   /* of a character, about */
    NAME_HEIGHT = 15, /* pixels of a name at the end of a curve */
    NAMES_MAX = 24,
    CURVES_MANY = 5, /* from which on a close-up leaves out the upper half */
};

struct frame { /* a plot with its axes */
    const struct bt_plot *plot;
    struct bt_scale x, y;
    int height; /* pixels */
};

/* ---- axes ---- */

struct extent {
    double low, high;
};

static void extend(struct extent *extent, double value, bool log)
{
    if (!isfinite(value) || (log && value <= 0.0))
        return;
    extent->low = fmin(extent->low, value); /* NaN at first, which fmin and fmax pass over */
    extent->high = fmax(extent->high, value);
}

static struct extent curve_extent(const struct bt_plot *plot, const struct bt_plot_curve *curve, double from)
{
    struct extent extent = {NAN, NAN};
    for (size_t i = 0; i < curve->count; i++)
        if (curve->x[i] >= from)
            extend(&extent, curve->y[i], plot->log_y);
    return extent;
}

/* Is the highest point of a curve among the lower half of those of all curves? */
static bool is_low(const struct bt_plot *plot, const struct bt_plot_curve *curve, double from)
{
    const double high = curve_extent(plot, curve, from).high;
    size_t lower = 0, known = 0;
    for (size_t c = 0; c < plot->curve_count; c++) {
        const double other = curve_extent(plot, &plot->curves[c], from).high;
        known += isfinite(other);
        lower += other < high;
    }
    return 2 * lower < known;
}

/* from: the first x that counts; the y axis fits what is behind it. */
static struct bt_scale y_scale(const struct bt_plot *plot, double from)
{
    struct extent extent = {NAN, NAN};
    for (size_t c = 0; c < plot->curve_count; c++) {
        const struct extent curve = curve_extent(plot, &plot->curves[c], from);
        if (isfinite(from) && plot->curve_count >= CURVES_MANY && !is_low(plot, &plot->curves[c], from))
            continue;
        extend(&extent, curve.low, plot->log_y);
        extend(&extent, curve.high, plot->log_y);
    }
    for (size_t i = 0; i < plot->level_count; i++)
        extend(&extent, plot->levels[i].y, plot->log_y);
    if (plot->from_zero)
        extend(&extent, 0.0, false);
    const struct bt_scale scale = bt_scale_make(extent.low, extent.high, plot->log_y);
    return bt_scale_padded(scale, plot->from_zero && scale.low == 0.0 ? 0.0 : 0.06, 0.08);
}

static double close_up_from(const struct bt_plot *plot)
{
    return plot->x_low + 0.25 * (plot->x_high - plot->x_low);
}

bool bt_plot_spans(const struct bt_plot *plot, double times)
{
    struct extent extent = {NAN, NAN};
    for (size_t c = 0; c < plot->curve_count; c++) {
        const struct extent curve = curve_extent(plot, &plot->curves[c], -INFINITY);
        extend(&extent, curve.low, false);
        extend(&extent, curve.high, false);
    }
    return extent.low > 0.0 && extent.high > times * extent.low;
}

/* Of dots alone there is nothing to see that the table does not say. */
static bool has_line_from(const struct bt_plot *plot, double from)
{
    for (size_t c = 0; c < plot->curve_count; c++)
        if (plot->curves[c].count > 1 && plot->curves[c].x[plot->curves[c].count - 2] >= from)
            return true;
    return false;
}

bool bt_plot_wants_close_up(const struct bt_plot *plot)
{
    const struct bt_scale whole = y_scale(plot, -INFINITY), close = y_scale(plot, close_up_from(plot));
    return has_line_from(plot, close_up_from(plot)) && close.high - close.low < 0.5 * (whole.high - whole.low);
}

static double across(const struct frame *f, double x)
{
    return bt_scale_place(&f->x, x);
}

static double down(const struct frame *f, double y)
{
    return 1.0 - bt_scale_place(&f->y, y);
}

/* Enough digits to tell neighbouring ticks apart. */
static int tick_digits(const struct bt_ticks *ticks)
{
    if (ticks->count < 2)
        return 3;
    const double most = fmax(fabs(ticks->values[0]), fabs(ticks->values[ticks->count - 1]));
    const double step = fabs(ticks->values[1] - ticks->values[0]);
    const double digits = step > 0.0 && most > 0.0 ? ceil(log10(most / step) + 1e-9) + 1.0 : 3.0;
    return (int)fmin(fmax(digits, 1.0), 9.0);
}

static void tick_text(char *buf, size_t size, const struct frame *f, const struct bt_ticks *ticks, double value)
{
    if (f->y.log)
        bt_figure(buf, size, value, 3);
    else
        bt_figure(buf, size, fabs(value) < 1e-300 ? 0.0 : value, tick_digits(ticks));
}

static void write_x_tick(struct bt_text_buf *out, const struct frame *f, double x, const char *text)
{
    bt_text_add(out,
                "<svg x=\"%.2f%%\" y=\"100%%\" width=\"1\" height=\"1\"><line class=\"tick\" y2=\"5\"/><text y=\"18\" "
                "text-anchor=\"middle\">",
                100.0 * across(f, x));
    bt_html_short(out, text, TICK_CHARACTERS);
    bt_text_add(out, "</text></svg>");
}

static void write_axes(struct bt_text_buf *out, const struct frame *f)
{
    const struct bt_ticks y = bt_scale_ticks(&f->y, f->plot->small ? 4 : 6, false);
    struct bt_ticks x = {.count = 0};
    if (!f->plot->categories)
        x = bt_scale_ticks(&f->x, f->plot->small ? 4 : 6, !f->plot->log_x);
    bt_text_add(out, "<g class=\"grid\">");
    for (size_t i = 0; i < y.count; i++) {
        const double at = 100.0 * down(f, y.values[i]);
        char text[32];
        tick_text(text, sizeof text, f, &y, y.values[i]);
        bt_text_add(out,
                    "<line x1=\"0\" x2=\"100%%\" y1=\"%.2f%%\" y2=\"%.2f%%\"/><text x=\"0\" dx=\"-8\" y=\"%.2f%%\" "
                    "dy=\"4\" text-anchor=\"end\">%s</text>",
                    at, at, at, text);
    }
    bt_text_add(out, "<line class=\"base\" x1=\"0\" x2=\"100%%\" y1=\"100%%\" y2=\"100%%\"/>");
    for (size_t i = 0; i < x.count; i++) {
        char text[32];
        bt_figure(text, sizeof text, x.values[i], 6);
        write_x_tick(out, f, x.values[i], text);
    }
    for (size_t i = 0; i < f->plot->category_count; i++)
        write_x_tick(out, f, (double)i, f->plot->categories[i]);
    bt_text_add(out, "</g>");
}

/* ---- curves ---- */

static void write_class(struct bt_text_buf *out, const struct bt_plot_curve *curve)
{
    bt_text_add(out, "c%u%s", curve->colour % BT_PLOT_COLOURS,
                curve->kind == BT_PLOT_DASHED || (curve->colour / BT_PLOT_COLOURS) % 2 ? " broken" : "");
}

static long unit_x(const struct frame *f, double x)
{
    return lround(across(f, x) * ACROSS);
}

static long unit_y(const struct frame *f, double y)
{
    return lround(down(f, y) * DOWN);
}

/* A path through all finite points, with relative, whole coordinates: a few bytes a point. What is missing breaks it.
 */
static void write_line(struct bt_text_buf *out, const struct frame *f, const struct bt_plot_curve *curve)
{
    long last_x = 0, last_y = 0;
    bool open = false;
    bt_text_add(out, "<path class=\"line\" d=\"");
    for (size_t i = 0; i < curve->count; i++) {
        const bool finite = isfinite(curve->x[i]) && isfinite(curve->y[i]);
        if (finite) {
            const long x = unit_x(f, curve->x[i]), y = unit_y(f, curve->y[i]);
            if (open)
                bt_text_add(out, "l%ld%s%ld", x - last_x, y < last_y ? "" : " ", y - last_y);
            else
                bt_text_add(out, "M%ld %ld", x, y);
            last_x = x;
            last_y = y;
        }
        open = finite;
    }
    bt_text_add(out, "\"/>");
}

/* A dot is a line of no length with a round end, which no stretching makes an ellipse. */
static void write_dots(struct bt_text_buf *out, const struct frame *f, const struct bt_plot_curve *curve)
{
    bt_text_add(out, "<path class=\"dots\" d=\"");
    for (size_t i = 0; i < curve->count; i++)
        if (isfinite(curve->x[i]) && isfinite(curve->y[i]))
            bt_text_add(out, "M%ld %ldh0", unit_x(f, curve->x[i]), unit_y(f, curve->y[i]));
    bt_text_add(out, "\"/>");
}

/* Each a path of its own, with its own title. */
static void write_named_dots(struct bt_text_buf *out, const struct frame *f, const struct bt_plot_curve *curve)
{
    for (size_t i = 0; i < curve->count; i++) {
        if (!isfinite(curve->x[i]) || !isfinite(curve->y[i]))
            continue;
        bt_text_add(out, "<path class=\"dots\" d=\"M%ld %ldh0\"><title>", unit_x(f, curve->x[i]),
                    unit_y(f, curve->y[i]));
        bt_html_text(out, curve->point_names[i]);
        bt_text_add(out, "\n%.6g</title></path>", curve->y[i]);
    }
}

static void write_crosses(struct bt_text_buf *out, const struct frame *f, const struct bt_plot_curve *curve)
{
    for (size_t i = 0; i < curve->count; i++)
        if (isfinite(curve->x[i]) && !isfinite(curve->y[i])) {
            bt_text_add(out,
                        "<svg class=\"cross\" x=\"%.3f%%\" y=\"0\" width=\"1\" height=\"1\"><path "
                        "d=\"M-4 2l8 8m0-8l-8 8\"/><title>",
                        100.0 * across(f, curve->x[i]));
            bt_html_text(out, curve->name);
            bt_text_add(out, ": not finite at %s %.17g</title></svg>", f->plot->x_name, curve->x[i]);
        }
}

static void write_curve(struct bt_text_buf *out, const struct frame *f, const struct bt_plot_curve *curve)
{
    static const char *const kinds[] = {[BT_PLOT_LINE] = "plain",
                                        [BT_PLOT_THIN] = "thin",
                                        [BT_PLOT_MARKED] = "marked",
                                        [BT_PLOT_DASHED] = "dashed",
                                        [BT_PLOT_DOTS] = "separate"};
    bt_text_add(out, "<g class=\"curve %s ", kinds[curve->kind]);
    write_class(out, curve);
    bt_text_add(out, "\" data-points=\"%zu\"><title>", curve->count);
    bt_html_text(out, curve->name);
    bt_text_add(out,
                "</title><svg viewBox=\"0 0 %d %d\" preserveAspectRatio=\"none\" width=\"100%%\" height=\"100%%\">",
                ACROSS, DOWN);
    if (curve->kind == BT_PLOT_DOTS)
        write_named_dots(out, f, curve);
    else
        write_line(out, f, curve);
    if (curve->kind == BT_PLOT_MARKED || curve->kind == BT_PLOT_DASHED || curve->count == 1)
        write_dots(out, f, curve);
    bt_text_add(out, "</svg>");
    write_crosses(out, f, curve);
    bt_text_add(out, "</g>");
}

static void write_levels(struct bt_text_buf *out, const struct frame *f)
{
    for (size_t i = 0; i < f->plot->level_count; i++) {
        const double at = 100.0 * down(f, f->plot->levels[i].y);
        if (!isfinite(f->plot->levels[i].y))
            continue;
        bt_text_add(out, "<line class=\"level\" x1=\"0\" x2=\"100%%\" y1=\"%.2f%%\" y2=\"%.2f%%\"><title>", at, at);
        bt_html_text(out, f->plot->levels[i].name);
        bt_text_add(out, ": %.6g</title></line>", f->plot->levels[i].y);
    }
}

/* ---- strips ---- */

/* The last point of a curve that lies between low and high; `from` remembers where the last strip ended. */
static size_t last_within(const struct bt_plot_curve *curve, double low, double high, size_t *from)
{
    size_t found = curve->count;
    while (*from < curve->count && !(curve->x[*from] >= high)) {
        if (curve->x[*from] >= low)
            found = *from;
        ++*from;
    }
    return found;
}

static size_t strip_count(const struct bt_plot *plot)
{
    size_t most = 1;
    for (size_t c = 0; c < plot->curve_count; c++)
        most = plot->curves[c].count > most ? plot->curves[c].count : most;
    return most < STRIPS ? most : STRIPS;
}

static bool has_named_dots(const struct bt_plot *plot)
{
    for (size_t c = 0; c < plot->curve_count; c++)
        if (plot->curves[c].kind == BT_PLOT_DOTS)
            return true;
    return false;
}

/* Invisible columns whose titles a browser shows beside the pointer. */
static void write_strips(struct bt_text_buf *out, const struct frame *f)
{
    const struct bt_plot *plot = f->plot;
    const size_t strips = strip_count(plot);
    const size_t curves = plot->curve_count < STRIP_CURVES ? plot->curve_count : STRIP_CURVES;
    const double width = (f->x.high - f->x.low) / (double)strips;
    size_t from[STRIP_CURVES] = {0};
    bt_text_add(out, "<g class=\"strips\">");
    for (size_t s = 0; s < strips; s++) {
        const double low = f->x.low + width * (double)s;
        const double high = s + 1 == strips ? INFINITY : f->x.low + width * (double)(s + 1);
        bool any = false;
        for (size_t c = 0; c < curves; c++) {
            const struct bt_plot_curve *curve = &plot->curves[c];
            const size_t i = last_within(curve, low, high, &from[c]);
            if (i == curve->count)
                continue;
            if (!any)
                bt_text_add(out, "<rect x=\"%.2f%%\" width=\"%.2f%%\" height=\"100%%\"><title>",
                            100.0 * (double)s / (double)strips, 100.0 / (double)strips);
            bt_text_add(out, "%s%s %.0f: ", any ? "\n" : "", plot->x_name, curve->x[i]);
            bt_html_text(out, curve->name);
            bt_text_add(out, " ");
            bt_html_figure(out, curve->y[i], 5);
            any = true;
        }
        if (any)
            bt_text_add(out, "</title></rect>");
    }
    bt_text_add(out, "</g>");
}

/* ---- names ---- */

struct name { /* at the right end, `at` pixels from the top */
    const char *text;
    const struct bt_plot_curve *curve; /* NULL: a level */
    double at;
};

struct names {
    struct name list[NAMES_MAX];
    size_t count;
};

/* Not of a curve whose end is cut off. */
static void add_name(struct names *names, const struct frame *f, const char *text, const struct bt_plot_curve *curve,
                     double y)
{
    const double at = down(f, y);
    if (names->count < NAMES_MAX && at >= 0.0 && at <= 1.0)
        names->list[names->count++] = (struct name){text, curve, at * f->height};
}

static void collect_names(const struct frame *f, struct names *names)
{
    for (size_t i = 0; i < f->plot->level_count; i++)
        if (isfinite(f->plot->levels[i].y))
            add_name(names, f, f->plot->levels[i].name, NULL, f->plot->levels[i].y);
    for (size_t c = 0; c < f->plot->curve_count; c++) {
        const struct bt_plot_curve *curve = &f->plot->curves[c];
        size_t last = curve->count;
        while (last > 0 && !isfinite(curve->y[last - 1]))
            last--;
        if (last > 0 && !curve->unnamed && curve->kind != BT_PLOT_DASHED)
            add_name(names, f, curve->name, curve, curve->y[last - 1]);
    }
}

/* From top to bottom, none over another: pushed down where they would touch, and back up from the lower edge. */
static void spread_names(struct names *names, int height)
{
    struct name *list = names->list;
    for (size_t i = 1; i < names->count; i++)
        for (size_t k = i; k > 0 && list[k].at < list[k - 1].at; k--) {
            const struct name swap = list[k];
            list[k] = list[k - 1];
            list[k - 1] = swap;
        }
    for (size_t i = 1; i < names->count; i++)
        list[i].at = fmax(list[i].at, list[i - 1].at + NAME_HEIGHT);
    double limit = height;
    for (size_t i = names->count; i > 0; i--) {
        list[i - 1].at = fmin(list[i - 1].at, limit);
        limit = list[i - 1].at - NAME_HEIGHT;
    }
}

/* None where there is no room for all of them: the legend has them too. */
static void place_names(const struct frame *f, struct names *names)
{
    names->count = 0;
    if (!f->plot->small)
        collect_names(f, names);
    if (names->count * NAME_HEIGHT > (size_t)f->height)
        names->count = 0;
    spread_names(names, f->height);
}

/* Pixels that the names want beside the plot. */
static int names_width(const struct names *names)
{
    size_t most = 0;
    for (size_t i = 0; i < names->count; i++) {
        const size_t length = bt_html_characters(names->list[i].text);
        most = length > most ? length : most;
    }
    return 18 + NAME_WIDTH * (int)(most < NAME_CHARACTERS ? most : NAME_CHARACTERS);
}

static void write_names(struct bt_text_buf *out, const struct names *names)
{
    bt_text_add(out, "<g class=\"names\">");
    for (size_t i = 0; i < names->count; i++) {
        const struct name *name = &names->list[i];
        bt_text_add(out, "<text x=\"100%%\" dx=\"8\" y=\"%.1f\" dy=\"4\" class=\"", name->at);
        if (name->curve)
            write_class(out, name->curve);
        else
            bt_text_add(out, "level");
        bt_text_add(out, "\">");
        bt_html_short(out, name->text, NAME_CHARACTERS);
        bt_text_add(out, "</text>");
    }
    bt_text_add(out, "</g>");
}

static void write_legend(struct bt_text_buf *out, const struct bt_plot *plot)
{
    if (plot->no_legend || plot->curve_count + plot->level_count < 2)
        return;
    bt_text_add(out, "<ul class=\"legend\">");
    for (size_t c = 0; c < plot->curve_count; c++) {
        if (plot->curves[c].unnamed)
            continue;
        bt_text_add(out, "<li class=\"");
        write_class(out, &plot->curves[c]);
        bt_text_add(out, "%s\">", plot->curves[c].kind == BT_PLOT_THIN ? " thin" : "");
        bt_html_text(out, plot->curves[c].name);
        bt_text_add(out, "</li>");
    }
    for (size_t i = 0; i < plot->level_count; i++) {
        bt_text_add(out, "<li class=\"level\">");
        bt_html_text(out, plot->levels[i].name);
        bt_text_add(out, " <b>");
        bt_html_figure(out, plot->levels[i].y, 5);
        bt_text_add(out, "</b></li>");
    }
    bt_text_add(out, "</ul>");
}

/* Does every curve have its name at its end, so that a legend would only repeat them? */
static bool names_say_all(const struct bt_plot *plot, const struct names *names)
{
    for (size_t c = 0; c < plot->curve_count; c++)
        if (plot->curves[c].kind == BT_PLOT_DASHED && !plot->curves[c].unnamed)
            return false;
    return names->count > 0;
}

void bt_plot_write(struct bt_text_buf *out, const struct bt_plot *plot)
{
    const struct frame f = {.plot = plot,
                            .x = bt_scale_padded(bt_scale_make(plot->x_low, plot->x_high, plot->log_x), 0.012, 0.012),
                            .y = y_scale(plot, plot->close_up ? close_up_from(plot) : -INFINITY),
                            .height = plot->small ? 170 : 320};
    struct names names;
    place_names(&f, &names);
    bt_text_add(out, "<figure class=\"plot%s%s\"><figcaption><b>", plot->small ? " small" : "",
                names_say_all(plot, &names) ? " named" : "");
    bt_html_text(out, plot->title);
    bt_text_add(out, "</b> ");
    bt_html_text(out, plot->unit);
    bt_text_add(out, "</figcaption>");
    write_legend(out, plot);
    bt_text_add(
        out, "<div class=\"frame\" style=\"--names:%dpx\"><svg class=\"axes\" height=\"%d\" role=\"img\" aria-label=\"",
        names_width(&names), f.height);
    bt_html_text(out, plot->title);
    bt_text_add(out, "\">");
    write_axes(out, &f);
    write_levels(out, &f);
    for (size_t c = 0; c < plot->curve_count; c++)
        write_curve(out, &f, &plot->curves[c]);
    if (!has_named_dots(plot)) /* which the strips would cover */
        write_strips(out, &f);
    write_names(out, &names);
    bt_text_add(out, "</svg></div><div class=\"x-name\">");
    bt_html_text(out, plot->x_name);
    bt_text_add(out, "</div></figure>\n");
}
