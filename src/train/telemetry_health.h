/* train/telemetry_health.h - when what telemetry measures leaves its healthy band (docs/telemetry.md). */
#ifndef BT_TRAIN_TELEMETRY_HEALTH_H
#define BT_TRAIN_TELEMETRY_HEALTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "train/telemetry.h"

enum bt_warning_kind {
    BT_WARN_ZERO_SHARE,        /* a layer's codes are 0 too rarely, or too often */
    BT_WARN_FLIPS_RISING,      /* late in a stage a projection flips more codes than it did */
    BT_WARN_GRADIENT_VANISHED, /* of a projection, beside those of all */
    BT_WARN_SCALE_COLLAPSED,   /* of a layer, beside what it began with */
    BT_WARNING_KINDS
};

struct bt_warning {
    enum bt_warning_kind kind;
    size_t projection;
    double value, low, high; /* the worst that was found and its band; NaN: no bound on that side */
    bool of_layers;          /* a band of each layer, which `layer` has left the farthest; else of all together */
    size_t layer;
};

/* What there is to know of the moment of a record. */
struct bt_health_moment {
    bool updated;     /* it follows an update that was applied */
    bool full_lambda; /* of that update */
    bool late;        /* in the second half of the stage */
    int64_t span;     /* updates since the codes that flips are counted from */
};

#define BT_WARNINGS_MAX (BT_WARNING_KINDS * BT_PROJECTIONS)

/* Everything that is out of its band and has not been said of this projection before, which the state remembers.
 * Returns the number of warnings in the list. */
size_t bt_telemetry_warnings(const struct bt_telemetry *telemetry, const struct bt_health_moment *moment,
                             struct bt_telemetry_state *state, struct bt_warning list[BT_WARNINGS_MAX]);

const char *bt_warning_name(enum bt_warning_kind kind); /* "zero_share" */
/* Has this layer left the warning's band? For a warning of layers. */
bool bt_warning_meets(const struct bt_warning *warning, const struct bt_weight_measure *weight);
/* What was found, in one sentence without a full stop; cut to `size` bytes. */
void bt_warning_sentence(const struct bt_warning *warning, char *text, size_t size);
/* What usually helps. */
const char *bt_warning_advice(const struct bt_warning *warning);

#endif
