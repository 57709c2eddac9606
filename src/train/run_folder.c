#include "train/run_folder.h"

#include <stdint.h>
#include <string.h>

#include "base/mem.h"
#include "io/file.h"
#include "io/lock.h"
#include "train/checkpoint.h"

struct bt_run_folder {
    char *name, *path, *metrics, *config, *summary, *lock_path;
    char *model[BT_STAGE_COUNT];         /* of each stage: where its finished model stands */
    bool has_checkpoint[BT_STAGE_COUNT]; /* when the folder was opened */
    struct bt_lock *lock;
};

const char *bt_run_path(const struct bt_run_folder *run)
{
    return run->path;
}

const char *bt_run_metrics(const struct bt_run_folder *run)
{
    return run->metrics;
}

char *bt_run_stage_path(const struct bt_run_folder *run, enum bt_stage_id stage, const char *name)
{
    return bt_sprintf("%s/%s/%s", run->path, bt_stage_name(stage), name);
}

bool bt_run_stage_finished(const struct bt_run_folder *run, enum bt_stage_id stage)
{
    return bt_dir_exists(run->model[stage]);
}

bool bt_run_has_progress(const struct bt_run_folder *run, const struct bt_train_config *config)
{
    for (size_t i = 0; i < config->stage_count; i++)
        if (run->has_checkpoint[config->stages[i]] || bt_run_stage_finished(run, config->stages[i]))
            return true;
    return false;
}

void bt_run_folder_close(struct bt_run_folder *run)
{
    if (!run)
        return;
    bt_lock_release(run->lock);
    for (size_t i = 0; i < BT_STAGE_COUNT; i++)
        bt_free(run->model[i]);
    bt_free(run->lock_path);
    bt_free(run->summary);
    bt_free(run->config);
    bt_free(run->metrics);
    bt_free(run->path);
    bt_free(run->name);
    bt_free(run);
}

/* All paths that are asked for later, so that asking cannot fail. */
static bool make_paths(struct bt_run_folder *run, const struct bt_train_config *config)
{
    run->name = bt_strdup(config->name);
    run->path = bt_path_join(config->output_dir, config->name);
    if (!run->name || !run->path)
        return false;
    run->metrics = bt_path_join(run->path, "metrics.jsonl");
    run->config = bt_path_join(run->path, "config.yaml");
    run->summary = bt_path_join(run->path, "summary.json");
    run->lock_path = bt_path_join(run->path, "lock");
    bool whole = run->metrics && run->config && run->summary && run->lock_path;
    for (size_t i = 0; whole && i < BT_STAGE_COUNT; i++) {
        run->model[i] = bt_run_stage_path(run, (enum bt_stage_id)i, "model");
        whole = run->model[i] != NULL;
    }
    return whole;
}

static enum bt_err make_folder(const char *path, struct bt_diag *diag)
{
    if (bt_file_exists(path) && !bt_dir_exists(path))
        return bt_fail(diag, BT_EINPUT, "%s: a file stands where the run folder should be", path);
    return bt_dir_make(path, diag);
}

static enum bt_err find_checkpoints(struct bt_run_folder *run, struct bt_diag *diag)
{
    enum bt_err err = BT_OK;
    for (size_t i = 0; i < BT_STAGE_COUNT && !err; i++) {
        char *folder = bt_run_stage_path(run, (enum bt_stage_id)i, "checkpoints");
        err = folder ? bt_checkpoint_any(folder, &run->has_checkpoint[i], diag) : bt_fail_nomem(diag);
        bt_free(folder);
    }
    return err;
}

/* Does the config of the newest start allow to go on with this one? */
static enum bt_err compare_config(const struct bt_run_folder *run, const struct bt_train_config *config,
                                  struct bt_diag *diag)
{
    char *old_text = NULL, *key = NULL, *old_value = NULL, *new_value = NULL;
    if (!bt_file_exists(run->config))
        return BT_OK;
    enum bt_err err = bt_file_read(run->config, &old_text, NULL, diag);
    if (!err)
        err = bt_train_config_difference(config, old_text, run->config, &key, &old_value, &new_value, diag);
    if (!err && key)
        err = bt_fail(
            diag, BT_EUSAGE,
            "%s: this run was started with %s: %s, and the config now says %s; set it back, or give the changed "
            "run a new name",
            run->config, key, old_value, new_value);
    bt_free(new_value);
    bt_free(old_value);
    bt_free(key);
    bt_free(old_text);
    return err;
}

enum bt_err bt_run_folder_open(const struct bt_train_config *config, struct bt_run_folder **ret_run,
                               struct bt_diag *diag)
{
    enum bt_err err;
    struct bt_run_folder *run = bt_zalloc(1, sizeof *run);
    if (!run)
        return bt_fail_nomem(diag);
    if (!make_paths(run, config)) {
        err = bt_fail_nomem(diag);
        goto fail;
    }
    if ((err = make_folder(run->path, diag)) || (err = bt_lock_take(run->lock_path, &run->lock, diag)) ||
        (err = compare_config(run, config, diag)) || (err = find_checkpoints(run, diag)))
        goto fail;
    *ret_run = run;
    return BT_OK;
fail:
    bt_run_folder_close(run);
    return err;
}

enum bt_err bt_run_folder_begin(struct bt_run_folder *run, const struct bt_train_config *config, struct bt_diag *diag)
{
    char *text = bt_train_config_print(config);
    if (!text)
        return bt_fail_nomem(diag);
    const enum bt_err err = bt_file_replace(run->config, text, strlen(text), diag);
    bt_free(text);
    return err;
}

/* The object of that name inside `parent`, made where there is none; NULL when memory is out. */
static json_t *child_object(json_t *parent, const char *name)
{
    json_t *child = json_object_get(parent, name);
    if (json_is_object(child))
        return child;
    return json_object_set_new(parent, name, json_object()) ? NULL : json_object_get(parent, name);
}

static enum bt_err read_summary(const char *path, json_t **ret_summary, struct bt_diag *diag)
{
    if (!bt_file_exists(path)) {
        *ret_summary = json_object();
        return *ret_summary ? BT_OK : bt_fail_nomem(diag);
    }
    const enum bt_err err = bt_json_read(path, ret_summary, diag);
    if (!err && !json_is_object(*ret_summary))
        return bt_fail(diag, BT_EINPUT, "%s: not a JSON object, as a summary is", path);
    return err;
}

enum bt_err bt_run_summary(struct bt_run_folder *run, enum bt_stage_id stage, json_t *part, struct bt_diag *diag)
{
    json_t *summary = NULL;
    enum bt_err err = part ? read_summary(run->summary, &summary, diag) : bt_fail_nomem(diag);
    if (err)
        goto done;
    if (json_object_set_new(summary, "name", json_string(run->name)) ||
        json_object_set_new(summary, "version", json_string(BT_VERSION)) ||
        json_object_set(child_object(summary, "stages"), bt_stage_name(stage), part))
        err = bt_fail_nomem(diag);
    else
        err = bt_json_replace(run->summary, summary, diag);
done:
    json_decref(summary);
    json_decref(part);
    return err;
}
