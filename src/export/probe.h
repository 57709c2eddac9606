/* export/probe.h - logits on a few fixed token rows, to compare two sets of weights by what they compute. */
#ifndef BT_EXPORT_PROBE_H
#define BT_EXPORT_PROBE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "nn/params.h"

/* Logits at lambda 1, (positions, vocab), of rows that depend on the vocabulary's size alone. The caller frees
 * ret_logits with bt_free. */
enum bt_err bt_probe_logits(const struct bt_params *params, const float *weights, bool ternary, bool int8,
                            float **ret_logits, size_t *ret_positions, struct bt_diag *diag);

/* The largest absolute difference of two (positions, vocab) sets; NaN when either holds one. */
double bt_probe_difference(const float *a, const float *b, size_t count);

#endif
