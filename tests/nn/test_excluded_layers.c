/* Layers that are not quantised inside a model that is, and tensors and rows of zeros. */
#include "model_checks.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct exclusion {
    char globs[2][24];
    size_t count;
};

/* One layer of the group q, k, v; two of it; one of gate and up; those that stand alone; whole blocks. */
static struct exclusion exclusions[] = {
    {{"*.q_proj"}, 1},
    {{"*.k_proj", "*.v_proj"}, 2},
    {{"*.v_proj", "*.up_proj"}, 2},
    {{"*.gate_proj", "*.o_proj"}, 2},
    {{"*.down_proj"}, 1},
    {{"model.layers.0.*"}, 1},
    {{"*"}, 1},
};

static void an_excluded_layer_is_a_plain_one(void **state)
{
    (void)state;
    const size_t cases[] = {1, 3, 5};
    for (size_t i = 0; i < BT_ARRAY_LEN(cases); i++)
        for (size_t e = 0; e < BT_ARRAY_LEN(exclusions); e++) {
            char *const globs[] = {exclusions[e].globs[0], exclusions[e].globs[1]};
            for (size_t k = 0; k < nn_quantised_count; k++)
                nn_check(&(struct nn_setup){.of = &nn_cases[cases[i]],
                                            .layout = NN_PACKED,
                                            .ternary = nn_quantised[k].ternary,
                                            .int8 = nn_quantised[k].int8,
                                            .lambda = nn_quantised[k].lambda,
                                            .exclude = globs,
                                            .exclude_count = exclusions[e].count},
                         k == 2);
        }
}

/* With every layer excluded the flags say nothing any more: the bits are those of the float model. */
static void a_model_with_every_layer_excluded_is_the_float_model(void **state)
{
    (void)state;
    struct bt_diag diag = {0};
    struct nn_world world;
    char all[] = "*", *const globs[] = {all};
    nn_world_init(&world, &nn_cases[4].shape, 2, 7, NN_PACKED, 1);
    const size_t bytes = world.params.total * sizeof(float);
    float *gradients = malloc(bytes);
    assert_non_null(gradients);
    nn_world_model(&world, false, false);
    const double loss = nn_world_backward(&world, 1.0f, 1.0f);
    memcpy(gradients, world.gradients, bytes);
    TEST_OK(bt_params_exclude(&world.params, globs, 1, &diag), diag);
    nn_world_model(&world, true, true);
    assert_true(nn_world_backward(&world, 1.0f, 1.0f) == loss);
    assert_memory_equal(gradients, world.gradients, bytes);
    free(gradients);
    nn_world_finish(&world);
}

/* Whole tensors of zeros: scale 1e-5, codes 0. What enters o_proj and down_proj is then zero too. */
static void zero_some_weights(struct nn_world *world)
{
    for (size_t i = 0; i < world->params.count; i++) {
        const struct bt_param *p = &world->params.list[i];
        if (p->kind == BT_P_V || p->kind == BT_P_UP)
            memset(world->weights + p->offset, 0, p->count * sizeof(float));
    }
}

/* A row of zeros from the embedding on, and gains of zero in front of the upper block: scale 1e-5, codes 0. */
static void zero_some_inputs(struct nn_world *world)
{
    const struct bt_param *embedding = bt_params_get(&world->params, BT_P_EMBED, 0);
    const struct bt_param *norm = bt_params_get(&world->params, BT_P_INPUT_NORM, 1);
    memset(world->weights + embedding->offset + (size_t)world->batch.ids[1] * world->shape.hidden, 0,
           world->shape.hidden * sizeof(float));
    memset(world->weights + norm->offset, 0, norm->count * sizeof(float));
}

static void assert_finite(const struct nn_world *world, double loss)
{
    assert_true(isfinite(loss));
    for (size_t i = 0; i < world->params.total; i++)
        assert_true(isfinite(world->gradients[i]));
}

static void check_zeros(const struct nn_case *of, void (*change)(struct nn_world *world), bool gradients)
{
    for (size_t k = 0; k < nn_quantised_count; k++) {
        const struct nn_setup setup = {.of = of,
                                       .layout = NN_PACKED,
                                       .ternary = nn_quantised[k].ternary,
                                       .int8 = nn_quantised[k].int8,
                                       .lambda = nn_quantised[k].lambda,
                                       .change = change};
        struct nn_world world;
        struct reference r;
        nn_settle(&world, &r, &setup);
        nn_check_forward(&world, &r, of->name, setup.lambda);
        assert_finite(&world, nn_world_backward(&world, setup.lambda, 1.0f));
        if (gradients)
            nn_check_gradients(&world, &r, of->name, setup.lambda);
        nn_unsettle(&world, &r);
    }
}

static void zeros_have_a_scale(void **state)
{
    (void)state;
    check_zeros(&nn_cases[1], zero_some_weights, true);
    check_zeros(&nn_cases[1], zero_some_inputs, false); /* a norm is steep at zero: 1 / sqrt(eps) */
    check_zeros(&nn_cases[3], zero_some_weights, false);
    check_zeros(&nn_cases[3], zero_some_inputs, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_excluded_layer_is_a_plain_one),
        cmocka_unit_test(a_model_with_every_layer_excluded_is_the_float_model),
        cmocka_unit_test(zeros_have_a_scale),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
