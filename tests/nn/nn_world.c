#include "nn_world.h"

#include <stdlib.h>
#include <string.h>

#include "base/rng.h"

#define PLAIN_ROPE                                                                                                     \
    {                                                                                                                  \
        .theta = 10000.0                                                                                               \
    }
#define LINEAR_ROPE                                                                                                    \
    {                                                                                                                  \
        .theta = 500.0, .scaling = BT_ROPE_SCALING_LINEAR, .factor = 2.5                                               \
    }
/* Wavelengths of 6.3 and, for four pairs, 14, 31 and 69 tokens: kept, blended and divided ones. */
#define LLAMA3_ROPE                                                                                                    \
    {                                                                                                                  \
        .theta = 24.0, .scaling = BT_ROPE_SCALING_LLAMA3, .factor = 4.0, .low_freq_factor = 1.0,                       \
        .high_freq_factor = 4.0, .original_max_position = 40.0                                                         \
    }

const struct nn_case nn_cases[] = {
    {"llama",
     {.vocab = 13,
      .hidden = 8,
      .ffn = 12,
      .layers = 2,
      .heads = 2,
      .kv_heads = 2,
      .head_dim = 4,
      .eps = 1e-5f,
      .tied = true,
      .rope = PLAIN_ROPE},
     2,
     6},
    {"qwen2, window in the upper layer",
     {.vocab = 17,
      .hidden = 8,
      .ffn = 10,
      .layers = 2,
      .heads = 4,
      .kv_heads = 2,
      .head_dim = 2,
      .eps = 1e-6f,
      .qkv_bias = true,
      .rope = PLAIN_ROPE,
      .window = 2,
      .window_from = 1},
     2,
     7},
    {"qwen3, wide heads",
     {.vocab = 11,
      .hidden = 6,
      .ffn = 9,
      .layers = 1,
      .heads = 3,
      .kv_heads = 1,
      .head_dim = 6,
      .eps = 1e-6f,
      .tied = true,
      .qk_norm = true,
      .rope = PLAIN_ROPE},
     1,
     8},
    {"bitnet",
     {.vocab = 12,
      .hidden = 8,
      .ffn = 14,
      .layers = 2,
      .heads = 2,
      .kv_heads = 1,
      .head_dim = 4,
      .eps = 1e-5f,
      .act = BT_ACT_RELU2,
      .tied = true,
      .sub_norm = true,
      .rope = PLAIN_ROPE},
     2,
     6},
    {"llama 3 with SubLN and all biases",
     {.vocab = 10,
      .hidden = 8,
      .ffn = 11,
      .layers = 2,
      .heads = 2,
      .kv_heads = 1,
      .head_dim = 8,
      .eps = 1e-5f,
      .qkv_bias = true,
      .o_bias = true,
      .mlp_bias = true,
      .sub_norm = true,
      .rope = LLAMA3_ROPE},
     2,
     7},
    {"everything at once, ragged",
     {.vocab = 131,
      .hidden = 21,
      .ffn = 37,
      .layers = 3,
      .heads = 6,
      .kv_heads = 2,
      .head_dim = 10,
      .eps = 1e-4f,
      .act = BT_ACT_RELU2,
      .qkv_bias = true,
      .o_bias = true,
      .mlp_bias = true,
      .qk_norm = true,
      .sub_norm = true,
      .rope = LINEAR_ROPE,
      .window = 3,
      .window_from = 0},
     1,
     6},
};
const size_t nn_case_count = BT_ARRAY_LEN(nn_cases);

void nn_fill_normal(float *out, size_t n, uint64_t seed, const char *purpose, double mean, double deviation)
{
    const uint64_t key = bt_rng_key(seed, purpose);
    for (size_t i = 0; i < n; i++)
        out[i] = (float)(mean + deviation * bt_rng_normal(key, i));
}

static void fill_weights(struct nn_world *world, uint64_t seed)
{
    for (size_t i = 0; i < world->params.count; i++) {
        const struct bt_param *p = &world->params.list[i];
        const bool bias = strstr(p->name, ".bias");
        const double mean = p->rank == 2 || bias ? 0.0 : 1.0;
        nn_fill_normal(world->weights + p->offset, p->count, seed, p->name, mean, p->rank == 2 ? 0.5 : 0.3);
    }
}

static int32_t *integers(size_t n)
{
    int32_t *p = calloc(n, sizeof *p);
    assert_non_null(p);
    return p;
}

/* Random documents until two places are left, which are padding. */
static void lay_documents(struct nn_world *world, uint64_t key, size_t row)
{
    struct bt_batch *b = &world->batch;
    const size_t begin = row * b->seq, text_end = b->seq - 2, longest = b->seq < 8 ? 4 : b->seq / 2;
    size_t at = 0;
    for (int32_t document = 0; at < b->seq; document++) {
        const bool text = at < text_end;
        const size_t first = at, end = at + (text ? 1 + bt_rng_below(key, begin + at, longest) : 1);
        for (; at < end && (at < text_end || !text); at++) {
            world->document[begin + at] = document;
            b->first[begin + at] = (int32_t)first;
            b->position[begin + at] = (int32_t)(at - first);
        }
    }
    for (at = text_end; at < b->seq; at++)
        b->ids[begin + at] = 0;
}

static void fill_batch(struct nn_world *world, size_t rows, size_t seq, enum nn_layout layout, uint64_t seed)
{
    const uint64_t key = bt_rng_key(seed, "batch"), masks = bt_rng_key(seed, "masks");
    const size_t n = rows * seq;
    struct bt_batch *b = &world->batch;
    *b = (struct bt_batch){.rows = rows,
                           .seq = seq,
                           .ids = integers(n),
                           .labels = integers(n),
                           .position = integers(n),
                           .first = integers(n)};
    world->document = integers(n);
    for (size_t i = 0; i < n; i++) {
        b->ids[i] = (int32_t)bt_rng_below(key, 2 * i, world->shape.vocab);
        b->labels[i] = (int32_t)bt_rng_below(key, 2 * i + 1, world->shape.vocab);
        b->position[i] = (int32_t)(i % seq);
    }
    for (size_t row = 0; row < rows && layout == NN_PACKED; row++)
        lay_documents(world, bt_rng_key(seed, "documents"), row);
    for (size_t i = 0; i < n && layout == NN_PACKED; i++)
        if (i % seq + 2 >= seq || bt_rng_below(masks, i, 4) == 0)
            b->labels[i] = BT_IGNORE_LABEL;
    for (size_t i = 0; i < n; i++)
        b->label_count += b->labels[i] != BT_IGNORE_LABEL;
    b->tokens = layout == NN_PACKED ? n - 2 * rows : n;
}

void nn_world_init(struct nn_world *world, const struct bt_shape *shape, size_t rows, size_t seq, enum nn_layout layout,
                   uint64_t seed)
{
    struct bt_diag diag = {0};
    *world = (struct nn_world){.shape = *shape};
    TEST_OK(bt_params_init(&world->params, &world->shape, &diag), diag);
    world->weights = calloc(world->params.total, sizeof(float));
    world->gradients = calloc(world->params.total, sizeof(float));
    assert_true(world->weights && world->gradients);
    bt_compute_init(&world->compute, BT_CPU_AVX512);
    fill_weights(world, seed);
    fill_batch(world, rows, seq, layout, seed);
}

void nn_world_finish(struct nn_world *world)
{
    bt_model_destroy(world->model);
    bt_params_finish(&world->params);
    free(world->weights);
    free(world->gradients);
    free(world->batch.ids);
    free(world->batch.labels);
    free(world->batch.position);
    free(world->batch.first);
    free(world->document);
}

void nn_world_model(struct nn_world *world, bool ternary, bool int8)
{
    const struct bt_model_options options = {.rows = world->batch.rows,
                                             .seq = world->batch.seq,
                                             .ternary_weights = ternary,
                                             .int8_activations = int8,
                                             .gradients = true};
    struct bt_diag diag = {0};
    bt_model_destroy(world->model);
    world->model = NULL;
    TEST_OK(bt_model_create(&world->params, &options, world->weights, world->gradients, &world->compute, &world->model,
                            &diag),
            diag);
    bt_model_prepare(world->model);
}

double nn_world_backward(struct nn_world *world, float lambda, float scale)
{
    memset(world->gradients, 0, world->params.total * sizeof(float));
    return bt_model_backward(world->model, &world->batch, lambda, scale);
}

size_t nn_computes(struct bt_compute *computes)
{
    const enum bt_cpu_level levels[] = {BT_CPU_PORTABLE, BT_CPU_AVX2, BT_CPU_AVX512};
    size_t count = 0;
    for (size_t i = 0; i < BT_ARRAY_LEN(levels) && levels[i] <= bt_cpu_level(); i++)
        for (int integers = 0; integers < 2; integers++, count++) {
            bt_compute_init(&computes[count], levels[i]);
            computes[count].int8_forward = integers;
        }
    if (bt_matmul_onednn()) {
        bt_compute_init(&computes[count], BT_CPU_AVX512);
        computes[count].int8_forward = false;
        computes[count++].matmul = bt_matmul_onednn();
    }
    return count;
}
