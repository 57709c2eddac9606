/* Tokens a second of inference, at the shape of TinyLlama-1.1B with random ternary weights: a prompt, then one token
 * after the other.
 *
 *   bench_decode [--threads N] [--prompt N] [--tokens N] [--head auto|f32|bf16|int8] [--kernels LEVEL] */
#include <inttypes.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/cpu.h"
#include "base/rng.h"
#include "nn/infer.h"

static const struct bt_shape tiny_llama = {.vocab = 32000,
                                           .hidden = 2048,
                                           .ffn = 5632,
                                           .layers = 22,
                                           .heads = 32,
                                           .kv_heads = 4,
                                           .head_dim = 64,
                                           .eps = 1e-5f,
                                           .rope = {.theta = 10000.0}};

struct request {
    size_t threads, prompt, tokens;
    enum bt_infer_head head;
    enum bt_cpu_level level;
};

static const char *const heads[] = {"auto", "f32", "bf16", "int8"};

static int index_of(const char *word, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!strcmp(word, words[i]))
            return (int)i;
    fprintf(stderr, "bench_decode: \"%s\" is not known\n", word);
    exit(2);
}

static struct request read_arguments(int argc, char **argv)
{
    const char *const levels[] = {"portable", "avx2", "avx512"};
    struct request r = {(size_t)bt_cpu_count(), 256, 64, BT_INFER_HEAD_AUTO, BT_CPU_AVX512};
    for (int i = 1; i + 1 < argc; i += 2) {
        const size_t number = strtoull(argv[i + 1], NULL, 10);
        if (!strcmp(argv[i], "--threads"))
            r.threads = number;
        else if (!strcmp(argv[i], "--prompt"))
            r.prompt = number;
        else if (!strcmp(argv[i], "--tokens"))
            r.tokens = number;
        else if (!strcmp(argv[i], "--head"))
            r.head = (enum bt_infer_head)index_of(argv[i + 1], heads, 4);
        else
            r.level = (enum bt_cpu_level)index_of(argv[i + 1], levels, 3);
    }
    return r;
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

static struct bt_infer *make_engine(const struct bt_params *params, const struct request *r,
                                    const struct bt_compute *compute)
{
    const struct bt_infer_options options = {.context = r->prompt + r->tokens,
                                             .ternary_weights = true,
                                             .int8_activations = true,
                                             .lambda = 1.0f,
                                             .head = r->head};
    struct bt_infer *engine = NULL;
    struct bt_diag diag = {""};
    float *w = malloc(tiny_llama.vocab * tiny_llama.hidden * sizeof *w);
    if (!w || bt_infer_create(params, &options, random_tensor, w, compute, &engine, &diag)) {
        fprintf(stderr, "bench_decode: %s\n", w ? diag.text : "out of memory");
        exit(5);
    }
    free(w);
    return engine;
}

static void run(struct bt_infer *engine, const struct request *r, int32_t *ids, float *logits)
{
    const double begin = bt_clock_seconds();
    bt_infer_feed(engine, ids, r->prompt, logits);
    const double prompt = bt_clock_seconds();
    for (size_t i = 0; i < r->tokens; i++)
        bt_infer_feed(engine, ids + i % r->prompt, 1, logits);
    const double end = bt_clock_seconds(), decode = (double)r->tokens / (end - prompt);
    printf("threads %zu  head %s  weights %.1f MB  prompt %.1f tokens/s  decode %.2f tokens/s  %.1f GB/s\n", r->threads,
           heads[r->head], 1e-6 * (double)bt_infer_weight_bytes(engine), (double)r->prompt / (prompt - begin), decode,
           1e-9 * decode * (double)bt_infer_weight_bytes(engine));
}

int main(int argc, char **argv)
{
    const struct request r = read_arguments(argc, argv);
    struct bt_params params;
    struct bt_compute compute;
    struct bt_diag diag = {""};
    if (!r.prompt || !r.tokens || bt_params_init(&params, &tiny_llama, &diag))
        return 2;
    omp_set_num_threads((int)r.threads);
    bt_compute_init(&compute, r.level);
    int32_t *ids = malloc(r.prompt * sizeof *ids);
    float *logits = malloc(tiny_llama.vocab * sizeof *logits);
    if (!ids || !logits)
        return 5;
    for (size_t i = 0; i < r.prompt; i++)
        ids[i] = (int32_t)bt_rng_below(3, i, tiny_llama.vocab);
    struct bt_infer *engine = make_engine(&params, &r, &compute);
    run(engine, &r, ids, logits);
    bt_infer_destroy(engine);
    bt_params_finish(&params);
    free(ids);
    free(logits);
    return 0;
}
