/* io/lock.h - an advisory lock on a whole file, held by one process at a time. The kernel drops it when its holder
 * dies, so that a file left behind locks nobody out. */
#ifndef BT_IO_LOCK_H
#define BT_IO_LOCK_H

#include <stdbool.h>

#include "base/err.h"

/* Makes the file where there is none and writes "<process id> <host>" into it. When another holds it: BT_EINPUT and
 * "... is in use by process 1234 on host foo". */
struct bt_lock;
enum bt_err bt_lock_take(const char *path, struct bt_lock **ret_lock, struct bt_diag *diag);
/* The same, and says whether it is another holder that it failed for, so that one can wait and try again. */
enum bt_err bt_lock_try(const char *path, bool *ret_busy, struct bt_lock **ret_lock, struct bt_diag *diag);
/* Does the file name a holder that, as far as can be seen from here, is alive? The lock itself is not touched, so that
 * nobody who takes it at that moment fails. */
bool bt_lock_has_holder(const char *path);
/* For a child that is to hold the lock too: as long as either has it open, it is held. Closed by exec unless the child
 * says otherwise. */
int bt_lock_descriptor(const struct bt_lock *lock);
void bt_lock_release(struct bt_lock *lock); /* the file stays, empty; takes NULL */

#endif
