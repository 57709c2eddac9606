/* Tokens a second of inference, with random ternary weights: a prompt, then one token after the other, which is bound
 * by the memory that the weights are read from. */
#include <stdio.h>
#include <string.h>

#include "arguments.h"
#include "base/mem.h"
#include "base/rng.h"
#include "nn/infer.h"
#include "peak.h"

struct request {
    struct bench_machine machine;
    const char *shape_name, *head;
    uint64_t prompt, tokens;
    struct bt_shape shape;
    struct bt_compute compute;
};

static const struct bench_column columns[] = {{"name", "head", 0},
                                              {"weights_mb", "weights MB", 1},
                                              {"prompt_tokens_per_second", "prompt tokens/s", 1},
                                              {"tokens_per_second", "decode tokens/s", 2},
                                              {"gbs", "GB/s", 1},
                                              {"of_copy", "of copy", 2},
                                              {"memory_gb", "memory GB", 2}};

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

static enum bt_infer_head head_of(const char *name)
{
    static const char *const heads[] = {"auto", "f32", "bf16", "int8"};
    for (size_t i = 0; i < COUNT(heads); i++)
        if (!strcmp(name, heads[i]))
            return (enum bt_infer_head)i;
    return BT_INFER_HEAD_AUTO;
}

/* Uniform weights: any will do, and there are a billion of them. */
static const float *random_tensor(void *context, const struct bt_param *param)
{
    float *w = context;
    const uint64_t key = bt_rng_key(1, param->name);
    if (param->rank == 1) {
        for (size_t i = 0; i < param->count; i++)
            w[i] = 1.0f;
        return w;
    }
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < param->count; i++)
        w[i] = (float)((int32_t)((uint32_t)((key + i) * 0x9e3779b97f4a7c15u >> 32))) * 1e-11f;
    return w;
}

static enum bt_err make_engine(const struct bt_params *params, const struct request *r, struct bt_infer **ret_engine,
                               struct bt_diag *diag)
{
    const struct bt_infer_options options = {.context = r->prompt + r->tokens,
                                             .ternary_weights = true,
                                             .int8_activations = true,
                                             .lambda = 1.0f,
                                             .head = head_of(r->head)};
    float *w = bt_alloc((r->shape.vocab > r->shape.ffn ? r->shape.vocab : r->shape.ffn) * r->shape.hidden * sizeof *w);
    if (!w)
        return bt_fail(diag, BT_ENOMEM, "out of memory");
    const enum bt_err err = bt_infer_create(params, &options, random_tensor, w, &r->compute, ret_engine, diag);
    bt_free(w);
    return err;
}

static void measure(struct bt_infer *engine, const struct request *r, json_t *report, int32_t *ids, float *logits)
{
    for (size_t i = 0; i < r->prompt; i++)
        ids[i] = (int32_t)bt_rng_below(3, i, r->shape.vocab);
    const double begin = bench_seconds((int)r->machine.threads);
    bt_infer_feed(engine, ids, r->prompt, logits);
    const double prompt = bench_seconds((int)r->machine.threads);
    for (size_t i = 0; i < r->tokens; i++)
        bt_infer_feed(engine, ids + i % r->prompt, 1, logits);
    const double decode = (double)r->tokens / (bench_seconds((int)r->machine.threads) - prompt);
    const double bytes = (double)bt_infer_weight_bytes(engine);
    json_t *row = json_object();
    bench_set_text(row, "name", r->head);
    bench_set(row, "weights_mb", 1e-6 * bytes);
    bench_set(row, "prompt_tokens_per_second", (double)r->prompt / (prompt - begin));
    bench_set(row, "tokens_per_second", decode);
    bench_set(row, "gbs", 1e-9 * decode * bytes);
    /* a copy's bytes are half reads and half writes; decoding only reads */
    bench_set(row, "of_copy", 1e-9 * decode * bytes / bench_report_peak(report, "copy_gbs"));
    bench_set(row, "memory_gb", bench_memory_peak() / 1e9);
    bench_report_add(report, row);
}

static enum bt_err run_engine(const struct request *r, json_t *report, struct bt_diag *diag)
{
    struct bt_params params = {0};
    struct bt_infer *engine = NULL;
    int32_t *ids = bt_alloc(r->prompt * sizeof *ids);
    float *logits = bt_alloc(r->shape.vocab * sizeof *logits);
    enum bt_err err = ids && logits ? BT_OK : bt_fail(diag, BT_ENOMEM, "out of memory");
    bench_memory_reset();
    if (!err && !(err = bt_params_init(&params, &r->shape, diag)) && !(err = make_engine(&params, r, &engine, diag)))
        measure(engine, r, report, ids, logits);
    bt_infer_destroy(engine);
    bt_params_finish(&params);
    bt_free(ids);
    bt_free(logits);
    return err;
}

static enum bt_err run(void *request, const struct bt_command_line *line, struct bt_diag *diag)
{
    struct request *r = request;
    char title[256];
    enum bt_err err = bench_machine_begin(&r->machine, line, &r->compute, diag);
    if (err)
        return err;
    if (r->prompt > 1u << 20 || r->tokens > 1u << 20)
        return bt_fail(diag, BT_EUSAGE, "--prompt or --tokens: nobody has that much memory");
    r->shape = bench_shape(r->shape_name);
    r->shape.sub_norm = false;
    snprintf(title, sizeof title, "Inference of %s, a prompt of %zu tokens and %zu more, %d threads, %s", r->shape_name,
             (size_t)r->prompt, (size_t)r->tokens, (int)r->machine.threads,
             bt_cpu_level_name(r->compute.kernels.level));
    json_t *report =
        bench_report("decode", title, "tokens_per_second", columns, COUNT(columns), (int)r->machine.threads);
    if ((err = run_engine(r, report, diag))) {
        json_decref(report);
        return err;
    }
    return bench_report_end(report, r->machine.json, diag);
}

int main(int argc, char **argv)
{
    struct request r = {.shape_name = "tinyllama-1.1b", .head = "auto", .prompt = 256, .tokens = 64};
    const struct bt_option options[] = {
        {"shape", BENCH_SHAPES, BT_OPTION_CHOICE, &r.shape_name, 0, "of which model (default: tinyllama-1.1b)"},
        {"prompt", "N", BT_OPTION_NUMBER, &r.prompt, 1, "tokens that are fed at once (default: 256)"},
        {"tokens", "N", BT_OPTION_NUMBER, &r.tokens, 1, "tokens that are fed one by one (default: 64)"},
        {"head", "auto|f32|bf16|int8", BT_OPTION_CHOICE, &r.head, 0, "how the output head is kept (default: auto)"},
        BENCH_OPTION_KERNELS(&r.machine.kernels),
        BENCH_OPTION_THREADS(&r.machine.threads),
        BENCH_OPTION_JSON(&r.machine.json)};
    const struct bt_program program = {"bench_decode", "bench_decode [OPTION...]",
                                       "Measures inference of a model with random ternary weights.", options,
                                       COUNT(options)};
    return bt_program_run(&program, argc, argv, run, &r);
}
