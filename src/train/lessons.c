#include "train/lessons.h"

#include <math.h>
#include <string.h>

#include <xxhash.h>

#include "base/mem.h"
#include "io/file.h"
#include "train/schedule.h"
#include "train/teacher_cache.h"

struct bt_lessons {
    const struct bt_teaching *teaching;
    const struct bt_compute *compute;
    size_t rows, seq;
    struct bt_model *model; /* the teacher; NULL when no term needs one */
    struct bt_lesson lesson;
    int64_t step;
    double weights[BT_TERM_COUNT], counts[BT_TERM_COUNT]; /* of the update */
    /* With a cache the teacher runs row by row, so that what it says of a row depends on that row alone. */
    struct bt_teacher_cache *cache;
    struct bt_arena arena;
    struct bt_top_block block; /* of a micro-batch */
    struct bt_top_rows top;    /* the same, to be read */
};

static bool is_cached(const struct bt_teaching *t)
{
    return t->teacher && t->config->teacher.cache;
}

static struct bt_model_options options_of(const struct bt_teaching *t, size_t rows, size_t seq)
{
    return bt_teaching_options(t, is_cached(t) ? 1 : rows, seq);
}

static size_t ids_of(const struct bt_teaching *t)
{
    const size_t vocab = t->teacher->shape.vocab, wanted = (size_t)t->config->teacher.cache_top_k;
    return wanted < vocab ? wanted : vocab;
}

static void carve(struct bt_lessons *l, struct bt_arena *arena, const struct bt_teaching *t, size_t n)
{
    const size_t count = ids_of(t);
    l->block = (struct bt_top_block){.count = count, .ids = bt_arena_take(arena, n, count * sizeof(int32_t))};
    l->block.levels = bt_arena_take(arena, n, count * sizeof(uint16_t));
    l->block.rest = bt_arena_take(arena, n, sizeof(uint16_t));
    l->top = (struct bt_top_rows){count, l->block.ids, l->block.levels, l->block.rest};
}

static size_t block_memory(const struct bt_teaching *t, size_t n)
{
    struct bt_lessons l;
    struct bt_arena measure = {0};
    carve(&l, &measure, t, n);
    return measure.overflow ? 0 : measure.used;
}

size_t bt_lessons_memory(const struct bt_teaching *t, size_t rows, size_t seq)
{
    const struct bt_model_options options = options_of(t, rows, seq);
    size_t bytes = sizeof(struct bt_lessons), block;
    if (!t->teacher)
        return bytes;
    const size_t model = bt_model_memory(&t->teacher->params, &options);
    if (!model || __builtin_add_overflow(bytes, model, &bytes))
        return 0;
    if (!is_cached(t))
        return bytes;
    block = block_memory(t, rows * seq);
    return block && !__builtin_add_overflow(bytes, block, &bytes) ? bytes : 0;
}

static enum bt_err reserve_block(struct bt_lessons *l, struct bt_diag *diag)
{
    const size_t n = l->rows * l->seq, size = block_memory(l->teaching, n);
    if (!size || !bt_arena_init(&l->arena, size))
        return bt_fail(diag, BT_ENOMEM, "out of memory: a micro-batch of the teacher's cache needs %zu bytes", size);
    carve(l, &l->arena, l->teaching, n);
    l->lesson.top = &l->top;
    return BT_OK;
}

enum bt_err bt_lessons_create(const struct bt_teaching *t, size_t rows, size_t seq, const struct bt_compute *compute,
                              struct bt_lessons **ret_lessons, struct bt_diag *diag)
{
    const struct bt_model_options options = options_of(t, rows, seq);
    enum bt_err err = BT_OK;
    struct bt_lessons *l = bt_zalloc(1, sizeof *l);
    if (!l)
        return bt_fail_nomem(diag);
    *l = (struct bt_lessons){.teaching = t, .compute = compute, .rows = rows, .seq = seq};
    if (t->teacher)
        err = bt_model_create(&t->teacher->params, &options, t->teacher->values, NULL, compute, &l->model, diag);
    if (!err && is_cached(t))
        err = reserve_block(l, diag);
    else
        l->lesson.teacher = l->model;
    if (err)
        bt_lessons_destroy(l);
    else
        *ret_lessons = l;
    return err;
}

void bt_lessons_destroy(struct bt_lessons *l)
{
    if (!l)
        return;
    bt_teacher_cache_close(l->cache);
    bt_model_destroy(l->model);
    bt_arena_finish(&l->arena);
    bt_free(l);
}

/* XXH3-64 of the teacher's tokenizer; 0 when its folder has none. */
static enum bt_err tokenizer_hash(const struct bt_teaching *t, uint64_t *ret_hash, struct bt_diag *diag)
{
    uint64_t ignored;
    char *path = bt_path_join(t->teacher->path, "tokenizer.json");
    enum bt_err err = path ? BT_OK : bt_fail_nomem(diag);
    if (!err && bt_file_exists(path))
        err = bt_file_hash(path, ret_hash, &ignored, diag);
    bt_free(path);
    return err;
}

/* Everything that what is said of a row depends on besides the row. */
static enum bt_err cache_key(const struct bt_lessons *l, uint64_t *ret_key, struct bt_diag *diag)
{
    struct {
        uint64_t teacher, tokenizer, seq, count;
        double temperature;
        char kernels[24], matmul[24];
    } who;
    uint64_t ignored;
    memset(&who, 0, sizeof who);
    enum bt_err err = bt_teaching_hash(l->teaching, &who.teacher, &ignored, diag);
    if (!err)
        err = tokenizer_hash(l->teaching, &who.tokenizer, diag);
    who.seq = l->seq;
    who.count = l->block.count;
    who.temperature = (double)l->teaching->distill.temperature;
    strncpy(who.kernels, bt_cpu_level_name(l->compute->kernels.level), sizeof who.kernels - 1);
    strncpy(who.matmul, l->compute->matmul->name, sizeof who.matmul - 1);
    *ret_key = XXH3_64bits(&who, sizeof who);
    return err;
}

enum bt_err bt_lessons_begin(struct bt_lessons *l, struct bt_diag *diag)
{
    uint64_t key;
    if (!is_cached(l->teaching))
        return BT_OK;
    const enum bt_err err = cache_key(l, &key, diag);
    if (err)
        return err;
    return bt_teacher_cache_open(l->teaching->config->teacher.cache, key, l->seq, l->teaching->teacher->shape.vocab,
                                 l->block.count, &l->cache, diag);
}

void bt_lessons_update(struct bt_lessons *l, const struct bt_train_state *state, int64_t s, int64_t n, uint64_t labels,
                       uint64_t tokens)
{
    l->step = s;
    for (int term = 0; term < BT_TERM_COUNT; term++) {
        const struct bt_cfg_term_weight *weight = bt_term_weight(&l->teaching->config->losses, (enum bt_term)term);
        const bool of_labels = term == BT_TERM_CROSS_ENTROPY || term == BT_TERM_LOGITS;
        l->counts[term] = (double)(of_labels ? labels : tokens);
        l->weights[term] = l->teaching->given[term] ? bt_term_weight_at(weight, state->balance[term], s, n) : 0.0;
        l->lesson.scale[term] = l->counts[term] > 0.0 ? l->weights[term] / l->counts[term] : 0.0;
    }
}

/* Row `row` of a batch as a batch of its own. */
static struct bt_batch row_of(const struct bt_batch *batch, size_t row)
{
    struct bt_batch one = *batch;
    one.rows = 1;
    one.ids += row * batch->seq;
    one.labels += row * batch->seq;
    one.position += row * batch->seq;
    one.first += row * batch->seq;
    if (one.used)
        one.used += row;
    return one;
}

struct filling {
    const struct bt_lessons *lessons;
    size_t at; /* first token of the row in the block */
    bool finite;
};

static void fill_slice(void *context, size_t first, size_t rows, const float *logits)
{
    struct filling *f = context;
    const struct bt_teaching *t = f->lessons->teaching;
    f->finite &= bt_top_rows_fill(&f->lessons->block, f->at + first, logits, rows, t->teacher->shape.vocab,
                                  t->distill.temperature);
}

static enum bt_err teach_from_cache(struct bt_lessons *l, const struct bt_batch *batch, struct bt_diag *diag)
{
    enum bt_err err = BT_OK;
    for (size_t row = 0; row < batch->rows && !err; row++) {
        if (bt_teacher_cache_read(l->cache, batch, row, &l->block))
            continue;
        const struct bt_batch one = row_of(batch, row);
        struct filling filling = {l, row * batch->seq, true};
        bt_model_each_logits(l->model, &one, 0.0f, fill_slice, &filling);
        if (!filling.finite)
            return bt_fail(diag, BT_EINPUT, "%s: the teacher gives logits that are not finite",
                           l->teaching->teacher->path);
        err = bt_teacher_cache_write(l->cache, batch, row, &l->block, diag);
    }
    return err;
}

enum bt_err bt_lessons_teach(struct bt_lessons *l, const struct bt_batch *batch, const struct bt_lesson **ret_lesson,
                             struct bt_diag *diag)
{
    *ret_lesson = &l->lesson;
    if (l->cache)
        return teach_from_cache(l, batch, diag);
    if (l->model)
        bt_model_forward(l->model, batch, 0.0f, l->teaching->blocks);
    return BT_OK;
}

/* The weight that makes a term `balance` times cross entropy, from the first update from `at` on that shows it. */
static void find_balance(const struct bt_lessons *l, enum bt_term term, double cross_entropy, double raw, double *found)
{
    const struct bt_cfg_term_weight *weight = bt_term_weight(&l->teaching->config->losses, term);
    if (weight->kind != BT_WEIGHT_BALANCE || l->step < weight->at || !isnan(*found))
        return;
    const double balance = weight->balance * cross_entropy / fabs(raw);
    if (isfinite(balance))
        *found = balance;
}

double bt_lessons_report(const struct bt_lessons *l, const double sums[BT_TERM_COUNT], struct bt_train_state *state,
                         struct bt_term_report report[BT_TERM_COUNT])
{
    const double cross_entropy = sums[BT_TERM_CROSS_ENTROPY] / l->counts[BT_TERM_CROSS_ENTROPY];
    double loss = 0.0, size = 0.0;
    for (int term = 0; term < BT_TERM_COUNT; term++) {
        struct bt_term_report *r = &report[term];
        *r = (struct bt_term_report){.given = l->teaching->given[term]};
        if (!r->given)
            continue;
        r->raw = sums[term] / l->counts[term];
        r->weighted = l->weights[term] != 0.0 ? l->weights[term] * r->raw : 0.0;
        loss += r->weighted;
        size += fabs(r->weighted);
        find_balance(l, (enum bt_term)term, cross_entropy, r->raw, &state->balance[term]);
    }
    for (int term = 0; term < BT_TERM_COUNT; term++)
        report[term].share = size != 0.0 ? report[term].weighted / size : (double)NAN;
    return loss;
}
