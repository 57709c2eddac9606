/* The members of a sweep, their names and their float twins: bt_sweep_add_members of layout.h. */
#include <ctype.h>
#include <string.h>

#include "base/mem.h"
#include "config/key_table.h"
#include "config/text_buf.h"
#include "io/file.h"
#include "sweep/layout.h"

#define STEM_MAX 160 /* bytes: file systems allow 255 for a name, with the hash and all endings */

/* ---- labels: "lr" for "stage2.optimizer.lr" where no other key ends so ---- */

static bool ends_with(const char *key, const char *end)
{
    const size_t length = strlen(key), part = strlen(end);
    return part <= length && !strcmp(key + length - part, end) && (part == length || key[length - part - 1] == '.');
}

static bool is_clear(const struct bt_combinations *c, size_t key, const char *end)
{
    for (size_t k = 0; k < c->key_count; k++)
        if (k != key && ends_with(c->keys[k], end))
            return false;
    return true;
}

static const char *label_of(const struct bt_combinations *c, size_t key)
{
    const char *whole = c->keys[key], *end = whole + strlen(whole);
    while (end > whole) {
        do
            end--;
        while (end > whole && end[-1] != '.');
        if (is_clear(c, key, end))
            break;
    }
    return end;
}

static enum bt_err make_labels(struct bt_sweep_layout *layout)
{
    struct bt_sweep *sweep = layout->sweep;
    const struct bt_combinations *c = &sweep->combinations;
    if (!(sweep->labels = bt_zalloc(c->key_count, sizeof *sweep->labels)))
        return bt_fail_nomem(layout->diag);
    for (size_t k = 0; k < c->key_count; k++)
        if (!(sweep->labels[k] = bt_strdup(label_of(c, k))))
            return bt_fail_nomem(layout->diag);
    return BT_OK;
}

/* ---- values and names ---- */

/* Of a float twin, what only quantisation asks for says nothing. */
static bool is_idle(const struct bt_sweep_run *run, const char *key)
{
    return run->is_twin && strstr(key, ".lambda_warmup");
}

/* As the config has it; a key below what the table names, such as a part of a weight, as the sweep has it. */
static char *value_text(const struct bt_sweep_layout *layout, const struct bt_sweep_run *run, size_t k)
{
    const struct bt_combinations *c = &layout->sweep->combinations;
    const char *raw = c->values[run->row * c->key_count + k];
    struct bt_text_buf out = {0};
    if (bt_key_print_at(&out, bt_config_keys, run->config->written, c->keys[k]))
        return bt_text_take(&out);
    bt_text_finish(&out);
    return bt_strdup(raw ? raw : "null");
}

static enum bt_err make_values(const struct bt_sweep_layout *layout, struct bt_sweep_run *run)
{
    const struct bt_combinations *c = &layout->sweep->combinations;
    if (!(run->values = bt_zalloc(c->key_count, sizeof *run->values)))
        return bt_fail_nomem(layout->diag);
    for (size_t k = 0; k < c->key_count; k++)
        if (!is_idle(run, c->keys[k]) && !(run->values[k] = value_text(layout, run, k)))
            return bt_fail_nomem(layout->diag);
    return BT_OK;
}

/* What a shell and a file system take as it is. */
static void add_plain(struct bt_text_buf *out, const char *text)
{
    for (; *text; text++)
        if (!strchr("\"{}[] ", *text))
            bt_text_add(out, "%c", isascii(*text) && (isalnum(*text) || strchr("._+-=,:", *text)) ? *text : '_');
}

static char *stem_of(const struct bt_sweep *sweep, const struct bt_sweep_run *run)
{
    struct bt_text_buf out = {0};
    for (size_t k = 0; k < sweep->combinations.key_count; k++) {
        if (!run->values[k])
            continue;
        bt_text_add(&out, "%s%s=", out.length ? "," : "", sweep->labels[k]);
        add_plain(&out, run->values[k]);
    }
    if (run->is_twin)
        bt_text_add(&out, "%stwin", out.length ? "," : "");
    if (!out.length)
        bt_text_add(&out, "base");
    char *stem = bt_text_take(&out);
    if (stem && strlen(stem) > STEM_MAX)
        stem[STEM_MAX] = '\0';
    return stem;
}

/* ---- members ---- */

static size_t find_run(const struct bt_sweep *sweep, uint64_t hash)
{
    for (size_t i = 0; i < sweep->run_count; i++)
        if (sweep->runs[i].hash == hash)
            return i;
    return BT_SWEEP_NONE;
}

/* The number of the run that does this, added if there is none yet. */
static enum bt_err add_unless_there(struct bt_sweep_layout *layout, const struct bt_sweep_sets *sets, size_t row,
                                    bool is_twin, size_t *ret_index, bool *ret_new)
{
    struct bt_sweep *sweep = layout->sweep;
    struct bt_train_config *config = NULL;
    uint64_t hash;
    enum bt_err err = bt_sweep_config(layout, layout->base, sets, &config, &hash);
    if (err)
        return err;
    *ret_index = find_run(sweep, hash);
    *ret_new = *ret_index == BT_SWEEP_NONE;
    if (!*ret_new) {
        bt_train_config_destroy(config);
        return BT_OK;
    }
    *ret_index = sweep->run_count;
    if ((err = bt_sweep_add_run(layout, config, hash, row)))
        return err;
    struct bt_sweep_run *run = &sweep->runs[*ret_index];
    run->is_twin = is_twin;
    if ((err = make_values(layout, run)))
        return err;
    char *stem = stem_of(sweep, run);
    err = stem ? bt_sweep_name_run(layout, run, stem) : bt_fail_nomem(layout->diag);
    bt_free(stem);
    return err;
}

static enum bt_err add_member(struct bt_sweep_layout *layout, size_t row)
{
    struct bt_sweep_sets sets = {0};
    size_t index;
    bool is_new = true;
    bt_sweep_row_sets(layout, row, &sets);
    const enum bt_err err = add_unless_there(layout, &sets, row, false, &index, &is_new);
    bt_sweep_sets_finish(&sets);
    layout->sweep->repeated += !is_new;
    return err;
}

/* Adds what switches quantisation off in every stage that has it; false when none does. */
static bool add_twin_sets(const struct bt_train_config *config, struct bt_sweep_sets *sets)
{
    bool quantised = false;
    for (size_t i = 0; i < config->stage_count; i++) {
        const struct bt_cfg_train_stage *stage = bt_train_config_stage(config, config->stages[i]);
        const char *name = bt_stage_name(config->stages[i]);
        if (!stage || (stage->weights == BT_WEIGHTS_NONE && stage->activations == BT_ACTIVATIONS_NONE))
            continue;
        quantised = true;
        bt_sweep_sets_take(sets, bt_sprintf("%s.weights=none", name));
        bt_sweep_sets_take(sets, bt_sprintf("%s.activations=none", name));
        /* Nothing reads it there: members that differ in it alone have one twin. */
        bt_sweep_sets_take(sets, bt_sprintf("%s.lambda_warmup={enabled: false}", name));
    }
    return quantised;
}

static enum bt_err add_twin(struct bt_sweep_layout *layout, size_t member)
{
    struct bt_sweep_sets sets = {0};
    const size_t row = layout->sweep->runs[member].row;
    enum bt_err err = BT_OK;
    size_t twin;
    bool is_new;
    bt_sweep_row_sets(layout, row, &sets);
    if (add_twin_sets(layout->sweep->runs[member].config, &sets))
        err = add_unless_there(layout, &sets, row, true, &twin, &is_new);
    else
        twin = BT_SWEEP_NONE;
    if (!err)
        layout->sweep->runs[member].twin = twin;
    bt_sweep_sets_finish(&sets);
    return err;
}

enum bt_err bt_sweep_add_members(struct bt_sweep_layout *layout)
{
    struct bt_sweep *sweep = layout->sweep;
    enum bt_err err = make_labels(layout);
    for (size_t row = 0; !err && row < sweep->combinations.count; row++)
        err = add_member(layout, row);
    const size_t members = sweep->run_count;
    for (size_t i = 0; !err && sweep->file->twins && i < members; i++)
        err = add_twin(layout, i);
    sweep->member_count = sweep->run_count;
    return err;
}
