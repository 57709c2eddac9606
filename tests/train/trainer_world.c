#include "trainer_world.h"

#include <stdlib.h>
#include <string.h>

#include "base/rng.h"

static const struct bt_shape tiny = {.vocab = WORLD_VOCAB,
                                     .hidden = 12,
                                     .ffn = 20,
                                     .layers = 2,
                                     .heads = 2,
                                     .kv_heads = 1,
                                     .head_dim = 6,
                                     .eps = 1e-5f,
                                     .tied = true,
                                     .qkv_bias = true,
                                     .sub_norm = true,
                                     .rope = {.theta = 10000.0}};

static const struct bt_cfg_train_stage quantised = {
    .present = true,
    .weights = BT_WEIGHTS_TERNARY,
    .activations = BT_ACTIVATIONS_INT8,
    .lambda_warmup = {.enabled = true, .warmup_steps = 4, .min = 0.0, .max = 1.0},
    .max_steps = 12,
    .batch_size = 2,
    .gradient_accumulation_steps = 1,
    .gradient_clipping = 1.0,
    .max_skipped_updates = 5,
    .optimizer = {.lr = 1e-2, .beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8, .weight_decay = 0.1},
    .scheduler = {.type = BT_SCHEDULE_COSINE, .warmup_steps = 2, .min_lr_ratio = 0.1}};

void trainer_world_init(struct trainer_world *world)
{
    struct bt_diag diag = {0};
    *world = (struct trainer_world){.shape = tiny, .config = quantised};
    corpus_init(&world->corpus);
    TEST_OK(bt_params_init(&world->params, &world->shape, &diag), diag);
    world->weights = calloc(world->params.total, sizeof(float));
    world->start = calloc(world->params.total, sizeof(float));
    assert_true(world->weights && world->start);
    bt_params_randomize(&world->params, world->start, 7, 0.3);
    bt_compute_init(&world->compute, BT_CPU_AVX512);
}

void trainer_world_finish(struct trainer_world *world)
{
    bt_rows_close(world->rows);
    corpus_finish(&world->corpus);
    bt_params_finish(&world->params);
    free(world->weights);
    free(world->start);
}

void trainer_world_add_documents(struct trainer_world *world, double weight, size_t documents, uint64_t seed)
{
    static struct token_list list;
    list.n = 0;
    corpus_add_source(&world->corpus, weight);
    for (size_t d = 0; d < documents; d++) {
        const size_t length = 1 + bt_rng_below(seed, 100 * d, 12);
        token_list_add(&list, B);
        for (size_t i = 1; i < length; i++)
            token_list_add(&list, (int32_t)(3 + bt_rng_below(seed, 100 * d + i, WORLD_VOCAB - 3)));
        for (size_t i = d % 3; i < 2; i++) /* an A that no B follows has no label */
            token_list_add(&list, A);
    }
    corpus_add_shard(&world->corpus, 'a', list.tokens, list.n, 2);
}

void trainer_world_add_unlabelled(struct trainer_world *world, double weight, size_t tokens)
{
    static struct token_list list;
    list.n = 0;
    corpus_add_source(&world->corpus, weight);
    for (size_t i = 0; i < tokens; i++)
        token_list_add(&list, A);
    corpus_add_shard(&world->corpus, 'a', list.tokens, list.n, 2);
}

void trainer_world_open_rows(struct trainer_world *world)
{
    struct bt_rows_options options = packed_options;
    options.after = A;
    options.vocab_size = WORLD_VOCAB;
    world->rows = corpus_open(&world->corpus, options, WORLD_SEQ);
}

struct bt_trainer *trainer_world_start(struct trainer_world *world, int64_t updates)
{
    struct bt_trainer *trainer = NULL;
    struct bt_diag diag = {0};
    memcpy(world->weights, world->start, world->params.total * sizeof(float));
    TEST_OK(bt_trainer_create(&world->config, &world->params, world->weights, world->rows, WORLD_SEQ, updates,
                              &world->compute, NULL, &trainer, &diag),
            diag);
    TEST_OK(bt_trainer_begin(trainer, &diag), diag);
    return trainer;
}

struct bt_update_report trainer_world_run(struct bt_trainer *trainer, size_t updates)
{
    struct bt_update_report report = {0};
    struct bt_diag diag = {0};
    for (size_t i = 0; i < updates; i++) {
        TEST_OK(bt_trainer_update(trainer, &report, &diag), diag);
        assert_true(report.applied);
    }
    return report;
}
