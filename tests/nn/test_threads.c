/* The same bits for any number of threads: loss, every gradient, the norm, and the weights after an update. */
#include "nn_world.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

/* Large enough that products are cut into tiles, sums into blocks and buffers into pieces. */
static const struct bt_shape shape = {.vocab = 701,
                                      .hidden = 128,
                                      .ffn = 264,
                                      .layers = 2,
                                      .heads = 8,
                                      .kv_heads = 2,
                                      .head_dim = 16,
                                      .eps = 1e-5f,
                                      .tied = true,
                                      .qkv_bias = true,
                                      .mlp_bias = true,
                                      .qk_norm = true,
                                      .sub_norm = true,
                                      .rope = {.theta = 10000.0},
                                      .window = 50,
                                      .window_from = 1};
enum { ROWS = 2, SEQ = 120 };

/* One update from the start: loss, norm, then gradients, weights and moments one after the other. */
struct outcome {
    double loss, norm;
    float *buffers; /* (4 * total) */
};

static void run(struct outcome *out, struct nn_world *world, const float *start, float lambda, int threads)
{
    const size_t total = world->params.total;
    const struct bt_adamw step = {.lr = 1e-2f,
                                  .beta1 = 0.9f,
                                  .beta2 = 0.95f,
                                  .eps = 1e-8f,
                                  .weight_decay = 0.1f,
                                  .gradient_scale = 0.7f,
                                  .correction1 = 0.1f,
                                  .correction2 = 0.05f};
    float *const gradients = out->buffers, *const weights = gradients + total;
    omp_set_num_threads(threads);
    memcpy(world->weights, start, total * sizeof *start);
    bt_model_prepare(world->model);
    out->loss = nn_world_backward(world, lambda, 1.0f / (ROWS * SEQ));
    out->norm = world->compute.kernels.sum_squares(world->gradients, total);
    memcpy(gradients, world->gradients, total * sizeof *start);
    memset(weights, 0, 3 * total * sizeof *start);
    memcpy(weights, start, total * sizeof *start);
    world->compute.kernels.adamw(weights, weights + total, weights + 2 * total, gradients, total, &step);
}

static void check_threads(const struct bt_compute *compute, bool quantised, float lambda)
{
    const int threads[] = {2, 3, 8, 16};
    struct nn_world world;
    struct outcome one, many;
    nn_world_init(&world, &shape, ROWS, SEQ, NN_PACKED, 1);
    world.compute = *compute;
    nn_world_model(&world, quantised, quantised);
    const size_t bytes = world.params.total * sizeof(float);
    float *start = malloc(bytes);
    one.buffers = malloc(4 * bytes);
    many.buffers = malloc(4 * bytes);
    assert_true(start && one.buffers && many.buffers);
    memcpy(start, world.weights, bytes);
    run(&one, &world, start, lambda, 1);
    for (size_t i = 0; i < BT_ARRAY_LEN(threads); i++) {
        run(&many, &world, start, lambda, threads[i]);
        if (one.loss != many.loss || one.norm != many.norm || memcmp(one.buffers, many.buffers, 4 * bytes))
            fail_msg("%s, lambda %g: %d threads give other bits than one", compute->matmul->name, (double)lambda,
                     threads[i]);
    }
    free(start);
    free(one.buffers);
    free(many.buffers);
    nn_world_finish(&world);
}

static void bits_do_not_depend_on_threads(void **state)
{
    (void)state;
    const int before = omp_get_max_threads();
    struct bt_compute computes[NN_MAX_COMPUTES];
    const size_t count = nn_computes(computes);
    for (size_t i = 0; i < count; i++) {
        check_threads(&computes[i], false, 1.0f);
        check_threads(&computes[i], true, 0.5f);
        check_threads(&computes[i], true, 1.0f);
        if (computes[i].int8_forward) {
            computes[i].int16_gradient = true;
            check_threads(&computes[i], true, 1.0f);
        }
    }
    omp_set_num_threads(before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bits_do_not_depend_on_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
