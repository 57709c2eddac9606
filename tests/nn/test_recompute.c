/* A model that keeps the inputs of its blocks alone and runs forward again inside each (BT_KEEP_INPUTS with gradients)
 * against one that keeps everything: the same bits of the loss and of every gradient, in less memory. */
#include "nn_world.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "model_checks.h"
#include "nn/block.h"

static struct bt_model *make(struct nn_world *world, enum bt_keep keep, const struct nn_quantisation *q)
{
    const struct bt_model_options options = {.rows = world->batch.rows,
                                             .seq = world->batch.seq,
                                             .ternary_weights = q->ternary,
                                             .int8_activations = q->int8,
                                             .gradients = true,
                                             .keep = keep};
    struct bt_model *model = NULL;
    struct bt_diag diag = {0};
    TEST_OK(bt_model_create(&world->params, &options, world->weights, world->gradients, &world->compute, &model, &diag),
            diag);
    bt_model_prepare(model);
    return model;
}

/* Two passes that add up, as with gradient accumulation, so that each begins with buffers that another one has used;
 * a validation stands between them. The losses are returned, the gradients stay in the world's buffer. */
static void pass(struct nn_world *world, enum bt_keep keep, const struct nn_quantisation *q, double losses[3])
{
    struct bt_model *model = make(world, keep, q);
    memset(world->gradients, 0, world->params.total * sizeof(float));
    losses[0] = bt_model_backward(model, &world->batch, q->lambda, 0.5f);
    world->batch.rows--;
    losses[1] = world->batch.rows ? bt_model_loss(model, &world->batch, q->lambda) : 0.0;
    world->batch.rows++;
    losses[2] = bt_model_backward(model, &world->batch, q->lambda, 0.25f);
    bt_model_destroy(model);
}

/* On one thread and on three. */
static void compare(struct nn_world *world, const struct nn_quantisation *q, const char *name)
{
    const size_t bytes = world->params.total * sizeof(float);
    double want[3], got[3];
    float *gradients = malloc(bytes);
    assert_non_null(gradients);
    omp_set_num_threads(1);
    pass(world, BT_KEEP_ALL, q, want);
    memcpy(gradients, world->gradients, bytes);
    omp_set_num_threads(3);
    pass(world, BT_KEEP_INPUTS, q, got);
    if (memcmp(got, want, sizeof want) || memcmp(world->gradients, gradients, bytes))
        fail_msg("%s, %s%s products, ternary %d, int8 %d, lambda %g: other bits", name, world->compute.matmul->name,
                 world->compute.int16_gradient ? ", int16" : "", q->ternary, q->int8, (double)q->lambda);
    free(gradients);
}

/* Every quantisation on the best products of the machine; full quantisation and none on all others. */
static void compare_case(const struct nn_case *c, enum nn_layout layout)
{
    static const struct nn_quantisation plain = {false, false, 0.0f}, full = {true, true, 1.0f};
    struct bt_compute computes[NN_MAX_COMPUTES];
    const size_t count = nn_computes(computes);
    struct nn_world world;
    nn_world_init(&world, &c->shape, c->rows, c->seq, layout, 1);
    for (size_t k = 0; k < nn_quantised_count; k++)
        compare(&world, &nn_quantised[k], c->name);
    for (size_t i = 0; i < count; i++) {
        world.compute = computes[i];
        compare(&world, &plain, c->name);
        world.compute.int16_gradient = world.compute.int8_forward;
        compare(&world, &full, c->name);
    }
    nn_world_finish(&world);
}

static void the_bits_are_the_same(void **state)
{
    (void)state;
    const int before = omp_get_max_threads();
    for (size_t i = 0; i < nn_case_count; i++)
        for (int layout = NN_PLAIN; layout <= NN_PACKED; layout++)
            compare_case(&nn_cases[i], (enum nn_layout)layout);
    omp_set_num_threads(before);
}

/* A part of the layers in float, so that a group has layers of both kinds. */
static void excluded_layers_too(void **state)
{
    static char keys[] = "model.layers.0.self_attn.k_proj", ffn[] = "model.layers.1.mlp.*";
    char *const globs[] = {keys, ffn};
    static const struct nn_quantisation full = {true, true, 1.0f};
    const int before = omp_get_max_threads();
    struct nn_world world;
    struct bt_diag diag = {0};
    (void)state;
    nn_world_init(&world, &nn_cases[4].shape, nn_cases[4].rows, nn_cases[4].seq, NN_PACKED, 1);
    TEST_OK(bt_params_exclude(&world.params, globs, BT_ARRAY_LEN(globs), &diag), diag);
    compare(&world, &full, nn_cases[4].name);
    nn_world_finish(&world);
    omp_set_num_threads(before);
}

static size_t memory_of(size_t layers, enum bt_keep keep)
{
    struct bt_shape shape = nn_cases[0].shape;
    struct bt_params params;
    struct bt_diag diag = {0};
    const struct bt_model_options options = {.rows = 4, .seq = 256, .gradients = true, .keep = keep};
    shape.layers = layers;
    TEST_OK(bt_params_init(&params, &shape, &diag), diag);
    const size_t memory = bt_model_memory(&params, &options);
    bt_params_finish(&params);
    return memory;
}

/* One more block costs its input and its views. */
static void a_block_costs_its_input(void **state)
{
    (void)state;
    const size_t input = 4 * 256 * nn_cases[0].shape.hidden * sizeof(float), views = sizeof(struct bt_block) + 64;
    const size_t kept = memory_of(9, BT_KEEP_INPUTS) - memory_of(8, BT_KEEP_INPUTS);
    assert_true(kept >= input && kept <= input + views);
    assert_true(memory_of(9, BT_KEEP_ALL) - memory_of(8, BT_KEEP_ALL) > 5 * kept);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_bits_are_the_same),
        cmocka_unit_test(excluded_layers_too),
        cmocka_unit_test(a_block_costs_its_input),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
