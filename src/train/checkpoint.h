/* train/checkpoint.h - everything a resume needs, in one folder that is written beside, synced and renamed.
 *
 *   step-00000200/   config.json model.safetensors [tokenizer files]   a model folder: usable as --model
 *                    optimizer.safetensors   both moments, under the parameters' names + ".m", ".v"; where there is
 *                                            no second moment (Muon's matrices), that tensor is missing
 *                    telemetry.safetensors   codes of the last record (train/telemetry.h); not always there
 *                    state.json              numbers of bt_train_state, and size and XXH3-64 of every other file;
 *                                            written last
 */
#ifndef BT_TRAIN_CHECKPOINT_H
#define BT_TRAIN_CHECKPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "config/hf_config.h"
#include "config/train_config.h"
#include "nn/distill.h"
#include "nn/params.h"
#include "train/early_stopping.h"
#include "train/telemetry_state.h"
#include "train/zclip.h"

struct bt_data_file { /* a file the stage trains or validates on: a resume wants the same bytes */
    char *path;
    uint64_t size, hash;
};

struct bt_train_state { /* every position and counter of a stage; saved as it stands */
    int64_t step;       /* updates done, skipped ones included */
    int64_t applied;    /* t of AdamW */
    int64_t skipped, skipped_in_a_row;
    uint64_t row;            /* position in the data */
    uint64_t tokens, labels; /* cumulative */
    double elapsed_s;
    double data_wait_s; /* of these, what training waited for rows */
    double best_loss;   /* of validations at full lambda; NaN: none yet */
    int64_t best_step;
    double last_loss, last_eval_loss; /* for summary.json; NaN: none yet */
    int64_t last_eval_step;
    double first_eval_loss;        /* before the first update; NaN: none */
    double balance[BT_TERM_COUNT]; /* weights that were found for balanced terms (docs/numerics.md section 8); NaN */
    struct bt_zclip_state zclip;
    struct bt_early_stopping_state early_stopping;
    struct bt_telemetry_state telemetry;
    uint64_t metrics_bytes; /* how long metrics.jsonl was */
    /* What `auto` chose; a resume keeps it. codes and gradient: "float32" or what runs on integers. */
    char matmul[24], kernels[24], codes[24], gradient[24];
};

struct bt_telemetry; /* train/telemetry.h */

struct bt_checkpoint_source { /* all borrowed */
    const struct bt_hf_config *config;
    const struct bt_params *params;
    const struct bt_hf_marks *marks;
    const struct bt_cfg_optimizer *optimizer; /* says which parameters have a second moment */
    const float *weights, *m, *v;             /* as train/optimizer.h has them */
    const struct bt_train_state *state;
    const struct bt_telemetry *telemetry; /* NULL: it is off */
    const struct bt_data_file *files;
    size_t file_count;
    const char *tokenizer_source; /* folder with tokenizer files, or NULL */
};

/* Saves folder/step-NNNNNNNN. Checks the free disk first (BT_EIO saying how much is needed). On any failure the earlier
 * checkpoints stand untouched and the half-made folder is removed as far as the disk allows. A folder of that step that
 * exists already is replaced only when the new one is complete. Checkpoints of later steps, which can only be ones that
 * were passed over as damaged, are removed when the new one stands. */
enum bt_err bt_checkpoint_save(const char *folder, const struct bt_checkpoint_source *source, struct bt_diag *diag);
/* Where bt_checkpoint_save puts it: folder/step-NNNNNNNN; bt_free; NULL when memory is out. */
char *bt_checkpoint_path(const char *folder, int64_t step);
uint64_t bt_checkpoint_disk_size(const struct bt_checkpoint_source *source);

/* Removes all but the newest `keep_last_n` (at least 1) and `keep_step` (0: none), and left-over temporary folders. */
enum bt_err bt_checkpoint_prune(const char *folder, int64_t keep_last_n, int64_t keep_step, struct bt_diag *diag);

/* Are there any checkpoint folders, whole or not? */
enum bt_err bt_checkpoint_any(const char *folder, bool *ret_any, struct bt_diag *diag);

/* Finds the newest whole checkpoint: checks the checksum of every file, newest first. Damaged ones are passed over and
 * named in ret_damaged (one sentence each, joined by "; ", bt_free; NULL when none was). *ret_path is NULL when there
 * is no whole one; *ret_any says whether there were any folders at all. */
enum bt_err bt_checkpoint_newest(const char *folder, char **ret_path, bool *ret_any, char **ret_damaged,
                                 struct bt_diag *diag);

/* Reads the state and fills the caller's weights, m and v. files: bt_free each path and the array. */
enum bt_err bt_checkpoint_load(const char *path, const struct bt_params *params,
                               const struct bt_cfg_optimizer *optimizer, float *weights, float *m, float *v,
                               struct bt_train_state *state, struct bt_data_file **ret_files, size_t *ret_file_count,
                               struct bt_diag *diag);
void bt_data_files_free(struct bt_data_file *files, size_t count);

#endif
