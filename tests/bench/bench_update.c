/* Updates of a model with random weights: tokens/s against what the float32 peak of the machine would allow, where the
 * time of an update goes, the rate of each phase, and memory. Nothing is asserted, since machines are noisy. */
#include <stdio.h>
#include <string.h>

#include "arguments.h"
#include "base/mem.h"
#include "base/rng.h"
#include "counters.h"
#include "nn/model.h"
#include "peak.h"
#include "train/optimizer.h"

enum { MAX_UPDATES = 64 };

struct request {
    struct bench_machine machine;
    const char *shape_name, *mode, *config_out;
    uint64_t updates, rows, seq, layers;
    bool checkpointing;
    struct bt_shape shape;
    struct bt_compute compute;
};

static const struct mode {
    const char *option, *name;
    bool quantised;
    float lambda;
    bool int16;
} modes[] = {{"twin", "float twin", false, 0.0f, false},
             {"mixed", "lambda 0.5", true, 0.5f, false},
             {"ternary", "lambda 1", true, 1.0f, false},
             {"int16", "lambda 1 int16", true, 1.0f, true}};

static const struct bench_column columns[] = {{"name", "update", 0},
                                              {"tokens_per_second", "tokens/s", 1},
                                              {"of_roofline", "of roofline", 2},
                                              {"mfu", "MFU", 2},
                                              {"memory_gb", "memory GB", 2},
                                              {"forward_share", "forward", 2},
                                              {"attention_gflops", "attention GFLOP/s", 1},
                                              {"attention_of_peak", "of peak", 2},
                                              {"on_codes", "forward products on codes", 0}};

static const struct bench_column phase_columns[] = {{"name", "phase", 0},        {"share", "share", 3},
                                                    {"gflops", "GFLOP/s", 1},    {"of_peak", "of peak", 2},
                                                    {"gbs", "GB/s at least", 1}, {"of_copy", "of copy", 2}};

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

struct bench {
    const struct request *request;
    const struct mode *mode;
    struct bt_shape shape;
    struct bt_params params;
    struct bt_compute compute;
    struct bt_arena arena;
    float *weights, *gradients, *m, *v;
    struct bt_batch batch;
    struct bt_optimizer optimizer;
    struct bt_cfg_optimizer optimizer_config;
    struct bt_model *model;
};

/* ---- a model and its batch ---- */

static void carve(struct bench *b, struct bt_arena *arena)
{
    const struct request *r = b->request;
    const size_t total = b->params.total, n = r->rows * r->seq;
    b->weights = bt_arena_take(arena, total, sizeof(float));
    b->gradients = bt_arena_take(arena, total, sizeof(float));
    b->m = bt_arena_take(arena, total, sizeof(float));
    b->v = bt_arena_take(arena, total, sizeof(float));
    b->batch = (struct bt_batch){.rows = r->rows, .seq = r->seq};
    b->batch.ids = bt_arena_take(arena, n, sizeof(int32_t));
    b->batch.labels = bt_arena_take(arena, n, sizeof(int32_t));
    b->batch.position = bt_arena_take(arena, n, sizeof(int32_t));
    b->batch.first = bt_arena_take(arena, n, sizeof(int32_t));
}

static void fill_batch(struct bench *b)
{
    const size_t n = b->batch.rows * b->batch.seq;
    for (size_t i = 0; i < n; i++) {
        b->batch.ids[i] = (int32_t)bt_rng_below(1, i, b->shape.vocab);
        b->batch.labels[i] = (int32_t)bt_rng_below(2, i, b->shape.vocab);
        b->batch.position[i] = (int32_t)(i % b->batch.seq);
    }
    b->batch.label_count = b->batch.tokens = n;
}

static void set_optimizer(struct bench *b)
{
    b->optimizer_config = (struct bt_cfg_optimizer){.beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8, .weight_decay = 0.1};
    b->optimizer = (struct bt_optimizer){.params = &b->params,
                                         .kernels = &b->compute.kernels,
                                         .config = &b->optimizer_config,
                                         .weights = b->weights,
                                         .gradients = b->gradients,
                                         .m = b->m,
                                         .v = b->v};
}

static void close_bench(struct bench *b)
{
    bt_model_destroy(b->model);
    bt_arena_finish(&b->arena);
    bt_params_finish(&b->params);
}

/* close_bench is due in any case. The float twin is the model as it was before its conversion: no SubLN. */
static enum bt_err open_bench(struct bench *b, const struct request *r, const struct mode *mode, struct bt_diag *diag)
{
    enum bt_err err;
    struct bt_arena measure = {0};
    const struct bt_model_options options = {.rows = r->rows,
                                             .seq = r->seq,
                                             .ternary_weights = mode->quantised,
                                             .int8_activations = mode->quantised,
                                             .gradients = true,
                                             .keep = r->checkpointing ? BT_KEEP_INPUTS : BT_KEEP_ALL};
    *b = (struct bench){.request = r, .mode = mode, .shape = r->shape, .compute = r->compute};
    b->shape.sub_norm = mode->quantised;
    b->compute.int16_gradient = mode->int16;
    if ((err = bt_params_init(&b->params, &b->shape, diag)))
        return err;
    carve(b, &measure);
    if (measure.overflow || !bt_arena_init(&b->arena, measure.used))
        return bt_fail(diag, BT_ENOMEM, "out of memory: no %zu bytes for weights, gradients and moments", measure.used);
    carve(b, &b->arena);
    bt_params_randomize(&b->params, b->weights, 1, 0.04);
    fill_batch(b);
    set_optimizer(b);
    bench_count_begin(&b->compute, &b->params, b->weights, b->gradients);
    if ((err = bt_model_create(&b->params, &options, b->weights, b->gradients, &b->compute, &b->model, diag)))
        return err;
    bt_model_prepare(b->model);
    return BT_OK;
}

/* ---- updates ---- */

struct times {
    double update[MAX_UPDATES], peak[MAX_UPDATES]; /* seconds; GFLOP/s measured beside them */
    double all, clear, prepare;                    /* seconds of all updates, and of two phases that no kernel counts */
};

/* As the trainer makes one: gradients cleared, forward and backward, clipping, the step, the codes of the next one. */
static void one_update(struct bench *b, size_t t, double *ret_clear, double *ret_prepare)
{
    const int threads = (int)b->request->machine.threads;
    const struct bt_param *bad;
    const double start = bench_seconds(threads);
    memset(b->gradients, 0, b->params.total * sizeof(float));
    *ret_clear = bench_seconds(threads) - start;
    bt_model_backward(b->model, &b->batch, b->mode->lambda, 1.0f / (float)b->batch.label_count);
    const float scale = bt_clip_scale(bt_gradient_norm(&b->optimizer, &bad), 1.0);
    bt_optimizer_step(&b->optimizer, 1e-4, (int64_t)t, scale);
    const double stepped = bench_seconds(threads);
    bt_model_prepare(b->model);
    *ret_prepare = bench_seconds(threads) - stepped;
}

static void time_updates(struct bench *b, struct times *times)
{
    const int threads = (int)b->request->machine.threads;
    double before = bench_float32_rate(threads), clear, prepare;
    bench_count_reset();
    for (size_t i = 0; i < b->request->updates; i++) {
        const double start = bench_seconds(threads);
        one_update(b, i + 2, &clear, &prepare);
        times->update[i] = bench_seconds(threads) - start;
        times->all += times->update[i];
        const double after = bench_float32_rate(threads);
        times->peak[i] = 0.5 * (before + after);
        times->clear += clear;
        times->prepare += prepare;
        before = after;
    }
}

/* ---- figures ---- */

static void add_phase(json_t *phases, const char *name, const struct bench_count *c, double all, double peak,
                      double copy)
{
    json_t *row = json_object();
    if (c->seconds > 0.0) {
        bench_set_text(row, "name", name);
        bench_set(row, "share", c->seconds / all);
        if (c->flops > 0.0) {
            bench_set(row, "gflops", c->flops / c->seconds / 1e9);
            bench_set(row, "of_peak", c->flops / c->seconds / 1e9 / peak);
        }
        if (c->bytes > 0.0) {
            bench_set(row, "gbs", c->bytes / c->seconds / 1e9);
            bench_set(row, "of_copy", c->bytes / c->seconds / 1e9 / copy);
        }
        json_array_append(phases, row);
    }
    json_decref(row);
}

/* The phases, and what is left: codes of activations, operands made of codes, threads that wait for the last tile. */
static json_t *list_phases(const struct bench *b, const struct times *t, double peak, double copy)
{
    const double weights = (double)b->params.total;
    const double codes = b->mode->quantised ? (double)bench_linear_weights(&b->shape) : 0.0;
    const double updates = (double)b->request->updates;
    json_t *phases = json_array();
    struct bench_count rest = {.seconds = t->all};
    for (int phase = 0; phase < BENCH_PHASES; phase++) {
        const struct bench_count count = bench_count_of((enum bench_phase)phase);
        add_phase(phases, bench_phase_name((enum bench_phase)phase), &count, t->all, peak, copy);
        rest.seconds -= count.seconds;
    }
    const struct bench_count clear = {t->clear, 0.0, updates * weights * sizeof(float)};
    const struct bench_count prepare = {t->prepare, 0.0, updates * codes * (2 * sizeof(float) + 1)};
    add_phase(phases, "clearing gradients", &clear, t->all, peak, copy);
    if (b->mode->quantised) {
        add_phase(phases, "codes of weights", &prepare, t->all, peak, copy);
        rest.seconds -= prepare.seconds;
    }
    rest.seconds -= clear.seconds;
    add_phase(phases, "codes of activations, waiting", &rest, t->all, peak, copy);
    return phases;
}

/* Linears and head, forward and backward, three products each. What checkpointing computes again does not count. */
static double update_flops(const struct bench *b)
{
    const double weights = (double)(bench_linear_weights(&b->shape) + bench_head_weights(&b->shape));
    return 6.0 * weights * (double)(b->batch.rows * b->batch.seq);
}

static void set_speed(json_t *row, const struct bench *b, struct times *t)
{
    const size_t updates = b->request->updates;
    const double tokens = (double)(b->batch.rows * b->batch.seq), flops = update_flops(b);
    const struct bench_count forward = bench_count_of(BENCH_ATTENTION);
    const struct bench_count backward = bench_count_of(BENCH_ATTENTION_BACKWARD);
    const double attention = forward.flops + backward.flops;
    double ratio[MAX_UPDATES];
    for (size_t i = 0; i < updates; i++)
        ratio[i] = flops / t->update[i] / 1e9 / t->peak[i];
    const double peak = bench_median(t->peak, updates), of_roofline = bench_median(ratio, updates);
    const double rate = attention / (forward.seconds + backward.seconds) / 1e9;
    bench_set(row, "tokens_per_second", tokens / bench_median(t->update, updates));
    bench_set(row, "of_roofline", of_roofline);
    bench_set(row, "mfu", of_roofline * (1.0 + attention / (double)updates / flops));
    bench_set(row, "roofline_tokens_per_second", peak * 1e9 / (flops / tokens));
    bench_set(row, "float32_gflops", peak);
    bench_set(row, "attention_gflops", rate);
    bench_set(row, "attention_of_peak", rate / peak);
}

static void set_shape(json_t *row, const struct bench *b)
{
    const struct request *r = b->request;
    bench_set_text(row, "name", b->mode->name);
    bench_set_text(row, "shape", r->shape_name);
    bench_set_text(row, "products", r->compute.matmul->name);
    bench_set_text(row, "codes", r->compute.codes->name);
    json_object_set_new(row, "activation_checkpointing", json_boolean(r->checkpointing));
    bench_set(row, "layers", (double)r->layers);
    bench_set(row, "parameters", (double)b->params.elements);
    bench_set(row, "rows", (double)r->rows);
    bench_set(row, "seq", (double)r->seq);
    bench_set(row, "threads", (double)r->machine.threads);
}

/* A forward pass alone: its time, and how many of its products ran on int8 codes. */
static double time_forward(struct bench *b, json_t *row)
{
    char text[64];
    const int threads = (int)b->request->machine.threads;
    const size_t products = 7 * b->shape.layers;
    bench_count_reset();
    const double start = bench_seconds(threads);
    bt_model_loss(b->model, &b->batch, b->mode->lambda);
    const double seconds = bench_seconds(threads) - start;
    bench_set(row, "forward_products", (double)products);
    bench_set(row, "forward_products_on_codes", (double)bench_products_on_codes());
    bench_set(row, "forward_flops_on_floats", bench_flops_on_floats());
    snprintf(text, sizeof text, "%zu of %zu", bench_products_on_codes(), products);
    bench_set_text(row, "on_codes", text);
    return seconds;
}

static enum bt_err run_mode(const struct request *r, const struct mode *mode, json_t *report, struct bt_diag *diag)
{
    struct bench b;
    struct times times = {.all = 0.0};
    double clear, prepare;
    bench_memory_reset();
    enum bt_err err = open_bench(&b, r, mode, diag);
    if (!err) {
        json_t *row = json_object();
        one_update(&b, 1, &clear, &prepare);
        const double forward = time_forward(&b, row);
        time_updates(&b, &times);
        set_shape(row, &b);
        bench_set(row, "forward_share", forward / (times.all / (double)r->updates));
        set_speed(row, &b, &times);
        bench_set(row, "memory_gb", bench_memory_peak() / 1e9);
        const double peak = json_number_value(json_object_get(row, "float32_gflops"));
        json_t *phases = list_phases(&b, &times, peak, bench_report_peak(report, "copy_gbs"));
        json_object_set_new(row, "phases", phases);
        bench_report_add(report, row);
    }
    close_bench(&b);
    return err;
}

static void print_phases(const json_t *report)
{
    const json_t *rows = json_object_get(report, "rows");
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        printf("Where the time of an update goes: %s\n\n", json_string_value(json_object_get(row, "name")));
        bench_table_print(phase_columns, COUNT(phase_columns), json_object_get(row, "phases"));
        putchar('\n');
    }
}

/* config.json of the same shape, for another program to be compared with. */
static enum bt_err write_config(const struct request *r, struct bt_diag *diag)
{
    const struct bt_shape *s = &r->shape;
    json_t *config =
        json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:b}", "model_type", "llama", "vocab_size",
                  (json_int_t)s->vocab, "hidden_size", (json_int_t)s->hidden, "intermediate_size", (json_int_t)s->ffn,
                  "num_hidden_layers", (json_int_t)s->layers, "num_attention_heads", (json_int_t)s->heads,
                  "num_key_value_heads", (json_int_t)s->kv_heads, "head_dim", (json_int_t)s->head_dim, "rms_norm_eps",
                  (double)s->eps, "rope_theta", s->rope.theta, "tie_word_embeddings", s->tied);
    const enum bt_err err = config ? bt_json_write(r->config_out, config, diag)
                                   : bt_fail(diag, BT_ENOMEM, "%s: out of memory", r->config_out);
    json_decref(config);
    return err;
}

static enum bt_err check_request(struct request *r, struct bt_diag *diag)
{
    r->shape = bench_shape(r->shape_name);
    if (r->layers)
        r->shape.layers = r->layers;
    r->layers = r->shape.layers;
    if (r->updates > MAX_UPDATES)
        return bt_fail(diag, BT_EUSAGE, "--updates: the most is %d", MAX_UPDATES);
    if (r->rows > 1u << 20 || r->seq > 1u << 20 || r->layers > 1u << 12)
        return bt_fail(diag, BT_EUSAGE, "--rows, --seq or --layers: nobody has that much memory");
    return BT_OK;
}

static enum bt_err run(void *request, const struct bt_command_line *line, struct bt_diag *diag)
{
    struct request *r = request;
    char title[256];
    enum bt_err err;
    if ((err = check_request(r, diag)) || (err = bench_machine_begin(&r->machine, line, &r->compute, diag)))
        return err;
    if (r->config_out)
        return write_config(r, diag);
    snprintf(title, sizeof title,
             "Updates of %s, %zu layers, batch %zu x %zu, %d threads, %s, %s%s; medians of %d after a first one",
             r->shape_name, (size_t)r->layers, (size_t)r->rows, (size_t)r->seq, (int)r->machine.threads,
             r->compute.matmul->name, r->compute.codes->name, r->checkpointing ? ", activation checkpointing" : "",
             (int)r->updates);
    json_t *report =
        bench_report("update", title, "tokens_per_second", columns, COUNT(columns), (int)r->machine.threads);
    for (size_t i = 0; !err && i < COUNT(modes); i++)
        if (!strcmp(r->mode, "all") || !strcmp(r->mode, modes[i].option))
            err = run_mode(r, &modes[i], report, diag);
    if (err) {
        json_decref(report);
        return err;
    }
    if (bench_prints(r->machine.json))
        print_phases(report);
    return bench_report_end(report, r->machine.json, diag);
}

int main(int argc, char **argv)
{
    struct request r = {.shape_name = "smollm2-135m", .mode = "all", .updates = 3, .rows = 4, .seq = 512};
    const struct bt_option options[] = {
        BENCH_OPTION_SHAPE(&r.shape_name),
        {"layers", "N", BT_OPTION_NUMBER, &r.layers, 1, "other than the shape has"},
        {"rows", "N", BT_OPTION_NUMBER, &r.rows, 1, "of a batch (default: 4)"},
        {"seq", "N", BT_OPTION_NUMBER, &r.seq, 1, "tokens of a row (default: 512)"},
        {"updates", "N", BT_OPTION_NUMBER, &r.updates, 1, "to measure, after a first one (default: 3)"},
        {"mode", "all|twin|mixed|ternary|int16", BT_OPTION_CHOICE, &r.mode, 0,
         "float model, lambda 0.5, lambda 1, the same with int16 gradients (default: all of them in turn)"},
        {"checkpointing", NULL, BT_OPTION_FLAG, &r.checkpointing, 0,
         "blocks keep only their input and run forward again (the key activation_checkpointing)"},
        BENCH_OPTION_KERNELS(&r.machine.kernels),
        BENCH_OPTION_THREADS(&r.machine.threads),
        BENCH_OPTION_JSON(&r.machine.json),
        {"write-config", "FILE", BT_OPTION_TEXT, &r.config_out, 0, "write a config.json of the shape, and no more"}};
    const struct bt_program program = {"bench_update", "bench_update [OPTION...]",
                                       "Measures training updates of a model with random weights.", options,
                                       COUNT(options)};
    return bt_program_run(&program, argc, argv, run, &r);
}
