/* report/source.h - how well the validation text can be predicted at best, where that is known: for text drawn by
 * `bitnet-data generate`, whose report lies beside it.
 *
 * Losses are nats per label of the tokenizer: the report counts bytes, and the same nats fall on fewer labels. */
#ifndef BT_REPORT_SOURCE_H
#define BT_REPORT_SOURCE_H

#include <stdbool.h>

#include "base/err.h"
#include "io/json.h"
#include "report/flat_config.h"

struct bt_report_source { /* zeroed: nothing is known */
    bool known;
    double labels;  /* of the validation text */
    double entropy; /* of the grammar */
    double source;  /* of the grammar itself, on the validation text */
    double trigram; /* of a byte trigram model, on the validation text */
};

/* From the report of the text and the manifest of the token shards of its validation half. */
struct bt_report_source bt_report_source_losses(const json_t *text, const json_t *shards);
/* For a run's folder and config: the report that belongs to the only source of data.validation, given as token shards
 * with a manifest. Paths of the config count from where the run was started: the folder that `run_path` lies in as
 * output_dir/name, or the working directory. What is not there, or not of these kinds, is not known. Only BT_ENOMEM. */
enum bt_err bt_report_source_find(const char *run_path, const struct bt_flat_config *config,
                                  struct bt_report_source *ret_source, struct bt_diag *diag);

#endif
