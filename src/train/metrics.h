/* train/metrics.h - metrics.jsonl: one JSON object a line, each written with one write(2) (docs/config.md).
 * Numbers read back as the same float; what is not finite is null. */
#ifndef BT_TRAIN_METRICS_H
#define BT_TRAIN_METRICS_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "io/json.h"

struct bt_metrics;

/* Opens path, cut back to keep_bytes; BT_EINPUT when it is shorter than that. */
enum bt_err bt_metrics_open(const char *path, uint64_t keep_bytes, struct bt_metrics **ret_metrics,
                            struct bt_diag *diag);
void bt_metrics_close(struct bt_metrics *metrics); /* takes NULL */
/* Takes over the reference to `record`, also on failure; record NULL means that making it ran out of memory. */
enum bt_err bt_metrics_write(struct bt_metrics *metrics, json_t *record, struct bt_diag *diag);
enum bt_err bt_metrics_sync(struct bt_metrics *metrics, struct bt_diag *diag);
uint64_t bt_metrics_size(const struct bt_metrics *metrics);
/* The length of the file up to the first record that is not of a stage before `stage` in the order stage0, stage1,
 * stage1_9, stage2, stage3; the whole length when there is none, 0 when there is no file. A line that is no record,
 * such as one that a kill broke off, ends it too. Where a stage starts over from, when no checkpoint says more. */
enum bt_err bt_metrics_stage_start(const char *path, const char *stage, uint64_t *ret_bytes, struct bt_diag *diag);

#endif
