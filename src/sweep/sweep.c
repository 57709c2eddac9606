#include "sweep/sweep.h"

#include <inttypes.h>
#include <string.h>
#include <xxhash.h>

#include "base/mem.h"
#include "io/file.h"
#include "sweep/layout.h"

void bt_sweep_sets_take(struct bt_sweep_sets *sets, char *assignment)
{
    if (assignment && !sets->failed && sets->count == sets->capacity) {
        const size_t capacity = sets->capacity ? 2 * sets->capacity : 16;
        char **larger = bt_realloc(sets->at, capacity, sizeof *larger);
        sets->failed = !larger;
        sets->at = larger ? larger : sets->at;
        sets->capacity = larger ? capacity : sets->capacity;
    }
    sets->failed = sets->failed || !assignment;
    if (sets->failed)
        bt_free(assignment);
    else
        sets->at[sets->count++] = assignment;
}

void bt_sweep_sets_finish(struct bt_sweep_sets *sets)
{
    bt_names_free(sets->at, sets->count);
    *sets = (struct bt_sweep_sets){0};
}

void bt_sweep_row_sets(const struct bt_sweep_layout *layout, size_t row, struct bt_sweep_sets *sets)
{
    const struct bt_combinations *c = &layout->sweep->combinations;
    struct bt_sweep_file *file = layout->sweep->file;
    for (const struct bt_yaml_node *own = file->set ? file->set->first : NULL; own; own = own->next) {
        const char *value = bt_sweep_node_text(file, own);
        bt_sweep_sets_take(sets, value ? bt_sprintf("%s=%s", own->key, value) : NULL);
    }
    for (size_t i = 0; i < layout->set_count; i++)
        bt_sweep_sets_take(sets, bt_strdup(layout->sets[i]));
    for (size_t k = 0; k < c->key_count; k++)
        if (c->values[row * c->key_count + k])
            bt_sweep_sets_take(sets, bt_sprintf("%s=%s", c->keys[k], c->values[row * c->key_count + k]));
}

bool bt_sweep_hash(const struct bt_train_config *config, uint64_t *ret_hash)
{
    char *text = bt_train_config_print(config);
    if (text)
        *ret_hash = XXH3_64bits(text, strlen(text));
    bt_free(text);
    return text;
}

enum bt_err bt_sweep_config(const struct bt_sweep_layout *layout, const char *text, const struct bt_sweep_sets *sets,
                            struct bt_train_config **ret_config, uint64_t *ret_hash)
{
    static const char *const own[] = {"name=run", "output_dir=runs", "compute.threads=0"};
    enum { OWN = sizeof own / sizeof *own };
    const struct bt_sweep_file *file = layout->sweep->file;
    struct bt_diag why = {""};
    const char **all = bt_zalloc(sets->count + OWN, sizeof *all);
    if (!all || sets->failed) {
        bt_free(all);
        return bt_fail_nomem(layout->diag);
    }
    for (size_t i = 0; i < sets->count; i++)
        all[i] = sets->at[i];
    memcpy(all + sets->count, own, sizeof own);
    const enum bt_err err =
        bt_train_config_parse(text, strlen(text), file->config, all, sets->count + OWN, ret_config, &why);
    bt_free(all);
    if (err)
        return bt_fail(layout->diag, err, "%s: %s", file->what, why.text);
    if (bt_sweep_hash(*ret_config, ret_hash))
        return BT_OK;
    bt_train_config_destroy(*ret_config);
    *ret_config = NULL;
    return bt_fail_nomem(layout->diag);
}

enum bt_err bt_sweep_add_run(struct bt_sweep_layout *layout, struct bt_train_config *config, uint64_t hash, size_t row)
{
    struct bt_sweep *sweep = layout->sweep;
    if (sweep->run_count == layout->capacity) {
        const size_t capacity = layout->capacity ? 2 * layout->capacity : 16;
        struct bt_sweep_run *larger = bt_realloc(sweep->runs, capacity, sizeof *larger);
        if (!larger) {
            bt_train_config_destroy(config);
            return bt_fail_nomem(layout->diag);
        }
        sweep->runs = larger;
        layout->capacity = capacity;
    }
    sweep->runs[sweep->run_count++] = (struct bt_sweep_run){
        .config = config, .hash = hash, .row = row, .parent = BT_SWEEP_NONE, .twin = BT_SWEEP_NONE};
    return BT_OK;
}

/* False when memory is out. */
static bool replace(char **text, const char *value)
{
    char *copy = bt_strdup(value);
    if (!copy)
        return false;
    bt_free(*text);
    *text = copy;
    return true;
}

static bool place(struct bt_train_config *config, const char *name, const char *folder)
{
    return replace(&config->name, name) && replace(&config->output_dir, folder);
}

enum bt_err bt_sweep_name_run(const struct bt_sweep_layout *layout, struct bt_sweep_run *run, const char *stem)
{
    const char *folder = layout->sweep->folder;
    run->name = bt_sprintf("%s-%08" PRIx32, stem, (uint32_t)(run->hash >> 32));
    run->path = run->name ? bt_path_join(folder, run->name) : NULL;
    bool models = run->path;
    for (size_t i = 0; models && i < run->config->stage_count; i++) {
        run->models[i] = bt_sprintf("%s/%s/model", run->path, bt_stage_name(run->config->stages[i]));
        models = run->models[i];
    }
    if (!models || !place(run->config, run->name, folder) || !place(run->config->written, run->name, folder))
        return bt_fail_nomem(layout->diag);
    return BT_OK;
}

char *bt_sweep_member_path(const struct bt_sweep *sweep, const struct bt_sweep_run *run, const char *ending)
{
    return bt_sprintf("%s/members/%s%s", sweep->folder, run->name, ending);
}

void bt_sweep_destroy(struct bt_sweep *sweep)
{
    if (!sweep)
        return;
    for (size_t i = 0; i < sweep->run_count; i++) {
        struct bt_sweep_run *run = &sweep->runs[i];
        if (run->values)
            bt_names_free(run->values, sweep->combinations.key_count);
        bt_train_config_destroy(run->config);
        for (size_t stage = 0; stage < BT_STAGE_COUNT; stage++)
            bt_free(run->models[stage]);
        bt_free(run->path);
        bt_free(run->name);
    }
    if (sweep->labels)
        bt_names_free(sweep->labels, sweep->combinations.key_count);
    bt_free(sweep->runs);
    bt_free(sweep->folder);
    bt_sweep_file_destroy(sweep->file);
    bt_free(sweep);
}

static enum bt_err lay_out(struct bt_sweep_layout *layout)
{
    struct bt_sweep *sweep = layout->sweep;
    enum bt_err err = bt_combine(sweep->file, &sweep->combinations, layout->diag);
    if (err)
        return err;
    if (!(sweep->folder = bt_path_join(sweep->file->output_dir, sweep->file->name)))
        return bt_fail_nomem(layout->diag);
    if ((err = bt_file_read(sweep->file->config, &layout->base, NULL, layout->diag)))
        return err == BT_EINPUT ? BT_EUSAGE : err; /* as bitnet-train has it */
    err = bt_sweep_add_members(layout);
    return err ? err : bt_sweep_share(layout);
}

enum bt_err bt_sweep_lay_out(struct bt_sweep_file *file, const char *const *sets, size_t set_count,
                             struct bt_sweep **ret_sweep, struct bt_diag *diag)
{
    struct bt_sweep_layout layout = {.sets = sets, .set_count = set_count, .diag = diag};
    layout.sweep = bt_zalloc(1, sizeof *layout.sweep);
    if (!layout.sweep) {
        bt_sweep_file_destroy(file);
        return bt_fail_nomem(diag);
    }
    layout.sweep->file = file;
    const enum bt_err err = lay_out(&layout);
    bt_free(layout.base);
    if (err)
        bt_sweep_destroy(layout.sweep);
    else
        *ret_sweep = layout.sweep;
    return err;
}
