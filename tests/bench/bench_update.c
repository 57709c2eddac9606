/* One update at the shape of SmolLM2-135M with random weights: tokens/s, the share of each phase, the rate of its
 * matrix products, and the float32 peak of this machine measured in the same process. Prints a table; nothing is
 * asserted, since machines are noisy.
 *
 *   bench_update [--updates N] [--rows N] [--seq N] [--threads N] [--layers N] [--kernels
 * auto|onednn|portable|avx2|avx512] */
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "base/cpu.h"
#include "base/mem.h"
#include "base/rng.h"
#include "nn/model.h"
#include "peak.h"
#include "train/optimizer.h"

enum { MAX_THREADS = 256, MAX_UPDATES = 64 };

struct settings {
    size_t updates, rows, seq, layers;
    int threads;
    const char *kernels;
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* A matrix product that counts itself: every tile adds its time and its FLOPs to its thread's cell. */
static struct cell {
    double seconds, flops;
    char apart[48]; /* one cache line a thread */
} cells[MAX_THREADS];
static const struct bt_matmul *counted;

static void counting_gemm(enum bt_product kind, size_t m, size_t n, size_t k, const float *a, size_t lda,
                          const float *b, size_t ldb, float *c, size_t ldc, bool accumulate)
{
    struct cell *cell = &cells[omp_get_thread_num() % MAX_THREADS];
    const double start = now();
    counted->gemm(kind, m, n, k, a, lda, b, ldb, c, ldc, accumulate);
    cell->seconds += now() - start;
    cell->flops += 2.0 * (double)m * (double)n * (double)k;
}

static const struct bt_codes *counted_codes;

static void counting_forward(const struct bt_codes_product *p, size_t i, size_t j, size_t height, size_t width)
{
    struct cell *cell = &cells[omp_get_thread_num() % MAX_THREADS];
    const double start = now();
    counted_codes->forward(p, i, j, height, width);
    cell->seconds += now() - start;
    cell->flops += 2.0 * (double)height * (double)width * (double)p->k;
}

static void counting_gradient(const struct bt_gradient_product *p, size_t i, size_t j, size_t height, size_t width)
{
    struct cell *cell = &cells[omp_get_thread_num() % MAX_THREADS];
    const double start = now();
    counted_codes->gradient(p, i, j, height, width);
    cell->seconds += now() - start;
    cell->flops += 2.0 * (double)height * (double)width * (double)p->k;
}

static const struct bt_codes counting_codes = {"counting", counting_forward, counting_gradient};
static const struct bt_matmul counting = {.free_tiles = true, .name = "counting", .gemm = counting_gemm};

/* The public shape of SmolLM2-135M. */
static const struct bt_shape smollm2_135m = {.vocab = 49152,
                                             .hidden = 576,
                                             .ffn = 1536,
                                             .layers = 30,
                                             .heads = 9,
                                             .kv_heads = 3,
                                             .head_dim = 64,
                                             .eps = 1e-5f,
                                             .act = BT_ACT_SILU,
                                             .tied = true,
                                             .sub_norm = true,
                                             .rope = {.theta = 100000.0}};

struct phases {
    double forward, backward, optimizer, codes;
};

struct bench {
    struct bt_shape shape;
    struct bt_params params;
    struct bt_compute compute;
    struct bt_arena arena;
    float *weights, *gradients, *m, *v;
    struct bt_batch batch;
    struct bt_optimizer optimizer;
    struct bt_cfg_optimizer optimizer_config;
};

static void carve(struct bench *b, struct bt_arena *arena, const struct settings *s)
{
    const size_t total = b->params.total, n = s->rows * s->seq;
    b->weights = bt_arena_take(arena, total, sizeof(float));
    b->gradients = bt_arena_take(arena, total, sizeof(float));
    b->m = bt_arena_take(arena, total, sizeof(float));
    b->v = bt_arena_take(arena, total, sizeof(float));
    b->batch = (struct bt_batch){.rows = s->rows, .seq = s->seq};
    b->batch.ids = bt_arena_take(arena, n, sizeof(int32_t));
    b->batch.labels = bt_arena_take(arena, n, sizeof(int32_t));
    b->batch.position = bt_arena_take(arena, n, sizeof(int32_t));
    b->batch.first = bt_arena_take(arena, n, sizeof(int32_t));
}

static void open_bench(struct bench *b, const struct settings *s, bool sub_norm)
{
    struct bt_diag diag = {0};
    struct bt_arena measure = {0};
    memset(b, 0, sizeof *b);
    b->shape = smollm2_135m;
    b->shape.layers = s->layers;
    b->shape.sub_norm = sub_norm;
    if (bt_params_init(&b->params, &b->shape, &diag))
        abort();
    carve(b, &measure, s);
    if (!bt_arena_init(&b->arena, measure.used))
        abort();
    carve(b, &b->arena, s);
    bt_params_randomize(&b->params, b->weights, 1, 0.04);
    for (size_t i = 0; i < s->rows * s->seq; i++) {
        b->batch.ids[i] = (int32_t)bt_rng_below(1, i, b->shape.vocab);
        b->batch.labels[i] = (int32_t)bt_rng_below(2, i, b->shape.vocab);
        b->batch.position[i] = (int32_t)(i % s->seq);
    }
    b->batch.label_count = b->batch.tokens = s->rows * s->seq;
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
    bt_arena_finish(&b->arena);
    bt_params_finish(&b->params);
}

static void one_update(struct bench *b, struct bt_model *model, float lambda, size_t t, struct phases *p)
{
    const struct bt_param *bad;
    const double start = now();
    bt_model_loss(model, &b->batch, lambda);
    const double forward = now();
    memset(b->gradients, 0, b->params.total * sizeof(float));
    bt_model_backward(model, &b->batch, lambda, 1.0f / (float)b->batch.label_count);
    const double both = now();
    const float scale = bt_clip_scale(bt_gradient_norm(&b->optimizer, &bad), 1.0);
    bt_optimizer_step(&b->optimizer, 1e-4, (int64_t)t, scale);
    const double stepped = now();
    bt_model_prepare(model);
    const double end = now();
    p->forward = forward - start;
    p->backward = (both - forward) - p->forward; /* bt_model_backward runs the forward pass too */
    p->optimizer = stepped - both;
    p->codes = end - stepped;
}

static double total(const struct phases *p)
{
    return p->forward + p->backward + p->optimizer + p->codes;
}

static int faster(const void *a, const void *b)
{
    const double x = total(a), y = total(b);
    return (x > y) - (x < y);
}

/* Linears and head, forward and backward, three products each. */
static double update_flops(const struct bench *b)
{
    double weights = (double)b->shape.vocab * (double)b->shape.hidden;
    for (size_t i = 0; i < b->params.count; i++)
        if (b->params.list[i].linear)
            weights += (double)b->params.list[i].count;
    return 6.0 * weights * (double)(b->batch.rows * b->batch.seq);
}

static void report(const char *name, const struct bench *b, const struct phases *p, double products, double peak)
{
    const double seconds = total(p), n = (double)(b->batch.rows * b->batch.seq);
    printf("%-14s %9.1f %8.0f%% %8.0f%% %8.0f%% %8.0f%% %12.1f %11.0f%%\n", name, n / seconds,
           100.0 * p->forward / seconds, 100.0 * p->backward / seconds, 100.0 * p->optimizer / seconds,
           100.0 * p->codes / seconds, products, 100.0 * update_flops(b) / seconds / 1e9 / peak);
    fflush(stdout);
}

static double product_rate(int threads)
{
    double seconds = 0.0, flops = 0.0;
    for (int i = 0; i < MAX_THREADS; i++) {
        seconds += cells[i].seconds;
        flops += cells[i].flops;
    }
    memset(cells, 0, sizeof cells);
    return seconds > 0.0 ? flops / (seconds / threads) / 1e9 : 0.0;
}

static void run(const char *name, const struct settings *s, bool quantised, float lambda, bool int16, double peak)
{
    struct bt_diag diag = {0};
    struct bench b;
    struct phases phases[MAX_UPDATES], discarded;
    struct bt_model *model = NULL;
    const struct bt_model_options options = {
        .rows = s->rows, .seq = s->seq, .ternary_weights = quantised, .int8_activations = quantised, .gradients = true};
    enum bt_cpu_level level = BT_CPU_AVX512;
    if (!strcmp(s->kernels, "portable"))
        level = BT_CPU_PORTABLE;
    if (!strcmp(s->kernels, "avx2"))
        level = BT_CPU_AVX2;
    open_bench(&b, s, quantised);
    bt_compute_init(&b.compute, level);
    counted = !strcmp(s->kernels, "onednn") && bt_matmul_onednn() ? bt_matmul_onednn() : b.compute.matmul;
    counted_codes = b.compute.codes;
    b.compute.codes = &counting_codes;
    b.compute.int16_gradient = int16;
    b.compute.matmul = &counting;
    if (bt_model_create(&b.params, &options, b.weights, b.gradients, &b.compute, &model, &diag)) {
        fprintf(stderr, "bench_update: %s\n", diag.text);
        exit(5);
    }
    bt_model_prepare(model);
    one_update(&b, model, lambda, 1, &discarded);
    product_rate(s->threads);
    for (size_t i = 0; i < s->updates; i++)
        one_update(&b, model, lambda, i + 2, &phases[i]);
    qsort(phases, s->updates, sizeof *phases, faster);
    report(name, &b, &phases[s->updates / 2], product_rate(s->threads), peak);
    bt_model_destroy(model);
    close_bench(&b);
}

static size_t number_of(int argc, char **argv, const char *name, size_t otherwise)
{
    for (int i = 1; i + 1 < argc; i++)
        if (!strcmp(argv[i], name))
            return (size_t)strtoul(argv[i + 1], NULL, 10);
    return otherwise;
}

static const char *text_of(int argc, char **argv, const char *name, const char *otherwise)
{
    for (int i = 1; i + 1 < argc; i++)
        if (!strcmp(argv[i], name))
            return argv[i + 1];
    return otherwise;
}

int main(int argc, char **argv)
{
    struct settings s = {.updates = number_of(argc, argv, "--updates", 3),
                         .rows = number_of(argc, argv, "--rows", 4),
                         .seq = number_of(argc, argv, "--seq", 512),
                         .layers = number_of(argc, argv, "--layers", smollm2_135m.layers),
                         .threads = (int)number_of(argc, argv, "--threads", (size_t)bt_cpu_count()),
                         .kernels = text_of(argc, argv, "--kernels", "auto")};
    struct rusage usage;
    if (!s.updates || s.updates > MAX_UPDATES || !s.rows || !s.seq || !s.layers || s.threads < 1)
        return 2;
    omp_set_num_threads(s.threads);
    const double peak = bench_float32_peak(s.threads);
    printf("SmolLM2-135M shape, %zu layers, batch %zu x %zu, %d threads, float32 peak %.1f GFLOP/s\n"
           "(median of %zu updates; products: while inside them; of peak: FLOPs of linears and head over the whole "
           "update)\n\n",
           s.layers, s.rows, s.seq, s.threads, peak, s.updates);
    printf("%-14s %9s %9s %9s %9s %9s %12s %12s\n", "", "tokens/s", "forward", "backward", "adamw", "codes", "products",
           "of peak");
    run("float twin", &s, false, 0.0f, false, peak);
    run("lambda 0.5", &s, true, 0.5f, false, peak);
    run("lambda 1", &s, true, 1.0f, false, peak);
    run("lambda 1 int16", &s, true, 1.0f, true, peak);
    getrusage(RUSAGE_SELF, &usage);
    printf("\npeak memory %.2f GB\n", (double)usage.ru_maxrss / 1e6);
    return 0;
}
