/* train/stage_sample.h - samples of text while a stage trains: what the model makes of an empty text, the likeliest
 * token each time, so that samples show the model and no luck, and are the same in a run that was interrupted. */
#ifndef BT_TRAIN_STAGE_SAMPLE_H
#define BT_TRAIN_STAGE_SAMPLE_H

#include "train/stage_train.h"

/* What samples are made with; ret_sampler stays NULL where logging.sample_interval is 0. BT_EINPUT: the model's folder
 * has no tokenizer that fits it, or names no id to begin a text with. */
enum bt_err bt_stage_sampler_open(const struct bt_run *run, const struct bt_loaded_model *model,
                                  struct bt_stage_sampler **ret_sampler, struct bt_diag *diag);
void bt_stage_sampler_close(struct bt_stage_sampler *sampler); /* takes NULL */

/* Bytes that a sample reserves while it is made, at most. */
size_t bt_stage_sample_memory(const struct bt_params *params, const struct bt_cfg_train_stage *config);

/* Makes one with the weights and the lambda of now, and writes its record. */
enum bt_err bt_stage_sample(struct bt_stage_run *s, double lambda, struct bt_diag *diag);

#endif
