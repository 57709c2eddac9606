/* report/scale.h - an axis: which part of it a value is at, and where its ticks stand. */
#ifndef BT_REPORT_SCALE_H
#define BT_REPORT_SCALE_H

#include <stdbool.h>
#include <stddef.h>

struct bt_scale {
    double low, high; /* low < high; with log both above 0 */
    bool log;
};

/* A scale from low to high, which may be in any order, equal, or not finite; a logarithmic one only where high is above
 * 0, and over at most twelve decades. */
struct bt_scale bt_scale_make(double low, double high, bool log);
/* Widens it by a share of its length at either end. */
struct bt_scale bt_scale_padded(struct bt_scale scale, double below, double above);
/* 0 at low, 1 at high; kept within -9 and 10. What a logarithm does not know is at its low end. */
double bt_scale_place(const struct bt_scale *scale, double value);

enum { BT_TICKS_MAX = 16 };
struct bt_ticks {
    double values[BT_TICKS_MAX];
    size_t count;
};
/* About `wanted` round values within the scale; with `whole` none that is no integer. */
struct bt_ticks bt_scale_ticks(const struct bt_scale *scale, size_t wanted, bool whole);

#endif
