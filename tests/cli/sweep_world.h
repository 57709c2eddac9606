/* tests/cli/sweep_world.h - what the tests of bitnet-sweep share: the folder of train_world.h with a sweep.yaml, and
 * what all of its tables must agree on. */
#ifndef BT_TESTS_SWEEP_WORLD_H
#define BT_TESTS_SWEEP_WORLD_H

#include "train_world.h"

/* 12 members: three learning rates, two kinds of SubLN, two seeds; two at once. */
#define SWEEP_MEMBERS 12
extern const char sweep_of_twelve[];

/* argv: bitnet-sweep, beside which bitnet-train lies. The folder has a sweep.yaml of the text. */
void sweep_make(struct train_world *world, int argc, char **argv, const char *text);
/* Runs `bitnet-sweep --config sweep.yaml ARGUMENTS...` into world->output; signal_now as in run_program.h. */
void sweep_run(struct train_world *world, int (*signal_now)(void *, double), void *context,
               const char *const *arguments);
#define SWEEP_RUN(world, ...) sweep_run(world, NULL, NULL, (const char *const[]){__VA_ARGS__, NULL})

/* How many of the members are finished. */
size_t sweep_count_finished(const struct train_world *world, const char *folder);
/* results.jsonl without tokens_per_second and seconds; free. */
char *sweep_results(const struct train_world *world, const char *folder);
/* The names of the runs in the folder, members and shared ones; bt_names_free. */
char **sweep_runs(const struct train_world *world, const char *folder, size_t *ret_count);
/* Fails the test unless every update of every run of the folder has one record and no more. */
void sweep_expect_each_update_once(const struct train_world *world, const char *folder);

#endif
