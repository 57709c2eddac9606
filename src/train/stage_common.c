#include <string.h>

#include "base/mem.h"
#include "io/file.h"
#include "train/stages.h"

enum bt_err bt_stage_load_model(const struct bt_run *run, enum bt_stage_id stage, struct bt_loaded_model **ret_model,
                                struct bt_diag *diag)
{
    char *path = NULL;
    enum bt_err err = bt_run_start_model(run, stage, &path, diag);
    if (err)
        return err;
    if (path)
        err = bt_model_load(path, ret_model, diag);
    else
        err = bt_model_random(run->config->model_config, run->config->seed, ret_model, diag);
    bt_free(path);
    return err;
}

enum bt_err bt_stage_open_teaching(const struct bt_run *run, enum bt_stage_id stage, const struct bt_shape *student,
                                   bool with_weights, struct bt_teaching *ret_teaching, struct bt_diag *diag)
{
    const struct bt_train_config *config = run->config;
    const struct bt_cfg_train_stage *section = bt_train_config_stage(config, stage);
    char *path = NULL;
    enum bt_err err = BT_OK;
    if (section->teacher.path)
        path = bt_strdup(section->teacher.path);
    else if (!with_weights) /* stage 0 keeps the shape of what it starts from, and may not have run */
        path = config->model_path ? bt_strdup(config->model_path) : NULL;
    else if (bt_losses_need_teacher(&section->losses))
        err = bt_run_start_model(run, BT_STAGE1, &path, diag);
    if (!err && !path && (section->teacher.path || (!with_weights && config->model_path)))
        err = bt_fail_nomem(diag);
    if (!err)
        err = bt_teaching_open(section, stage, student, path, config->model_config, with_weights, ret_teaching, diag);
    bt_free(path);
    return err;
}

bool bt_stage_is_quantised(const struct bt_cfg_train_stage *config)
{
    return config->weights != BT_WEIGHTS_NONE || config->activations != BT_ACTIVATIONS_NONE;
}

enum bt_err bt_stage_write_model(const struct bt_run *run, enum bt_stage_id stage, const struct bt_hf_config *config,
                                 const struct bt_params *params, const float *weights, const struct bt_hf_marks *marks,
                                 const char *tokenizer_source, struct bt_diag *diag)
{
    char *beside = bt_run_stage_path(run->folder, stage, ".tmp-model");
    char *final = bt_run_stage_path(run->folder, stage, "model");
    enum bt_err err = BT_OK;
    if (!beside || !final)
        err = bt_fail_nomem(diag);
    if (!err)
        err = bt_dir_remove(beside, diag);
    if (!err)
        err = bt_dir_make(beside, diag);
    if (!err)
        err = bt_model_write(beside, config, params, weights, marks, tokenizer_source, NULL, diag);
    if (!err)
        err = bt_dir_sync(beside, diag);
    if (!err)
        err = bt_file_rename(beside, final, diag);
    bt_free(beside);
    bt_free(final);
    return err;
}
