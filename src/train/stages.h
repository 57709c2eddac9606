/* train/stages.h - the stages themselves. Each writes its model folder last: that it stands there marks the stage done.
 */
#ifndef BT_TRAIN_STAGES_H
#define BT_TRAIN_STAGES_H

#include "train/model_folder.h"
#include "train/rows.h"
#include "train/run.h"
#include "train/teaching.h"

/* The stage's start model, from a folder or from model.config with random weights. */
enum bt_err bt_stage_load_model(const struct bt_run *run, enum bt_stage_id stage, struct bt_loaded_model **ret_model,
                                struct bt_diag *diag);
/* What bt_rows_open wants to know, from the config's data keys and the model's own separators. Where one id would both
 * begin and end a document (SmolLM2: BOS = EOS), it begins one: each document is then predicted to end by the next
 * one's start. */
struct bt_rows_options bt_stage_rows_options(const struct bt_run *run, enum bt_stage_id stage,
                                             const struct bt_cfg_data *data, const struct bt_loaded_model *model);
/* Writes the model folder beside and renames it to <stage>/model. */
enum bt_err bt_stage_write_model(const struct bt_run *run, enum bt_stage_id stage, const struct bt_hf_config *config,
                                 const struct bt_params *params, const float *weights, const struct bt_hf_marks *marks,
                                 const char *tokenizer_source, struct bt_diag *diag);

/* Conversion: BitLinear and SubLN; writes stage1/conversion.json too. A model that is BitNet already passes through
 * (auto_convert_if_needed). */
enum bt_err bt_run_stage1(const struct bt_run *run, struct bt_diag *diag);
/* What a conversion reads besides the model: validation rows for conversion.json, calibration rows when norms are to be
 * calibrated. Either may be NULL, and seq is 0 in a config without data. */
struct bt_conversion_data {
    struct bt_rows *validation, *calibration;
    size_t seq;
};
enum bt_err bt_conversion_open_data(const struct bt_run *run, const struct bt_loaded_model *from,
                                    struct bt_conversion_data *ret_data, struct bt_diag *diag);
void bt_conversion_close_data(struct bt_conversion_data *data); /* takes a zeroed one */
/* Bytes that it reserves besides the weights before and after; params is the converted table. */
size_t bt_stage1_memory(const struct bt_params *params, size_t seq);

/* All other stages: the training loop, from the newest whole checkpoint or from the start. */
enum bt_err bt_run_training_stage(const struct bt_run *run, enum bt_stage_id stage, struct bt_diag *diag);
/* Is anything quantised? Not in a float twin or stage 0. */
bool bt_stage_is_quantised(const struct bt_cfg_train_stage *config);

/* The teacher of a stage that has one, and its loss: as bt_teaching_open, for teacher.path or what stage 1 starts
 * from. with_weights: stage 0, if it comes before, has run. */
enum bt_err bt_stage_open_teaching(const struct bt_run *run, enum bt_stage_id stage, const struct bt_shape *student,
                                   bool with_weights, struct bt_teaching *ret_teaching, struct bt_diag *diag);

/* The data of a training stage. */
struct bt_stage_data {
    struct bt_rows *train, *validation; /* validation may be NULL */
    int64_t updates;                    /* N: max_steps, or as many as total_tokens takes, rounded up */
};
/* Opens it and checks all that depends on it: shards and model are of one tokenizer as far as files tell, no validation
 * file is trained on (BT_EUSAGE), learning rate and lambda are defined for N updates. */
enum bt_err bt_stage_open_data(const struct bt_run *run, enum bt_stage_id stage, const struct bt_loaded_model *model,
                               struct bt_stage_data *ret_data, struct bt_diag *diag);
void bt_stage_close_data(struct bt_stage_data *data); /* takes a zeroed one */

#endif
