/* sweep/outcome.h - what has become of a run, as its files say: nothing about a member is kept in memory alone. */
#ifndef BT_SWEEP_OUTCOME_H
#define BT_SWEEP_OUTCOME_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "sweep/sweep.h"

enum bt_sweep_status {
    BT_SWEEP_PENDING,     /* not begun */
    BT_SWEEP_RUNNING,     /* another process works on it */
    BT_SWEEP_INTERRUPTED, /* begun; the next start goes on with it */
    BT_SWEEP_FAILED,
    BT_SWEEP_FINISHED,
};
const char *bt_sweep_status_name(enum bt_sweep_status status); /* "pending" ... */

struct bt_sweep_outcome { /* numbers are those of the last stage that trained; NaN and -1: there is none */
    enum bt_sweep_status status;
    double loss, eval_loss, perplexity, best_eval_loss, tokens_per_second;
    int64_t best_step, steps, tokens;
    double seconds; /* of all stages */
    char *error;    /* of a run that failed: one sentence; else NULL. bt_free */
};

bool bt_sweep_is_finished(const struct bt_sweep_run *run); /* the models of all its stages stand there */
/* Reads summary.json and what bt_sweep_note_failure wrote. locks: also find out whether another process has the run. */
enum bt_err bt_sweep_look(const struct bt_sweep *sweep, const struct bt_sweep_run *run, bool locks,
                          struct bt_sweep_outcome *ret_outcome, struct bt_diag *diag);
void bt_sweep_outcome_finish(struct bt_sweep_outcome *outcome); /* takes a zeroed one */

/* Keeps how a start of the run failed, for the table of any later start. The next start of the run forgets the error,
 * but not how often that happened. */
enum bt_err bt_sweep_note_failure(const struct bt_sweep *sweep, const struct bt_sweep_run *run, int exit_code,
                                  const char *error, struct bt_diag *diag);
enum bt_err bt_sweep_forget_error(const struct bt_sweep *sweep, const struct bt_sweep_run *run, struct bt_diag *diag);

struct bt_sweep_failures {
    int64_t count; /* starts that failed */
    bool diverged; /* so that another start would only do the same again; false when its folder was removed since */
};
struct bt_sweep_failures bt_sweep_failures(const struct bt_sweep *sweep, const struct bt_sweep_run *run);

#endif
