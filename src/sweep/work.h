/* sweep/work.h - runs what is left of a sweep: up to so many members at once, each a bitnet-train of its own.
 *
 * A run is claimed by a lock beside its config while a sweep works on it, so any number of sweeps may be started on one
 * folder, here or on other machines that see it: each takes what is free, and waits for what is not. */
#ifndef BT_SWEEP_WORK_H
#define BT_SWEEP_WORK_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "sweep/sweep.h"

struct bt_sweep_work {
    const struct bt_sweep *sweep;
    size_t only;         /* this member and what it shares with others, or BT_SWEEP_NONE: all */
    const char *trainer; /* path of bitnet-train */
    size_t jobs;         /* members at once */
    size_t threads;      /* of all of them together */
    void *context;
    void (*say)(void *context, const char *sentence); /* a line for the log; may be NULL */
    bool (*stop)(void *context); /* asked all the time: let the members save and return BT_ESTOPPED? May be NULL */
};

/* Runs until every member that was asked for is finished or has failed. BT_EPARTIAL: some have failed. BT_ESTOPPED: all
 * that ran has saved; also when a member was stopped by somebody else. Other errors are those of the sweep itself; its
 * members are stopped first. */
enum bt_err bt_sweep_work(const struct bt_sweep_work *work, struct bt_diag *diag);

#endif
