/* sweep/forecast.h - what a sweep has left to do, and about how long that will take, before it does it. */
#ifndef BT_SWEEP_FORECAST_H
#define BT_SWEEP_FORECAST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "sweep/sweep.h"
#include "train/run.h"

struct bt_forecast_run {
    bool finished;
    int64_t updates;   /* left to do, without those of stages that it takes over; all of them in a run that goes on */
    double operations; /* of them: 6 for each parameter and token */
    double seconds;
    size_t memory; /* bytes, at most */
};

struct bt_forecast {
    struct bt_forecast_run *runs; /* (run_count) */
    double rate;                  /* operations a second of one member while all jobs run */
    size_t rate_runs; /* finished runs of this sweep that it comes from; 0: from the speed of a matrix product */
    double seconds;   /* of all that is left */
};

/* Plans every run that is not finished, which opens and checks all of its inputs (BT_EINPUT, BT_EUSAGE). Changes
 * nothing but token caches of text. jobs and threads as in struct bt_sweep_work. */
enum bt_err bt_sweep_forecast(const struct bt_sweep *sweep, size_t jobs, size_t threads,
                              const struct bt_observer *observer, struct bt_forecast *ret_forecast,
                              struct bt_diag *diag);
void bt_forecast_finish(struct bt_forecast *forecast); /* takes a zeroed one */

#endif
