/* The whole model against a second one written in double precision, and its gradients against that one's finite
 * differences: float, and straight-through at every lambda. */
#include "model_checks.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A row longer than attention's tiles of 64, with a window that ends inside of one; float only. */
static const struct nn_case long_row = {"long row",
                                        {.vocab = 9,
                                         .hidden = 6,
                                         .ffn = 8,
                                         .layers = 1,
                                         .heads = 2,
                                         .kv_heads = 1,
                                         .head_dim = 4,
                                         .eps = 1e-5f,
                                         .rope = {.theta = 10000.0},
                                         .window = 20},
                                        1,
                                        70};

static void the_float_forward_is_the_formula_on_every_way_to_compute(void **state)
{
    (void)state;
    struct bt_compute computes[NN_MAX_COMPUTES];
    const size_t count = nn_computes(computes);
    for (size_t i = 0; i < nn_case_count; i++)
        for (int layout = NN_PLAIN; layout <= NN_PACKED; layout++) {
            const struct nn_setup setup = {.of = &nn_cases[i], .layout = (enum nn_layout)layout};
            struct nn_world world;
            struct reference r;
            nn_settle(&world, &r, &setup);
            for (size_t k = 0; k < count; k++) {
                world.compute = computes[k];
                nn_check_forward(&world, &r, nn_cases[i].name, 1.0f);
            }
            nn_unsettle(&world, &r);
        }
}

static void float_gradients_are_finite_differences(void **state)
{
    (void)state;
    for (int layout = NN_PLAIN; layout <= NN_PACKED; layout++) {
        for (size_t i = 0; i < nn_case_count; i++)
            nn_check(&(struct nn_setup){.of = &nn_cases[i], .layout = (enum nn_layout)layout}, true);
        nn_check(&(struct nn_setup){.of = &long_row, .layout = (enum nn_layout)layout}, true);
    }
}

/* Forward by the formulas; the gradients are those of the smooth model in which we - w and xe - x are constants. */
static void a_quantised_model_is_the_formula_and_its_gradients_straight_through(void **state)
{
    (void)state;
    for (size_t i = 0; i < nn_case_count; i++)
        for (size_t k = 0; k < nn_quantised_count; k++)
            nn_check(&(struct nn_setup){.of = &nn_cases[i],
                                        .layout = NN_PACKED,
                                        .ternary = nn_quantised[k].ternary,
                                        .int8 = nn_quantised[k].int8,
                                        .lambda = nn_quantised[k].lambda},
                     true);
}

static double norm_of(const float *g, size_t n)
{
    double sum = 0.0;
    for (size_t i = 0; i < n; i++)
        sum += (double)g[i] * (double)g[i];
    return sqrt(sum);
}

static void backward_adds_scales_and_returns_the_loss(void **state)
{
    (void)state;
    struct nn_world world;
    nn_world_init(&world, &nn_cases[4].shape, 2, 7, NN_PACKED, 1);
    nn_world_model(&world, true, true);
    const size_t total = world.params.total;
    float *once = malloc(total * sizeof *once);
    assert_non_null(once);
    const double loss = nn_world_backward(&world, 1.0f, 1.0f);
    memcpy(once, world.gradients, total * sizeof *once);
    assert_true(loss == bt_model_loss(world.model, &world.batch, 1.0f));
    assert_memory_equal(once, world.gradients, total * sizeof *once); /* a forward leaves them alone */

    assert_true(bt_model_backward(world.model, &world.batch, 1.0f, 0.5f) == loss);
    for (size_t i = 0; i < total; i++)
        assert_true(fabs((double)world.gradients[i] - 1.5 * (double)once[i]) <= 1e-5 * norm_of(once, total));
    free(once);
    nn_world_finish(&world);
}

/* A batch of fewer rows than the model has room for, and the same rows alone. */
static void a_smaller_batch_is_a_batch_of_its_own(void **state)
{
    (void)state;
    struct nn_world world;
    nn_world_init(&world, &nn_cases[1].shape, 2, 7, NN_PACKED, 1);
    nn_world_model(&world, true, true);
    struct bt_batch second = world.batch;
    second.ids += second.seq, second.labels += second.seq, second.position += second.seq, second.first += second.seq;
    second.rows = 1;
    const double both = bt_model_loss(world.model, &world.batch, 0.5f);
    world.batch.rows = 1;
    const double first = bt_model_loss(world.model, &world.batch, 0.5f);
    assert_true(fabs(first + bt_model_loss(world.model, &second, 0.5f) - both) <= 1e-6 * both);
    assert_true(first > 0.0 && first < both);
    nn_world_finish(&world);
}

/* A model without gradients computes the same; it borrows no gradient buffer and takes less memory. */
static void a_model_without_gradients_computes_the_same(void **state)
{
    (void)state;
    struct nn_world world;
    struct bt_model *forward = NULL;
    struct bt_diag diag = {0};
    nn_world_init(&world, &nn_cases[5].shape, 1, 6, NN_PACKED, 1);
    nn_world_model(&world, true, true);
    struct bt_model_options options = {.rows = 1, .seq = 6, .ternary_weights = true, .int8_activations = true};
    TEST_OK(bt_model_create(&world.params, &options, world.weights, NULL, &world.compute, &forward, &diag), diag);
    bt_model_prepare(forward);
    assert_true(bt_model_loss(forward, &world.batch, 1.0f) == bt_model_loss(world.model, &world.batch, 1.0f));
    bt_model_destroy(forward);
    const size_t less = bt_model_memory(&world.params, &options);
    options.gradients = true;
    assert_true(less > 0 && less < bt_model_memory(&world.params, &options));
    nn_world_finish(&world);
}

static enum bt_err create_all(void *context)
{
    const struct bt_compute *compute = context;
    const struct bt_model_options options = {.rows = 1, .seq = 6, .ternary_weights = true, .int8_activations = true};
    struct bt_params params = {0};
    struct bt_model *model = NULL;
    enum bt_err err = bt_params_init(&params, &nn_cases[0].shape, NULL);
    if (!err) {
        float *weights = calloc(params.total, sizeof *weights);
        assert_non_null(weights);
        err = bt_model_create(&params, &options, weights, NULL, compute, &model, NULL);
        bt_model_destroy(model);
        free(weights);
    }
    bt_params_finish(&params);
    return err;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    struct bt_compute computes[NN_MAX_COMPUTES];
    nn_computes(computes);
    test_every_allocation_fails(create_all, &computes[0]);
    bt_model_destroy(NULL);
}

static void sizes_that_cannot_be_are_refused(void **state)
{
    (void)state;
    struct nn_world world;
    struct bt_diag diag = {0};
    struct bt_model *model = NULL;
    nn_world_init(&world, &nn_cases[0].shape, 1, 4, NN_PLAIN, 1);
    const size_t rows[] = {SIZE_MAX / 64, SIZE_MAX / 32 + 2}; /* the latter times 32 wraps around to 32 tokens */
    for (size_t i = 0; i < BT_ARRAY_LEN(rows); i++) {
        const struct bt_model_options options = {.rows = rows[i], .seq = 32, .gradients = true};
        assert_int_equal(bt_model_memory(&world.params, &options), 0);
        assert_int_equal(
            bt_model_create(&world.params, &options, world.weights, world.gradients, &world.compute, &model, &diag),
            BT_ENOMEM);
        assert_null(model);
    }
    nn_world_finish(&world);
}

/* 127 * in must stay below 2^24, and only where both factors are codes. */
static void rows_too_long_for_the_exact_product_are_refused(void **state)
{
    (void)state;
    struct bt_shape shape = nn_cases[0].shape;
    struct bt_params params = {0};
    struct bt_model *model = NULL;
    struct bt_compute computes[NN_MAX_COMPUTES];
    struct bt_diag diag = {0};
    nn_computes(computes);
    shape.ffn = 132105; /* 127 * 132104 = 2^24 - 8 */
    shape.layers = 1;
    struct bt_model_options options = {.rows = 1, .seq = 1, .ternary_weights = true, .int8_activations = true};
    TEST_OK(bt_params_init(&params, &shape, &diag), diag);
    float *weights = calloc(params.total, sizeof *weights);
    assert_non_null(weights);
    assert_int_equal(bt_model_create(&params, &options, weights, NULL, &computes[0], &model, &diag), BT_EINPUT);
    assert_non_null(strstr(diag.text, "132105"));
    assert_null(model);
    options.int8_activations = false;
    TEST_OK(bt_model_create(&params, &options, weights, NULL, &computes[0], &model, &diag), diag);
    bt_model_destroy(model);
    shape.ffn--;
    options.int8_activations = true;
    TEST_OK(bt_model_create(&params, &options, weights, NULL, &computes[0], &model, &diag), diag);
    bt_model_destroy(model);
    bt_params_finish(&params);
    free(weights);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_float_forward_is_the_formula_on_every_way_to_compute),
        cmocka_unit_test(float_gradients_are_finite_differences),
        cmocka_unit_test(a_quantised_model_is_the_formula_and_its_gradients_straight_through),
        cmocka_unit_test(backward_adds_scales_and_returns_the_loss),
        cmocka_unit_test(a_smaller_batch_is_a_batch_of_its_own),
        cmocka_unit_test(a_model_without_gradients_computes_the_same),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(sizes_that_cannot_be_are_refused),
        cmocka_unit_test(rows_too_long_for_the_exact_product_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
