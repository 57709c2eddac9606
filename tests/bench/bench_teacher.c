/* What a teacher costs: updates of one model with random weights, as stage 2 makes them and beside a teacher of the
 * same shape, live and out of its cache, in turns and in one process. Each figure is a median over rounds of the ratio
 * to the update of stage 2 in the same round. Nothing is asserted, since machines are noisy. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arguments.h"
#include "base/mem.h"
#include "base/rng.h"
#include "io/file.h"
#include "nn/model.h"
#include "peak.h"
#include "train/lessons.h"
#include "train/optimizer.h"

enum { MAX_UPDATES = 64, BATCHES = 2, MAX_LAYERS = 64 };

struct request {
    struct bench_machine machine;
    const char *shape_name, *folder;
    uint64_t updates, rows, seq, layers, top_k;
    struct bt_shape shape;
    struct bt_compute compute;
};

static const struct mode {
    const char *name;
    bool teaches, cached;
    bool terms[BT_TERM_COUNT];
} modes[] = {
    {"stage 2", false, false, {true, false, false, false}},
    {"teacher, logits", true, false, {false, true, false, false}},
    {"teacher, logits and hidden", true, false, {false, true, true, false}},
    {"teacher, all four terms", true, false, {true, true, true, true}},
    {"cache, logits", true, true, {false, true, false, false}},
};

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

static const struct bench_column columns[] = {{"name", "update", 0},
                                              {"tokens_per_second", "tokens/s", 1},
                                              {"ratio", "cost of stage 2's", 3},
                                              {"ratio_least", "least", 3},
                                              {"ratio_most", "most", 3}};

/* One way to make an update. All ways train the same weights: no time depends on what these are. */
struct way {
    const struct mode *mode;
    struct bt_cfg_train_stage config;
    struct bt_teaching teaching;
    struct bt_model *model;
    struct bt_lessons *lessons;
    double seconds[MAX_UPDATES];
};

struct bench {
    const struct request *request;
    struct bt_shape shape;
    struct bt_params params;
    struct bt_arena arena;
    float *weights, *gradients, *m, *v;
    struct bt_batch batches[BATCHES];
    struct bt_cfg_optimizer optimizer_config;
    struct bt_optimizer optimizer;
    struct bt_loaded_model teacher;
    double layer_weights[MAX_LAYERS];
    struct way ways[COUNT(modes)];
};

/* ---- student, teacher, batches ---- */

static void carve(struct bench *b, struct bt_arena *arena)
{
    const size_t total = b->params.total;
    b->weights = bt_arena_take(arena, total, sizeof(float));
    b->gradients = bt_arena_take(arena, total, sizeof(float));
    b->m = bt_arena_take(arena, total, sizeof(float));
    b->v = bt_arena_take(arena, total, sizeof(float));
    b->teacher.weights = bt_arena_take(arena, b->teacher.params.total, sizeof(float));
    for (size_t i = 0; i < BATCHES; i++)
        bt_batch_carve(&b->batches[i], arena, b->request->rows, b->request->seq);
}

/* Rows differ, so that each has a file of its own in the cache. */
static void fill_batch(struct bt_batch *batch, uint64_t seed, size_t vocab)
{
    const size_t n = batch->rows * batch->seq;
    for (size_t i = 0; i < n; i++) {
        batch->ids[i] = (int32_t)bt_rng_below(seed, i, vocab);
        batch->labels[i] = (int32_t)bt_rng_below(seed + 1, i, vocab);
        batch->position[i] = (int32_t)(i % batch->seq);
        batch->first[i] = 0;
    }
    for (size_t r = 0; r < batch->rows; r++)
        batch->used[r] = (int32_t)batch->seq;
    batch->label_count = batch->tokens = n;
}

static void set_optimizer(struct bench *b)
{
    b->optimizer_config = (struct bt_cfg_optimizer){.beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8, .weight_decay = 0.1};
    b->optimizer = (struct bt_optimizer){.params = &b->params,
                                         .kernels = &b->request->compute.kernels,
                                         .compute = &b->request->compute,
                                         .config = &b->optimizer_config,
                                         .weights = b->weights,
                                         .gradients = b->gradients,
                                         .m = b->m,
                                         .v = b->v};
}

/* The cache is keyed by the teacher's values and its config.json. */
static enum bt_err write_teacher_config(const struct bench *b, struct bt_diag *diag)
{
    char *path = bt_path_join(b->request->folder, "config.json");
    json_t *config = json_object();
    const enum bt_err err = path && config ? bt_json_replace(path, config, diag) : bt_fail_nomem(diag);
    json_decref(config);
    bt_free(path);
    return err;
}

static enum bt_err open_models(struct bench *b, struct bt_diag *diag)
{
    struct bt_arena measure = {0};
    enum bt_err err;
    b->teacher.shape = b->shape;
    b->teacher.shape.sub_norm = false;
    b->teacher.path = (char *)b->request->folder;
    if ((err = bt_params_init(&b->params, &b->shape, diag)) ||
        (err = bt_params_init(&b->teacher.params, &b->teacher.shape, diag)))
        return err;
    carve(b, &measure);
    if (measure.overflow || !bt_arena_init(&b->arena, measure.used))
        return bt_fail(diag, BT_ENOMEM, "out of memory: no %zu bytes for weights, gradients and moments", measure.used);
    carve(b, &b->arena);
    b->teacher.values = b->teacher.weights;
    bt_params_randomize(&b->params, b->weights, 1, 0.04);
    bt_params_randomize(&b->teacher.params, b->teacher.weights, 2, 0.04);
    for (size_t i = 0; i < BATCHES; i++)
        fill_batch(&b->batches[i], 10 * i, b->shape.vocab);
    set_optimizer(b);
    return write_teacher_config(b, diag);
}

/* ---- ways ---- */

static void describe_way(struct bench *b, struct way *w)
{
    const struct request *r = b->request;
    w->config.losses.cross_entropy.weight.constant = w->config.losses.logits.weight.constant = 1.0;
    w->config.losses.hidden.weight.constant = w->config.losses.relation.weight.constant = 1.0;
    w->config.teacher =
        (struct bt_cfg_teacher){.cache = w->mode->cached ? (char *)r->folder : NULL, .cache_top_k = (int64_t)r->top_k};
    w->teaching = (struct bt_teaching){
        .config = &w->config,
        .distill = {.temperature = 1.0f, .hidden = BT_HIDDEN_MSE_NORMALIZED, .layer_weights = b->layer_weights},
        .layer = b->shape.layers - 1,
        .teacher_layer = b->shape.layers - 1,
        .blocks = b->shape.layers,
        .teacher = &b->teacher};
    memcpy(w->teaching.given, w->mode->terms, sizeof w->teaching.given);
    memcpy(w->teaching.distill.terms, w->mode->terms, sizeof w->mode->terms);
}

static enum bt_err open_way(struct bench *b, struct way *w, struct bt_diag *diag)
{
    const struct request *r = b->request;
    const struct bt_model_options options = {.rows = r->rows,
                                             .seq = r->seq,
                                             .ternary_weights = true,
                                             .int8_activations = true,
                                             .gradients = true,
                                             .keep = BT_KEEP_ALL,
                                             .keep_qkv = w->mode->terms[BT_TERM_RELATION],
                                             .qkv_layer = b->shape.layers - 1,
                                             .distill = w->mode->teaches ? &w->teaching.distill : NULL};
    enum bt_err err;
    describe_way(b, w);
    err = bt_model_create(&b->params, &options, b->weights, b->gradients, &r->compute, &w->model, diag);
    if (!err && w->mode->teaches)
        err = bt_lessons_create(&w->teaching, r->rows, r->seq, &r->compute, &w->lessons, diag);
    return !err && w->lessons ? bt_lessons_begin(w->lessons, diag) : err;
}

static enum bt_err open_bench(struct bench *b, const struct request *r, struct bt_diag *diag)
{
    *b = (struct bench){.request = r, .shape = r->shape};
    enum bt_err err = open_models(b, diag);
    for (size_t i = 0; i < b->shape.layers; i++)
        b->layer_weights[i] = 1.0 / (double)b->shape.layers;
    for (size_t i = 0; !err && i < COUNT(modes); i++) {
        b->ways[i].mode = &modes[i];
        err = open_way(b, &b->ways[i], diag);
    }
    return err;
}

static void close_bench(struct bench *b)
{
    for (size_t i = 0; i < COUNT(modes); i++) {
        bt_lessons_destroy(b->ways[i].lessons);
        bt_model_destroy(b->ways[i].model);
    }
    bt_arena_finish(&b->arena);
    bt_params_finish(&b->params);
    bt_params_finish(&b->teacher.params);
}

/* ---- updates ---- */

static enum bt_err learn(struct way *w, const struct bt_batch *batch, struct bt_diag *diag)
{
    const struct bt_train_state state = {0};
    const struct bt_lesson *lesson;
    double sums[BT_TERM_COUNT];
    if (!w->lessons) {
        bt_model_backward(w->model, batch, 1.0f, 1.0f / (float)batch->label_count);
        return BT_OK;
    }
    bt_lessons_update(w->lessons, &state, 1, 1, batch->label_count, batch->tokens);
    const enum bt_err err = bt_lessons_teach(w->lessons, batch, &lesson, diag);
    if (!err)
        bt_model_learn(w->model, batch, 1.0f, lesson, sums);
    return err;
}

/* As the trainer makes one: gradients cleared, forward and backward, clipping, the step, the codes of the next one. */
static enum bt_err one_update(struct bench *b, struct way *w, size_t t, double *ret_seconds, struct bt_diag *diag)
{
    const int threads = (int)b->request->machine.threads;
    const struct bt_param *bad;
    bt_model_prepare(w->model); /* another way has changed the weights */
    const double start = bench_seconds(threads);
    memset(b->gradients, 0, b->params.total * sizeof(float));
    const enum bt_err err = learn(w, &b->batches[t % BATCHES], diag);
    bt_optimizer_step(&b->optimizer, 1e-4, (int64_t)t + 1, bt_clip_scale(bt_gradient_norm(&b->optimizer, &bad), 1.0));
    bt_model_prepare(w->model);
    *ret_seconds = bench_seconds(threads) - start;
    return err;
}

/* Every way once for each batch, which fills the cache; then the rounds, each second one in reverse. */
static enum bt_err time_rounds(struct bench *b, struct bt_diag *diag)
{
    const size_t count = COUNT(modes);
    enum bt_err err = BT_OK;
    for (size_t t = 0; !err && t < BATCHES * count; t++)
        err = one_update(b, &b->ways[t / BATCHES], t % BATCHES, &b->ways[t / BATCHES].seconds[0], diag);
    for (size_t t = 0; t < b->request->updates; t++)
        for (size_t i = 0; !err && i < count; i++) {
            struct way *w = &b->ways[t % 2 ? count - 1 - i : i];
            err = one_update(b, w, BATCHES + t, &w->seconds[t], diag);
        }
    return err;
}

static void report_way(const struct bench *b, const struct way *w, json_t *report)
{
    const size_t updates = b->request->updates;
    double ratio[MAX_UPDATES], seconds[MAX_UPDATES];
    json_t *row = json_object();
    for (size_t i = 0; i < updates; i++)
        ratio[i] = w->seconds[i] / b->ways[0].seconds[i];
    memcpy(seconds, w->seconds, updates * sizeof *seconds);
    bench_set_text(row, "name", w->mode->name);
    bench_set(row, "tokens_per_second", (double)b->batches[0].tokens / bench_median(seconds, updates));
    bench_set(row, "ratio", bench_median(ratio, updates)); /* sorts them */
    bench_set(row, "ratio_least", ratio[0]);
    bench_set(row, "ratio_most", ratio[updates - 1]);
    bench_report_add(report, row);
}

/* ---- the program ---- */

static enum bt_err check_request(struct request *r, struct bt_diag *diag)
{
    r->shape = bench_shape(r->shape_name);
    if (r->layers)
        r->shape.layers = r->layers;
    r->layers = r->shape.layers;
    if (r->updates > MAX_UPDATES)
        return bt_fail(diag, BT_EUSAGE, "--updates: the most is %d", MAX_UPDATES);
    if (r->layers > MAX_LAYERS || r->rows > 1u << 20 || r->seq > 1u << 20)
        return bt_fail(diag, BT_EUSAGE, "--rows, --seq or --layers: nobody has that much memory");
    return BT_OK;
}

static enum bt_err measure(struct request *r, struct bt_diag *diag)
{
    char title[256];
    struct bench b;
    enum bt_err err = open_bench(&b, r, diag);
    if (!err)
        err = time_rounds(&b, diag);
    if (!err) {
        snprintf(
            title, sizeof title,
            "Updates of %s beside a teacher, lambda 1, %zu layers, batch %zu x %zu, %d threads, %s; top %zu in the "
            "cache; medians of %d rounds",
            r->shape_name, (size_t)r->layers, (size_t)r->rows, (size_t)r->seq, (int)r->machine.threads,
            r->compute.matmul->name, (size_t)r->top_k, (int)r->updates);
        json_t *report =
            bench_report("teacher", title, "tokens_per_second", columns, COUNT(columns), (int)r->machine.threads);
        for (size_t i = 0; i < COUNT(modes); i++)
            report_way(&b, &b.ways[i], report);
        err = bench_report_end(report, r->machine.json, diag);
    }
    close_bench(&b);
    return err;
}

static enum bt_err run(void *request, const struct bt_command_line *line, struct bt_diag *diag)
{
    struct request *r = request;
    char folder[] = "/tmp/bench_teacher-XXXXXX";
    enum bt_err err;
    if ((err = check_request(r, diag)) || (err = bench_machine_begin(&r->machine, line, &r->compute, diag)))
        return err;
    if (!mkdtemp(folder))
        return bt_fail(diag, BT_EIO, "%s: cannot be made", folder);
    r->folder = folder;
    err = measure(r, diag);
    struct bt_diag ignored;
    const enum bt_err removed = bt_dir_remove(folder, err ? &ignored : diag);
    return err ? err : removed;
}

int main(int argc, char **argv)
{
    struct request r = {.shape_name = "stories260k", .updates = 9, .rows = 8, .seq = 256, .top_k = 64};
    const struct bt_option options[] = {
        {"shape", BENCH_SHAPES, BT_OPTION_CHOICE, &r.shape_name, 0, "of which model (default: stories260k)"},
        {"layers", "N", BT_OPTION_NUMBER, &r.layers, 1, "other than the shape has"},
        {"rows", "N", BT_OPTION_NUMBER, &r.rows, 1, "of a batch (default: 8)"},
        {"seq", "N", BT_OPTION_NUMBER, &r.seq, 1, "tokens of a row (default: 256)"},
        {"updates", "N", BT_OPTION_NUMBER, &r.updates, 1, "rounds to measure, after a first one (default: 9)"},
        {"top-k", "N", BT_OPTION_NUMBER, &r.top_k, 1, "ids that the cache keeps of each token (default: 64)"},
        BENCH_OPTION_KERNELS(&r.machine.kernels),
        BENCH_OPTION_THREADS(&r.machine.threads),
        BENCH_OPTION_JSON(&r.machine.json)};
    const struct bt_program program = {"bench_teacher", "bench_teacher [OPTION...]",
                                       "Measures what a teacher adds to an update of a model with random weights.",
                                       options, COUNT(options)};
    return bt_program_run(&program, argc, argv, run, &r);
}
