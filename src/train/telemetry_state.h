/* train/telemetry_state.h - what a checkpoint keeps of telemetry in state.json; codes and scales are in a file of their
 * own (train/telemetry.h). */
#ifndef BT_TRAIN_TELEMETRY_STATE_H
#define BT_TRAIN_TELEMETRY_STATE_H

#include <stdint.h>

enum { BT_PROJECTIONS = 7 }; /* the linear layers of a block, in the order of the parameter table */

struct bt_telemetry_state {
    int64_t step;                   /* that the kept codes are of; -1: none are kept */
    double seconds;                 /* that telemetry has taken */
    uint64_t warned;                /* bit kind * BT_PROJECTIONS + projection: has been said */
    int64_t flip_span;              /* updates between records that `calmest` is of */
    double calmest[BT_PROJECTIONS]; /* the smallest share of codes that flipped from record to record; NaN: none yet */
    int64_t rising[BT_PROJECTIONS]; /* records in a row, up to the last, with many more than that */
};

#endif
