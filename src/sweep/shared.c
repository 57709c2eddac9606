/* What members begin with alike is run once: bt_sweep_share of layout.h.
 *
 * The first stages of a member that end before its last one are a run of their own: the same config without what later
 * stages are told. Where several members have such a run in common, it is added to the sweep, and they take over its
 * stages; where some of them have more in common than others, shared runs take over from shared runs. */
#include <string.h>

#include "base/mem.h"
#include "config/text_buf.h"
#include "sweep/layout.h"

struct beginnings {
    uint64_t (*hash)[BT_STAGE_COUNT]; /* (member_count) of the first 1, 2, ... stages of each member */
    uint64_t *shared;                 /* (BT_STAGE_COUNT * member_count) which of them a shared run is of, in order */
};

/* Stage 1 on a model folder draws nothing at random: calibration takes rows in the order of the files. */
static bool needs_seed(const struct bt_train_config *config, size_t stages)
{
    return config->model_config || stages > 1 || config->stages[0] != BT_STAGE1;
}

static bool is_among(const struct bt_train_config *config, size_t stages, enum bt_stage_id stage)
{
    for (size_t i = 0; i < stages; i++)
        if (config->stages[i] == stage)
            return true;
    return false;
}

static void add_beginning_sets(const struct bt_train_config *config, size_t stages, struct bt_sweep_sets *sets)
{
    struct bt_text_buf list = {0};
    for (size_t i = 0; i < stages; i++)
        bt_text_add(&list, "%s%s", i ? ", " : "stages=[", bt_stage_name(config->stages[i]));
    bt_text_add(&list, "]");
    bt_sweep_sets_take(sets, bt_text_take(&list));
    for (int id = 0; id < BT_STAGE_COUNT; id++)
        if (!is_among(config, stages, (enum bt_stage_id)id))
            bt_sweep_sets_take(sets, bt_sprintf("%s=null", bt_stage_name((enum bt_stage_id)id)));
    if (!needs_seed(config, stages))
        bt_sweep_sets_take(sets, bt_strdup("seed=0"));
}

/* The config of a member's first stages. */
static enum bt_err beginning(const struct bt_sweep_layout *layout, size_t member, size_t stages,
                             struct bt_train_config **ret_config, uint64_t *ret_hash)
{
    const struct bt_sweep_run *run = &layout->sweep->runs[member];
    struct bt_sweep_sets sets = {0};
    char *text = bt_train_config_print(run->config);
    add_beginning_sets(run->config, stages, &sets);
    const enum bt_err err =
        text ? bt_sweep_config(layout, text, &sets, ret_config, ret_hash) : bt_fail_nomem(layout->diag);
    bt_sweep_sets_finish(&sets);
    bt_free(text);
    return err;
}

/* What the stage is told is as if it had not been said. */
static void leave_out(struct bt_train_config *config, enum bt_stage_id stage)
{
    struct bt_cfg_train_stage *const sections[BT_STAGE_COUNT] = {[BT_STAGE0] = &config->stage0,
                                                                 [BT_STAGE1_9] = &config->stage1_9,
                                                                 [BT_STAGE2] = &config->stage2,
                                                                 [BT_STAGE3] = &config->stage3};
    if (sections[stage])
        sections[stage]->present = false;
    else
        config->stage1 = (struct bt_cfg_stage1){0};
}

/* Tells the first stages of one member from those of another, as their configs would: cheaper than making those, and
 * there may be thousands of members. */
static bool hash_beginning(const struct bt_train_config *config, size_t stages, uint64_t *ret_hash)
{
    static char nowhere[] = "";
    struct bt_train_config first = *config->written; /* what it points to stays the member's */
    first.written = NULL;
    first.name = first.output_dir = nowhere;
    first.stage_count = stages;
    for (int id = 0; id < BT_STAGE_COUNT; id++)
        if (!is_among(config, stages, (enum bt_stage_id)id))
            leave_out(&first, (enum bt_stage_id)id);
    if (!needs_seed(config, stages))
        first.seed = 0;
    return bt_sweep_hash(&first, ret_hash);
}

static enum bt_err hash_all(const struct bt_sweep_layout *layout, struct beginnings *b)
{
    for (size_t m = 0; m < layout->sweep->member_count; m++) {
        const struct bt_train_config *config = layout->sweep->runs[m].config;
        for (size_t stages = 1; stages < config->stage_count; stages++)
            if (!hash_beginning(config, stages, &b->hash[m][stages]))
                return bt_fail_nomem(layout->diag);
    }
    return BT_OK;
}

static size_t count_alike(const struct bt_sweep *sweep, const struct beginnings *b, uint64_t hash, size_t stages)
{
    size_t count = 0;
    for (size_t m = 0; m < sweep->member_count; m++)
        count += stages < sweep->runs[m].config->stage_count && b->hash[m][stages] == hash;
    return count;
}

static enum bt_err name_shared(const struct bt_sweep_layout *layout, struct bt_sweep_run *run)
{
    struct bt_text_buf stem = {0};
    bt_text_add(&stem, "shared");
    for (size_t i = 0; i < run->config->stage_count; i++)
        bt_text_add(&stem, "-%s", bt_stage_name(run->config->stages[i]));
    char *text = bt_text_take(&stem);
    const enum bt_err err = text ? bt_sweep_name_run(layout, run, text) : bt_fail_nomem(layout->diag);
    bt_free(text);
    return err;
}

/* The number of the shared run of a member's first stages. */
static enum bt_err shared_run(struct bt_sweep_layout *layout, const struct beginnings *b, size_t member, size_t stages,
                              size_t *ret_index)
{
    struct bt_sweep *sweep = layout->sweep;
    struct bt_train_config *config;
    uint64_t hash;
    for (size_t i = sweep->member_count; i < sweep->run_count; i++)
        if (b->shared[i - sweep->member_count] == b->hash[member][stages]) {
            *ret_index = i;
            return BT_OK;
        }
    enum bt_err err = beginning(layout, member, stages, &config, &hash);
    if (err || (err = bt_sweep_add_run(layout, config, hash, sweep->runs[member].row)))
        return err;
    *ret_index = sweep->run_count - 1;
    b->shared[*ret_index - sweep->member_count] = b->hash[member][stages];
    sweep->runs[*ret_index].is_shared = true;
    return name_shared(layout, &sweep->runs[*ret_index]);
}

/* From the longest beginning that another member has too, to the shorter ones that more of them have. */
static enum bt_err share_member(struct bt_sweep_layout *layout, const struct beginnings *b, size_t member)
{
    struct bt_sweep *sweep = layout->sweep;
    size_t child = member, alike = 1;
    enum bt_err err = BT_OK;
    for (size_t stages = sweep->runs[member].config->stage_count - 1; !err && stages > 0; stages--) {
        const size_t count = count_alike(sweep, b, b->hash[member][stages], stages);
        size_t shared;
        if (count <= alike)
            continue;
        if (!(err = shared_run(layout, b, member, stages, &shared)))
            sweep->runs[child].parent = shared;
        child = shared;
        alike = count;
    }
    return err;
}

enum bt_err bt_sweep_share(struct bt_sweep_layout *layout)
{
    const size_t members = layout->sweep->member_count;
    struct beginnings b = {bt_zalloc(members, sizeof *b.hash), bt_zalloc(members, BT_STAGE_COUNT * sizeof *b.shared)};
    enum bt_err err = b.hash && b.shared ? hash_all(layout, &b) : bt_fail_nomem(layout->diag);
    for (size_t m = 0; !err && m < members; m++)
        err = share_member(layout, &b, m);
    bt_free(b.hash);
    bt_free(b.shared);
    return err;
}
