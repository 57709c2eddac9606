/* train/plan.h - what a run will do and need, before it does anything: every input opened and checked, every allocation
 * and the disk sized, updates counted. A run makes its plan first, so that a config that cannot work ends before
 * anything is written but token caches; --dry-run prints it. */
#ifndef BT_TRAIN_PLAN_H
#define BT_TRAIN_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "train/run.h"

struct bt_stage_plan {
    enum bt_stage_id stage;
    uint64_t parameters;
    int64_t updates;
    uint64_t rows, epoch_tokens; /* of the training data; 0 for stage 1 */
    uint64_t validation_rows;
    size_t weights, gradients, optimizer, activations, other; /* bytes */
    size_t memory;                                            /* their sum: what the stage reserves at most */
    uint64_t disk; /* bytes that stay, and the most that is there at one moment while saving */
};

struct bt_run_plan {
    struct bt_stage_plan stages[BT_STAGE_COUNT];
    size_t count;
    size_t process; /* bytes of the program itself: code, libraries, thread stacks */
    size_t memory;  /* peak of the whole run, process included */
    uint64_t disk;
};

/* The whole run from its start; run->folder may be NULL. */
enum bt_err bt_plan_run(const struct bt_run *run, struct bt_run_plan *plan, struct bt_diag *diag);

#endif
