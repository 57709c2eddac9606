/* report/plot.h - one plot of curves as a figure of a page: an SVG that is as wide as its place, with axes, ticks, a
 * legend, a name at the end of each curve, and strips that say the values under the pointer.
 *
 * Every point of every curve is drawn; a value that is not finite is a cross at the upper edge. Texts keep their size
 * at any width, so positions across are shares of the width; the drawing in the middle is stretched. */
#ifndef BT_REPORT_PLOT_H
#define BT_REPORT_PLOT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "config/text_buf.h"

enum bt_plot_kind {
    BT_PLOT_LINE,   /* a line */
    BT_PLOT_THIN,   /* a thin, pale one: what is noisy */
    BT_PLOT_MARKED, /* a line with a dot at each point */
    BT_PLOT_DASHED, /* a broken line with pale dots */
    BT_PLOT_DOTS,   /* dots alone, each with a name of its own */
};

struct bt_plot_curve {
    const char *name;
    enum bt_plot_kind kind;
    unsigned colour; /* any number; see BT_PLOT_COLOURS */
    bool unnamed;    /* a part of the curve of the same colour: not in the legend, no name at its end */
    size_t count;
    const double *x, *y;            /* borrowed */
    const char *const *point_names; /* (count) of dots */
};

struct bt_plot_level { /* a horizontal line */
    const char *name;
    double y;
};

#define BT_PLOT_COLOURS 8 /* that are told apart; from there on they come again, with broken lines */

struct bt_plot {
    const char *title, *unit; /* unit may be NULL */
    const char *x_name;
    const struct bt_plot_curve *curves;
    size_t curve_count;
    const struct bt_plot_level *levels;
    size_t level_count;
    double x_low, x_high;
    const char *const *categories; /* names of x = 0, 1, ... in place of ticks; NULL: x is a number */
    size_t category_count;
    bool log_x, log_y;
    bool from_zero; /* the y axis begins at 0 */
    bool close_up;  /* the y axis fits the last three quarters across, and of many curves the lower half; what is beyond
                       is cut off */
    bool small;     /* half as high, without names at the ends */
    bool no_legend; /* another plot beside it has it */
};

/* Is the highest value of the curves more than so many times the lowest? */
bool bt_plot_spans(const struct bt_plot *plot, double times);
/* Would a close-up show much more than the whole? */
bool bt_plot_wants_close_up(const struct bt_plot *plot);
void bt_plot_write(struct bt_text_buf *out, const struct bt_plot *plot);

#endif
