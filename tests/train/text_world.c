#include "support.h"

#include "text_world.h"

#include <stdlib.h>
#include <string.h>

#include "text/bytes.h"

/* A few ids more than the tokenizer has. */
static const struct bt_shape shape = {.vocab = BT_BYTES_VOCAB + 6,
                                      .hidden = 32,
                                      .ffn = 48,
                                      .layers = 2,
                                      .heads = 4,
                                      .kv_heads = 2,
                                      .head_dim = 8,
                                      .eps = 1e-5f,
                                      .sub_norm = true,
                                      .rope = {.theta = 10000.0}};

struct text_world text_world;

int text_world_setup(void **state)
{
    struct text_world *world = &text_world;
    const struct bt_infer_options options = {
        .context = TEXT_CONTEXT, .ternary_weights = true, .int8_activations = true, .lambda = 1.0f};
    struct bt_diag diag = {0};
    (void)state;
    *world = (struct text_world){.dir = test_make_dir(), .shape = shape};
    TEST_OK(bt_params_init(&world->params, &world->shape, &diag), diag);
    world->weights = calloc(world->params.total, sizeof *world->weights);
    assert_non_null(world->weights);
    bt_params_randomize(&world->params, world->weights, 11, 0.5);
    bt_compute_init(&world->compute, BT_CPU_AVX512);
    TEST_OK(bt_infer_create(&world->params, &options, bt_infer_flat_tensor, world->weights, &world->compute,
                            &world->engine, &diag),
            diag);
    TEST_OK(bt_bytes_write_tokenizer(world->dir, &diag), diag);
    TEST_OK(bt_tokenizer_open(world->dir, &world->tokenizer, &diag), diag);
    return 0;
}

int text_world_teardown(void **state)
{
    struct text_world *world = &text_world;
    (void)state;
    bt_tokenizer_close(world->tokenizer);
    bt_infer_destroy(world->engine);
    bt_params_finish(&world->params);
    free(world->weights);
    test_remove_dir(world->dir);
    return 0;
}

float *text_world_logits(const int32_t *ids, size_t n)
{
    const struct text_world *world = &text_world;
    const struct bt_model_options options = {.rows = 1, .seq = n, .ternary_weights = true, .int8_activations = true};
    struct bt_model *model = NULL;
    struct bt_diag diag = {0};
    float *logits = calloc(n * world->shape.vocab, sizeof *logits);
    int32_t *numbers = calloc(3 * n, sizeof *numbers);
    assert_true(logits && numbers);
    struct bt_batch batch = {.rows = 1, .seq = n, .ids = numbers, .position = numbers + n, .first = numbers + 2 * n};
    memcpy(batch.ids, ids, n * sizeof *ids);
    for (size_t i = 0; i < n; i++)
        batch.position[i] = (int32_t)i;
    TEST_OK(bt_model_create(&world->params, &options, world->weights, NULL, &world->compute, &model, &diag), diag);
    bt_model_prepare(model);
    bt_model_logits(model, &batch, 1.0f, logits);
    bt_model_destroy(model);
    free(numbers);
    return logits;
}
