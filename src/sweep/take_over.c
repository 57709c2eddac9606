#include "sweep/take_over.h"

#include <string.h>

#include "base/mem.h"
#include "io/file.h"

static enum bt_err link_tree(const char *from, const char *to, struct bt_diag *diag);

static enum bt_err link_entry(const char *from, const char *to, const char *name, struct bt_diag *diag)
{
    char *old = bt_path_join(from, name), *new = bt_path_join(to, name);
    enum bt_err err;
    if (!old || !new)
        err = bt_fail_nomem(diag);
    else
        err = bt_dir_exists(old) ? link_tree(old, new, diag) : bt_file_link(old, new, diag);
    bt_free(old);
    bt_free(new);
    return err;
}

static enum bt_err link_tree(const char *from, const char *to, struct bt_diag *diag)
{
    char **names = NULL;
    size_t count = 0;
    enum bt_err err = bt_dir_make(to, diag);
    if (!err)
        err = bt_dir_list(from, &names, &count, diag);
    for (size_t i = 0; i < count && !err; i++)
        err = link_entry(from, to, names[i], diag);
    bt_names_free(names, count);
    return err ? err : bt_dir_sync(to, diag);
}

/* What a later stage or a reader of the run asks for; checkpoints are for resuming, and this stage is done. */
static enum bt_err link_stage(const char *from, const char *to, const char *stage, struct bt_diag *diag)
{
    char *old = bt_path_join(from, stage), *new = bt_path_join(to, stage);
    char *report = old ? bt_path_join(old, "conversion.json") : NULL;
    enum bt_err err = old && new &&report ? bt_dir_make(new, diag) : bt_fail_nomem(diag);
    if (!err)
        err = link_entry(old, new, "model", diag);
    if (!err && bt_file_exists(report))
        err = link_entry(old, new, "conversion.json", diag);
    if (!err)
        err = bt_dir_sync(new, diag);
    bt_free(report);
    bt_free(old);
    bt_free(new);
    return err;
}

static enum bt_err copy_file(const char *from, const char *to, const char *name, struct bt_diag *diag)
{
    char *old = bt_path_join(from, name), *new = bt_path_join(to, name);
    const enum bt_err err = old && new ? bt_file_copy(old, new, diag) : bt_fail_nomem(diag);
    bt_free(old);
    bt_free(new);
    return err;
}

static enum bt_err fill(const struct bt_sweep_run *from, const char *folder, struct bt_diag *diag)
{
    enum bt_err err = bt_dir_remove(folder, diag); /* what a kill left */
    if (!err)
        err = bt_dir_make(folder, diag);
    for (size_t i = 0; !err && i < from->config->stage_count; i++)
        err = link_stage(from->path, folder, bt_stage_name(from->config->stages[i]), diag);
    if (!err)
        err = copy_file(from->path, folder, "metrics.jsonl", diag);
    if (!err)
        err = copy_file(from->path, folder, "summary.json", diag);
    return err ? err : bt_dir_sync(folder, diag);
}

enum bt_err bt_sweep_take_over(const struct bt_sweep_run *run, const struct bt_sweep_run *from, struct bt_diag *diag)
{
    char *parent = bt_path_parent(run->path);
    char *beside = parent ? bt_sprintf("%s/.tmp-%s", parent, run->name) : NULL;
    enum bt_err err = beside ? fill(from, beside, diag) : bt_fail_nomem(diag);
    if (!err)
        err = bt_file_rename(beside, run->path, diag);
    bt_free(beside);
    bt_free(parent);
    return err;
}
