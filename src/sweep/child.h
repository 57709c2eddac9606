/* sweep/child.h - a run as a process of its own: what happens to one does not hurt the others.
 *
 * A child has its own process group, so that Ctrl-C at a terminal reaches the sweep alone, which passes it on once.
 * When the sweep dies, the kernel sends the child SIGTERM: it saves and ends. Until then it holds the claim that it
 * inherited, so whoever starts the sweep again waits for it. */
#ifndef BT_SWEEP_CHILD_H
#define BT_SWEEP_CHILD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "io/lock.h"

struct bt_child {
    pid_t pid;
    int64_t log_size; /* before this start */
};

/* Starts argv[0] with stdin empty, and what it says at the end of the file `log`. The claim stays the caller's too. */
enum bt_err bt_child_start(const char *const *argv, const char *log, const struct bt_lock *claim,
                           struct bt_child *ret_child, struct bt_diag *diag);
/* Whether it has ended; then its wait status. Does not wait. */
bool bt_child_has_ended(const struct bt_child *child, int *ret_status);
void bt_child_signal(const struct bt_child *child, int number);
/* Why it ended so: the sentence that it left in its log ("<program>: <sentence>"), or what is known otherwise. For
 * bt_free; NULL when memory is out. */
char *bt_child_error(const struct bt_child *child, int status, const char *program, const char *log);

#endif
