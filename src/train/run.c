#include "train/run.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "io/file.h"
#include "train/plan.h"
#include "train/stages.h"

void bt_say(const struct bt_run *run, const char *format, ...)
{
    char sentence[4096];
    va_list args;
    if (!run->observer->say)
        return;
    va_start(args, format);
    vsnprintf(sentence, sizeof sentence, format, args);
    va_end(args);
    run->observer->say(run->observer->context, sentence);
}

enum bt_err bt_run_start_model(const struct bt_run *run, enum bt_stage_id stage, char **ret_path, struct bt_diag *diag)
{
    const struct bt_train_config *config = run->config;
    size_t place = 0;
    char *path = NULL;
    while (place < config->stage_count && config->stages[place] != stage)
        place++;
    if (place > 0)
        path = bt_run_stage_path(run->folder, config->stages[place - 1], "model");
    else if (config->model_path)
        path = bt_strdup(config->model_path);
    else
        return BT_OK;
    if (!path)
        return bt_fail_nomem(diag);
    *ret_path = path;
    return BT_OK;
}

static enum bt_err run_stage(const struct bt_run *run, enum bt_stage_id stage, struct bt_diag *diag)
{
    if (bt_run_stage_finished(run->folder, stage)) {
        bt_say(run, "%s: finished already", bt_stage_name(stage));
        return BT_OK;
    }
    return stage == BT_STAGE1 ? bt_run_stage1(run, diag) : bt_run_training_stage(run, stage, diag);
}

static enum bt_err fail_no_checkpoint(const char *path, struct bt_diag *diag)
{
    return bt_fail(diag, BT_EUSAGE, "%s holds no checkpoint and --resume is required", path);
}

static enum bt_err check_resume(const struct bt_run *run, struct bt_diag *diag)
{
    const bool progress = bt_run_has_progress(run->folder, run->config);
    if (run->options->resume == BT_RESUME_NEVER && progress)
        return bt_fail(diag, BT_EUSAGE, "%s holds a run already and --resume is never; take a new name",
                       bt_run_path(run->folder));
    if (run->options->resume == BT_RESUME_REQUIRED && !progress)
        return fail_no_checkpoint(bt_run_path(run->folder), diag);
    return BT_OK;
}

static bool stopped(const struct bt_run *run)
{
    return run->observer->stop && run->observer->stop(run->observer->context);
}

static enum bt_err run_stages(const struct bt_run *run, struct bt_diag *diag)
{
    enum bt_err err = BT_OK;
    for (size_t i = 0; !err && i < run->config->stage_count; i++) {
        if (i > 0 && stopped(run))
            return bt_fail(diag, BT_ESTOPPED, "stopped before %s; the same command continues",
                           bt_stage_name(run->config->stages[i]));
        err = run_stage(run, run->config->stages[i], diag);
    }
    return err;
}

/* A run that is new is planned first: what cannot work ends here, before anything is written. One that goes on has been
 * planned when it began, and may have lost its start model since. */
static enum bt_err plan_new_run(const struct bt_run *run, struct bt_diag *diag)
{
    struct bt_run_plan plan;
    return bt_plan_run(run, &plan, diag);
}

/* Is there no folder of that name yet? Then not even the folder is made for a run that cannot work. */
static enum bt_err plan_without_folder(const struct bt_run *run, bool *ret_planned, struct bt_diag *diag)
{
    enum bt_err err = BT_OK;
    char *path = bt_path_join(run->config->output_dir, run->config->name);
    if (!path)
        return bt_fail_nomem(diag);
    *ret_planned = !bt_file_exists(path);
    if (*ret_planned)
        err = run->options->resume == BT_RESUME_REQUIRED ? fail_no_checkpoint(path, diag) : plan_new_run(run, diag);
    bt_free(path);
    return err;
}

enum bt_err bt_run_config(const struct bt_train_config *config, const struct bt_observer *observer,
                          const struct bt_run_options *options, struct bt_diag *diag)
{
    struct bt_run run = {.config = config, .observer = observer, .options = options};
    bool planned = false;
    enum bt_err err = plan_without_folder(&run, &planned, diag);
    if (!err)
        err = bt_run_folder_open(config, &run.folder, diag);
    if (err)
        return err;
    err = check_resume(&run, diag);
    if (!err && !planned && !bt_run_has_progress(run.folder, config))
        err = plan_new_run(&run, diag);
    if (!err)
        err = bt_run_folder_begin(run.folder, config, diag);
    if (!err)
        err = run_stages(&run, diag);
    bt_run_folder_close(run.folder);
    return err;
}
