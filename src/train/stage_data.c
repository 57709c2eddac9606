/* The data of a training stage: opened, held apart, counted. */
#include "config/check.h"
#include "train/shard_manifest.h"
#include "train/stages.h"

struct bt_rows_options bt_stage_rows_options(const struct bt_run *run, enum bt_stage_id stage,
                                             const struct bt_cfg_data *data, const struct bt_loaded_model *model)
{
    const struct bt_hf_config *hf = model->config;
    const int64_t before = data->separator_before >= 0 ? data->separator_before : hf->bos_token_id;
    const int64_t after = data->separator_after >= 0 ? data->separator_after : hf->eos_token_id;
    const struct bt_rows_text text = {.tokenizer = model->path,
                                      .output_dir = run->config->output_dir,
                                      .before = data->separator_before,
                                      .after = data->separator_after,
                                      .observer = run->observer};
    return (struct bt_rows_options){.seq = (size_t)data->max_seq_length,
                                    .packing = data->packing,
                                    .before = before,
                                    .after = after,
                                    .shuffle = data->shuffle,
                                    .seed = run->config->seed,
                                    .stage = bt_stage_name(stage),
                                    .vocab_size = hf->vocab_size,
                                    .text = text};
}

/* Is file i of the validation rows one that is trained on? What was seen says nothing about what was learned. */
static enum bt_err check_file_held_out(const struct bt_stage_data *d, size_t i, struct bt_diag *diag)
{
    uint64_t size, hash, train_size, train_hash;
    enum bt_err err = bt_rows_file_hash(d->validation, i, &size, &hash, diag);
    for (size_t j = 0; !err && j < bt_rows_files(d->train); j++) {
        err = bt_rows_file_hash(d->train, j, &train_size, &train_hash, diag);
        if (!err && size == train_size && hash == train_hash)
            err = bt_fail(diag, BT_EUSAGE, "data.validation: %s is trained on too: it has the bytes of %s",
                          bt_rows_file(d->validation, i), bt_rows_file(d->train, j));
    }
    return err;
}

static enum bt_err check_held_out(const struct bt_stage_data *d, struct bt_diag *diag)
{
    enum bt_err err = BT_OK;
    for (size_t i = 0; !err && d->validation && i < bt_rows_files(d->validation); i++)
        err = check_file_held_out(d, i, diag);
    return err;
}

/* Rows hold different numbers of tokens under packing, so the updates are counted by walking through them. */
static enum bt_err count_updates(const struct bt_cfg_train_stage *stage, struct bt_stage_data *d, struct bt_diag *diag)
{
    const uint64_t rows = (uint64_t)(stage->batch_size * stage->gradient_accumulation_steps);
    struct bt_cursor *cursor = NULL;
    d->updates = stage->max_steps;
    if (stage->max_steps > 0)
        return BT_OK;
    const enum bt_err err = bt_cursor_open(d->train, 0, &cursor, diag);
    if (err)
        return err;
    for (uint64_t tokens = 0; tokens < (uint64_t)stage->total_tokens; d->updates++)
        tokens += bt_cursor_skip(cursor, rows);
    bt_cursor_close(cursor);
    return BT_OK;
}

static enum bt_err check_updates(const struct bt_cfg_train_stage *config, enum bt_stage_id stage,
                                 struct bt_stage_data *d, struct bt_diag *diag)
{
    const char *name = bt_stage_name(stage);
    enum bt_err err = count_updates(config, d, diag);
    if (!err)
        err = bt_check_schedule(&config->scheduler, d->updates, name, diag);
    if (!err && bt_stage_is_quantised(config))
        err = bt_check_lambda_warmup(&config->lambda_warmup, d->updates, name, diag);
    if (!err && bt_stage_distils(stage))
        err = bt_check_losses(&config->losses, d->updates, name, diag);
    return err;
}

enum bt_err bt_stage_open_data(const struct bt_run *run, enum bt_stage_id stage, const struct bt_loaded_model *model,
                               struct bt_stage_data *ret_data, struct bt_diag *diag)
{
    const struct bt_cfg_data *data = bt_train_config_data(run->config, stage);
    const struct bt_rows_options options = bt_stage_rows_options(run, stage, data, model);
    struct bt_stage_data d = {0};
    enum bt_err err = bt_rows_open(data->train, data->train_count, &options, &d.train, diag);
    if (!err && data->validation_count)
        err = bt_rows_open(data->validation, data->validation_count, &options, &d.validation, diag);
    if (!err)
        err = bt_check_shard_manifests(d.train, model->path, diag);
    if (!err)
        err = bt_check_shard_manifests(d.validation, model->path, diag);
    if (!err)
        err = check_held_out(&d, diag);
    if (!err)
        err = check_updates(bt_train_config_stage(run->config, stage), stage, &d, diag);
    if (err)
        bt_stage_close_data(&d);
    else
        *ret_data = d;
    return err;
}

void bt_stage_close_data(struct bt_stage_data *data)
{
    bt_rows_close(data->train);
    bt_rows_close(data->validation);
    *data = (struct bt_stage_data){0};
}
