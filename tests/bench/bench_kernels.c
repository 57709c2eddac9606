/* The kernels around the matrix products, one by one: those that move memory in bytes/s against memcpy, attention in
 * FLOP/s against the float32 peak, at several lengths of a row. Each call works on memory of its own until so much has
 * been used that no cache holds it, as it is in an update. */
#include <stdio.h>
#include <string.h>

#include "arguments.h"
#include "base/mem.h"
#include "counters.h"
#include "kernels/quantize.h"
#include "sample.h"

struct request {
    struct bench_machine machine;
    const char *shape_name, *only;
    uint64_t tokens, megabytes;
    double seconds;
    struct bt_compute compute;
};

static const struct bench_column columns[] = {{"name", "kernel", 0},     {"gbs", "GB/s at least", 1},
                                              {"of_copy", "of copy", 2}, {"gflops", "GFLOP/s", 1},
                                              {"of_peak", "of peak", 2}, {"ns_per_token", "ns/token", 1}};

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

/* What the kernels see: `at` is the memory of this call. */
struct world {
    const struct bt_kernels *k;
    struct bt_shape shape;
    size_t n;
    float *at, *gain, *dgain, *cosine, *sine;
    int32_t *ids, *position, *first;
    double *loss;
    struct bt_attention_shape attention;
};

/* The buffer i of n * width floats of this call. */
static float *part(const struct world *w, size_t i, size_t width)
{
    return w->at + i * w->n * width;
}

static void norm_fwd(const struct world *w)
{
    const size_t d = w->shape.hidden;
    w->k->rmsnorm_fwd(part(w, 0, d), NULL, part(w, 1, d), w->gain, w->n, d, w->shape.eps);
}

static void norm_bwd(const struct world *w)
{
    const size_t d = w->shape.hidden;
    w->k->rmsnorm_bwd(part(w, 0, d), 1, w->dgain, part(w, 1, d), part(w, 2, d), w->gain, part(w, 3, d), w->n, d);
}

static void rope(const struct world *w)
{
    w->k->rope_fwd(w->at, w->cosine, w->sine, w->position, w->n, w->shape.heads, w->shape.head_dim);
}

static void glu_fwd(const struct world *w)
{
    const size_t d = w->shape.ffn;
    w->k->glu_fwd(part(w, 0, d), part(w, 1, d), part(w, 2, d), w->n * d, w->shape.act);
}

static void glu_bwd(const struct world *w)
{
    const size_t d = w->shape.ffn;
    w->k->glu_bwd(part(w, 0, d), part(w, 1, d), part(w, 2, d), part(w, 3, d), part(w, 4, d), w->n * d, w->shape.act);
}

static void residual(const struct world *w)
{
    w->k->add(part(w, 0, w->shape.hidden), part(w, 1, w->shape.hidden), w->n * w->shape.hidden);
}

/* The codes lie behind the floats they are made of, the scales of the rows behind those. */
static void activation_codes(const struct world *w)
{
    const size_t d = w->shape.ffn;
    int8_t *codes = (int8_t *)part(w, 1, d);
    bt_activation_codes(codes, (float *)(void *)(codes + w->n * d), w->at, w->n, d);
}

static void weight_codes(const struct world *w)
{
    const size_t count = w->n * w->shape.hidden;
    bt_weight_codes((int8_t *)part(w, 1, w->shape.hidden), w->at, count, bt_weight_scale(w->at, count));
}

static void squares(const struct world *w)
{
    *w->loss = w->k->sum_squares(w->at, w->n * w->shape.hidden);
}

static void adamw(const struct world *w)
{
    const size_t d = w->shape.hidden;
    const struct bt_adamw step = {1e-4f, 0.9f, 0.95f, 1e-8f, 0.1f, 1.0f, 0.1f, 0.05f};
    w->k->adamw(part(w, 0, d), part(w, 1, d), part(w, 2, d), part(w, 3, d), w->n * d, &step);
}

/* A vocabulary as large as the ffn is wide: every logit is read and its gradient written. */
static void cross_entropy(const struct world *w)
{
    w->k->cross_entropy(w->loss, w->at, w->ids, w->n, w->shape.ffn, 1e-4f);
}

/* floats: that a call's memory has for a token, in widths of the shape; bytes: that it moves at least, per float of
 * such a width. */
static const struct kernel {
    const char *name;
    void (*run)(const struct world *w);
    bool ffn; /* width; else hidden */
    size_t parts;
    double bytes;
} kernels[] = {{"norm, forward", norm_fwd, false, 2, 8},
               {"norm, backward", norm_bwd, false, 4, 16},
               {"rope", rope, false, 1, 8},
               {"swiglu, forward", glu_fwd, true, 3, 12},
               {"swiglu, backward", glu_bwd, true, 5, 20},
               {"residual", residual, false, 2, 12},
               {"codes of activations", activation_codes, true, 2, 5},
               {"codes of weights", weight_codes, false, 2, 9},
               {"gradient norm", squares, false, 1, 4},
               {"adamw", adamw, false, 4, 28},
               {"cross entropy and gradient", cross_entropy, true, 1, 8}};

/* ---- memory ---- */

/* The pool as attention has it: ten operands of at most n * heads * head_dim floats. */
enum operand { OUT, Q, K, V, DOUT, DQ, DK, DV, LSE, DELTA, OPERANDS };

struct memory {
    struct bt_arena arena;
    struct world world;
    float *pool;
    size_t pool_floats;
};

static void carve(struct memory *m, const struct request *r)
{
    struct world *w = &m->world;
    const size_t n = r->tokens, attention = OPERANDS * n * w->shape.heads * w->shape.head_dim;
    const size_t widest = 5 * n * (w->shape.ffn > w->shape.hidden ? w->shape.ffn : w->shape.hidden);
    m->pool_floats = r->megabytes * 1000000 / sizeof(float);
    m->pool_floats = m->pool_floats < widest ? widest : m->pool_floats;
    m->pool_floats = m->pool_floats < attention ? attention : m->pool_floats;
    m->pool = bt_arena_take(&m->arena, m->pool_floats, sizeof(float));
    w->gain = bt_arena_take(&m->arena, w->shape.hidden, sizeof(float));
    w->dgain = bt_arena_take(&m->arena, w->shape.hidden, sizeof(float));
    w->cosine = bt_arena_take(&m->arena, n * w->shape.head_dim, sizeof(float));
    w->sine = bt_arena_take(&m->arena, n * w->shape.head_dim, sizeof(float));
    w->ids = bt_arena_take(&m->arena, n, sizeof(int32_t));
    w->position = bt_arena_take(&m->arena, n, sizeof(int32_t));
    w->first = bt_arena_take(&m->arena, n, sizeof(int32_t));
    w->loss = bt_arena_take(&m->arena, n, sizeof(double));
}

static enum bt_err open_memory(struct memory *m, const struct request *r, struct bt_diag *diag)
{
    struct world *w = &m->world;
    *m = (struct memory){.world = {.k = &r->compute.kernels, .shape = bench_shape(r->shape_name), .n = r->tokens}};
    carve(m, r);
    const size_t bytes = m->arena.used;
    if (m->arena.overflow || !bt_arena_init(&m->arena, bytes))
        return bt_fail(diag, BT_ENOMEM, "out of memory: no %zu bytes for operands", bytes);
    carve(m, r);
    for (size_t i = 0; i < m->pool_floats; i++)
        m->pool[i] = (float)((i * 2654435761u >> 8) & 65535) / 65536.0f + 0.001f; /* moments are not negative */
    for (size_t i = 0; i < w->shape.hidden; i++)
        w->gain[i] = 1.0f;
    for (size_t i = 0; i < w->n; i++) {
        w->position[i] = (int32_t)i;
        w->ids[i] = (int32_t)(i % w->shape.hidden);
    }
    for (size_t i = 0; i < w->n * w->shape.head_dim; i++)
        w->cosine[i] = 1.0f;
    return BT_OK;
}

/* ---- measuring ---- */

struct work {
    struct memory *memory;
    const struct kernel *kernel;
    size_t floats; /* that a call takes from the pool */
};

static void call(void *context, unsigned i)
{
    const struct work *work = context;
    struct memory *m = work->memory;
    const size_t places = m->pool_floats / work->floats;
    m->world.at = m->pool + i % places * work->floats;
    work->kernel->run(&m->world);
}

static void run_memory_bound(json_t *report, struct memory *m, const struct request *r)
{
    const double copy = bench_report_peak(report, "copy_gbs");
    for (size_t i = 0; i < COUNT(kernels); i++) {
        const struct kernel *kernel = &kernels[i];
        const size_t elements = m->world.n * (kernel->ffn ? m->world.shape.ffn : m->world.shape.hidden);
        struct work work = {m, kernel, kernel->parts * elements};
        const struct bench_sample s = bench_sample(call, &work, 0.0, r->seconds, (int)r->machine.threads);
        const double rate = kernel->bytes * (double)elements / s.seconds / 1e9;
        json_t *row = json_object();
        bench_set_text(row, "name", kernel->name);
        bench_set(row, "gbs", rate);
        bench_set(row, "rate", rate);
        bench_set(row, "of_copy", rate / copy);
        bench_set(row, "ns_per_token", 1e9 * s.seconds / (double)m->world.n);
        bench_report_add(report, row);
    }
}

static float *operand(const struct memory *m, enum operand which)
{
    return m->pool + (size_t)which * m->world.n * m->world.shape.heads * m->world.shape.head_dim;
}

static void attention_forward(void *context, unsigned i)
{
    const struct memory *m = context;
    (void)i;
    m->world.k->attention_fwd(operand(m, OUT), operand(m, LSE), operand(m, Q), operand(m, K), operand(m, V),
                              &m->world.attention);
}

static void attention_backward(void *context, unsigned i)
{
    const struct memory *m = context;
    (void)i;
    m->world.k->attention_bwd(operand(m, DQ), operand(m, DK), operand(m, DV), operand(m, DELTA), operand(m, DOUT),
                              operand(m, OUT), operand(m, LSE), operand(m, Q), operand(m, K), operand(m, V),
                              &m->world.attention);
}

static void measure_attention(json_t *report, struct memory *m, const struct request *r, bool backward)
{
    const size_t seq = m->world.attention.seq;
    const double flops = bench_attention_flops(&m->world.attention) * (backward ? 2.5 : 1.0);
    const struct bench_sample s =
        bench_sample(backward ? attention_backward : attention_forward, m, flops, r->seconds, (int)r->machine.threads);
    json_t *row = json_object();
    char name[64];
    snprintf(name, sizeof name, "attention, %s, %zu x %zu", backward ? "backward" : "forward", m->world.n / seq, seq);
    bench_set_text(row, "name", name);
    bench_set(row, "gflops", flops / s.seconds / 1e9);
    bench_set(row, "rate", flops / s.seconds / 1e9);
    bench_set(row, "of_peak", s.flops_of_peak);
    bench_set(row, "ns_per_token", 1e9 * s.seconds / (double)m->world.n);
    bench_report_add(report, row);
}

/* Rows of 512 tokens and longer ones, the same tokens in all. */
static void run_attention(json_t *report, struct memory *m, const struct request *r)
{
    const struct bt_shape *s = &m->world.shape;
    for (size_t seq = r->tokens < 512 ? r->tokens : 512; seq <= r->tokens; seq *= 2) {
        m->world.n = r->tokens / seq * seq;
        m->world.attention = (struct bt_attention_shape){.rows = m->world.n / seq,
                                                         .seq = seq,
                                                         .heads = s->heads,
                                                         .kv_heads = s->kv_heads,
                                                         .head_dim = s->head_dim,
                                                         .first = m->world.first};
        measure_attention(report, m, r, false);
        measure_attention(report, m, r, true);
    }
}

static enum bt_err run(void *request, const struct bt_command_line *line, struct bt_diag *diag)
{
    struct request *r = request;
    char title[256];
    struct memory memory;
    enum bt_err err = bench_machine_begin(&r->machine, line, &r->compute, diag);
    if (err)
        return err;
    if (r->tokens > 1u << 20 || r->megabytes > 1u << 16)
        return bt_fail(diag, BT_EUSAGE, "--tokens or --megabytes: nobody has that much memory");
    snprintf(title, sizeof title, "Kernels of %s, %zu tokens, %d threads, %s", r->shape_name, (size_t)r->tokens,
             (int)r->machine.threads, bt_cpu_level_name(r->compute.kernels.level));
    json_t *report = bench_report("kernels", title, "rate", columns, COUNT(columns), (int)r->machine.threads);
    if ((err = open_memory(&memory, r, diag)))
        goto done;
    if (strcmp(r->only, "attention") != 0)
        run_memory_bound(report, &memory, r);
    if (strcmp(r->only, "memory") != 0)
        run_attention(report, &memory, r);
done:
    bt_arena_finish(&memory.arena);
    if (!err)
        return bench_report_end(report, r->machine.json, diag);
    json_decref(report);
    return err;
}

int main(int argc, char **argv)
{
    struct request r = {.shape_name = "smollm2-135m", .only = "all", .tokens = 4096, .megabytes = 256, .seconds = 0.3};
    const struct bt_option options[] = {
        BENCH_OPTION_SHAPE(&r.shape_name),
        {"only", "all|memory|attention", BT_OPTION_CHOICE, &r.only, 0, "which of the kernels (default: all)"},
        {"tokens", "N", BT_OPTION_NUMBER, &r.tokens, 1, "of a call (default: 4096)"},
        {"megabytes", "N", BT_OPTION_NUMBER, &r.megabytes, 1, "that calls go through in turns (default: 256)"},
        {"seconds", "S", BT_OPTION_REAL, &r.seconds, 0, "for each kernel (default: 0.3)"},
        BENCH_OPTION_KERNELS(&r.machine.kernels),
        BENCH_OPTION_THREADS(&r.machine.threads),
        BENCH_OPTION_JSON(&r.machine.json)};
    const struct bt_program program = {"bench_kernels", "bench_kernels [OPTION...]",
                                       "Measures the kernels around the matrix products, one by one.", options,
                                       COUNT(options)};
    return bt_program_run(&program, argc, argv, run, &r);
}
