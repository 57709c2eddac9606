/* Matrix products alone, at the shapes of an update: float32 by our own kernels, by oneDNN and in portable C, and at
 * lambda 1 on codes (int8 x ternary forward, int16 gradients backward), each against the float32 peak that is measured
 * before and after every call. */
#include <stdio.h>
#include <string.h>

#include "arguments.h"
#include "base/mem.h"
#include "sample.h"

struct request {
    struct bench_machine machine;
    const char *shape_name;
    uint64_t tokens;
    double seconds;
    struct bt_compute compute;
};

static const struct bench_column columns[] = {{"name", "product", 0},
                                              {"m", "m", 0},
                                              {"n", "n", 0},
                                              {"k", "k", 0},
                                              {"own_gflops", "own", 1},
                                              {"own_of_peak", "of peak", 2},
                                              {"onednn_gflops", "oneDNN", 1},
                                              {"onednn_of_peak", "of peak", 2},
                                              {"portable_gflops", "portable", 1},
                                              {"portable_of_peak", "of peak", 2},
                                              {"codes_gflops", "codes", 1},
                                              {"codes_of_peak", "of peak", 2}};

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

/* y (tokens, out) = x (tokens, in) w (out, in)^T and its backward products, in both kinds of operands. */
struct linear {
    size_t tokens, out, in;
    float *x, *w, *y, *a;
    int8_t *x_codes, *w_codes;
};

static size_t carve(struct linear *l, struct bt_arena *arena)
{
    l->x = bt_arena_take(arena, l->tokens * l->in, sizeof(float));
    l->w = bt_arena_take(arena, l->out * l->in, sizeof(float));
    l->y = bt_arena_take(arena, l->tokens * l->out, sizeof(float));
    l->a = bt_arena_take(arena, l->tokens, sizeof(float));
    l->x_codes = bt_arena_take(arena, l->tokens * l->in, 1);
    l->w_codes = bt_arena_take(arena, l->out * l->in, 1);
    return arena->used;
}

static void fill_floats(float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] = (float)((i * 2654435761u >> 8) & 65535) / 65536.0f - 0.499f;
}

static void fill_codes(int8_t *codes, size_t n, int limit)
{
    for (size_t i = 0; i < n; i++)
        codes[i] = (int8_t)((int)((i * 2654435761u >> 9) % (2 * (size_t)limit + 1)) - limit);
}

static void fill(const struct linear *l)
{
    fill_floats(l->x, l->tokens * l->in);
    fill_floats(l->w, l->out * l->in);
    fill_floats(l->y, l->tokens * l->out);
    for (size_t i = 0; i < l->tokens; i++)
        l->a[i] = 1.0f;
    fill_codes(l->x_codes, l->tokens * l->in, 127);
    fill_codes(l->w_codes, l->out * l->in, 1);
}

/* ---- one product ---- */

struct work {
    const struct linear *l;
    enum bt_product kind;
    const struct bt_matmul *matmul;
    const struct bt_codes *codes;
};

static void multiply(void *context, unsigned call)
{
    const struct work *work = context;
    const struct linear *l = work->l;
    (void)call;
    if (work->kind == BT_NT)
        bt_matmul_run(work->matmul, BT_NT, l->tokens, l->out, l->in, l->x, l->w, l->y, false);
    else if (work->kind == BT_NN)
        bt_matmul_run(work->matmul, BT_NN, l->tokens, l->in, l->out, l->y, l->w, l->x, false);
    else
        bt_matmul_run(work->matmul, BT_TN, l->out, l->in, l->tokens, l->y, l->x, l->w, false);
}

static void multiply_codes(void *context, unsigned call)
{
    const struct work *work = context;
    const struct linear *l = work->l;
    (void)call;
    if (work->kind == BT_NT) {
        const struct bt_codes_product p = {.m = l->tokens,
                                           .n = l->out,
                                           .k = l->in,
                                           .codes = l->x_codes,
                                           .a = l->a,
                                           .t = l->w_codes,
                                           .s = 0.5f,
                                           .y = l->y};
        bt_codes_forward(work->codes, &p);
        return;
    }
    const bool to_x = work->kind == BT_NN;
    const struct bt_gradient_product p = {.m = to_x ? l->tokens : l->out,
                                          .n = l->in,
                                          .k = to_x ? l->out : l->tokens,
                                          .dy = l->y,
                                          .transposed = !to_x,
                                          .weight = to_x ? NULL : l->a,
                                          .b = to_x ? l->w_codes : l->x_codes,
                                          .scale = 0.5f,
                                          .c = to_x ? l->x : l->w};
    bt_codes_gradient(work->codes, &p);
}

/* ---- a row of the table ---- */

/* name: of the implementation. */
static void measure(json_t *row, const char *name, void (*run)(void *, unsigned), struct work *work,
                    const struct request *r)
{
    char key[64];
    const double flops = 2.0 * (double)work->l->tokens * (double)work->l->out * (double)work->l->in;
    const struct bench_sample s = bench_sample(run, work, flops, r->seconds, (int)r->machine.threads);
    snprintf(key, sizeof key, "%s_gflops", name);
    bench_set(row, key, flops / s.seconds / 1e9);
    snprintf(key, sizeof key, "%s_of_peak", name);
    bench_set(row, key, s.flops_of_peak);
}

static void measure_all(json_t *row, const struct linear *l, enum bt_product kind, bool block, const struct request *r)
{
    struct work work = {.l = l, .kind = kind, .codes = r->compute.codes};
    work.matmul = bt_matmul_portable(r->compute.kernels.level);
    measure(row, "own", multiply, &work, r);
    if ((work.matmul = bt_matmul_onednn()))
        measure(row, "onednn", multiply, &work, r);
    work.matmul = bt_matmul_portable(BT_CPU_PORTABLE);
    measure(row, "portable", multiply, &work, r);
    if (block)
        measure(row, "codes", multiply_codes, &work, r);
}

static enum bt_err run_linear(json_t *report, const char *name, struct linear l, bool block, const struct request *r,
                              struct bt_diag *diag)
{
    static const char *const kinds[] = {[BT_NT] = "forward", [BT_NN] = "to x", [BT_TN] = "to w"};
    struct bt_arena arena = {0};
    char text[64];
    const size_t bytes = carve(&l, &arena);
    if (arena.overflow || !bt_arena_init(&arena, bytes))
        return bt_fail(diag, BT_ENOMEM, "out of memory: no %zu bytes for operands", bytes);
    carve(&l, &arena);
    fill(&l);
    for (int kind = BT_NT; kind <= BT_TN; kind++) {
        json_t *row = json_object();
        snprintf(text, sizeof text, "%s, %s", name, kinds[kind]);
        bench_set_text(row, "name", text);
        bench_set(row, "m", (double)(kind == BT_TN ? l.out : l.tokens));
        bench_set(row, "n", (double)(kind == BT_NT ? l.out : l.in));
        bench_set(row, "k", (double)(kind == BT_NT ? l.in : kind == BT_NN ? l.out : l.tokens));
        measure_all(row, &l, (enum bt_product)kind, block, r);
        bench_report_add(report, row);
    }
    bt_arena_finish(&arena);
    return BT_OK;
}

/* Linear layers of one shape count once; the head as it is run, in slices of about 64 MiB of logits (nn/head.c). */
static enum bt_err run_shape(json_t *report, const struct request *r, struct bt_diag *diag)
{
    const struct bt_shape s = bench_shape(r->shape_name);
    const size_t q = s.heads * s.head_dim, kv = s.kv_heads * s.head_dim, slice = ((size_t)1 << 24) / s.vocab;
    const size_t n = r->tokens, rows = slice < 1024 ? slice : 1024;
    enum bt_err err = BT_OK;
    if ((err = run_linear(report, "q, o", (struct linear){.tokens = n, .out = q, .in = s.hidden}, true, r, diag)) ||
        (err = run_linear(report, "k, v", (struct linear){.tokens = n, .out = kv, .in = s.hidden}, true, r, diag)) ||
        (err = run_linear(report, "gate, up", (struct linear){.tokens = n, .out = s.ffn, .in = s.hidden}, true, r,
                          diag)) ||
        (err = run_linear(report, "down", (struct linear){.tokens = n, .out = s.hidden, .in = s.ffn}, true, r, diag)))
        return err;
    return run_linear(report, "head", (struct linear){.tokens = rows < n ? rows : n, .out = s.vocab, .in = s.hidden},
                      false, r, diag);
}

static enum bt_err run(void *request, const struct bt_command_line *line, struct bt_diag *diag)
{
    struct request *r = request;
    char title[256];
    enum bt_err err = bench_machine_begin(&r->machine, line, &r->compute, diag);
    if (err)
        return err;
    if (r->tokens > 1u << 20)
        return bt_fail(diag, BT_EUSAGE, "--tokens: nobody has that much memory");
    snprintf(title, sizeof title,
             "Products of %s, %zu tokens, %d threads: GFLOP/s (of codes: GOP/s), and what that is of the float32 peak "
             "measured around each; own: %s, codes: %s",
             r->shape_name, (size_t)r->tokens, (int)r->machine.threads,
             bt_matmul_portable(r->compute.kernels.level)->name, r->compute.codes->name);
    json_t *report = bench_report("products", title, "own_gflops", columns, COUNT(columns), (int)r->machine.threads);
    if ((err = run_shape(report, r, diag))) {
        json_decref(report);
        return err;
    }
    return bench_report_end(report, r->machine.json, diag);
}

int main(int argc, char **argv)
{
    struct request r = {.shape_name = "smollm2-135m", .tokens = 2048, .seconds = 0.3};
    const struct bt_option options[] = {
        BENCH_OPTION_SHAPE(&r.shape_name),
        {"tokens", "N", BT_OPTION_NUMBER, &r.tokens, 1, "rows of the activations (default: 2048)"},
        {"seconds", "S", BT_OPTION_REAL, &r.seconds, 0, "for each product and implementation (default: 0.3)"},
        BENCH_OPTION_KERNELS(&r.machine.kernels),
        BENCH_OPTION_THREADS(&r.machine.threads),
        BENCH_OPTION_JSON(&r.machine.json)};
    const struct bt_program program = {"bench_products", "bench_products [OPTION...]",
                                       "Measures the matrix products of a training update, one by one.", options,
                                       COUNT(options)};
    return bt_program_run(&program, argc, argv, run, &r);
}
