/* The whole model against a second one written in double precision, and its gradients against that one's finite
 * differences: float, and straight-through at every lambda. */
#include "nn_world.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "reference_model.h"

struct quantisation {
    bool ternary, int8;
    float lambda;
};

static const struct quantisation float_model = {false, false, 1.0f};
static const struct quantisation quantised[] = {
    {true, true, 0.0f}, /* quantised in name only: the float model again */
    {true, true, 0.25f}, {true, true, 1.0f},  {true, false, 0.5f},
    {true, false, 1.0f}, {false, true, 0.5f}, {false, true, 1.0f},
};

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

/* Relative to the largest value of a tensor. Single precision over these short sums stays within 1e-6. */
#define TOLERANCE 1e-5
/* A code of an activation that is nearer to its rounding boundary may fall otherwise in float: its x is only good to
 * about 127 * 1e-6 code units. */
#define MARGIN 3e-4

static void compare(const char *what, const float *got, const double *want, size_t n)
{
    double largest = 0.0;
    for (size_t i = 0; i < n; i++)
        largest = fmax(largest, fabs(want[i]));
    for (size_t i = 0; i < n; i++)
        if (!(fabs((double)got[i] - want[i]) <= TOLERANCE * largest))
            fail_msg("%s[%zu]: got %.9g, want %.9g", what, i, (double)got[i], want[i]);
}

/* A world of this case, and the reference frozen in it, with no code near a boundary. */
static void settle(struct nn_world *world, struct reference *r, const struct nn_case *c, enum nn_layout layout,
                   const struct quantisation *q)
{
    for (uint64_t seed = 1; seed < 300; seed++) {
        nn_world_init(world, &c->shape, c->rows, c->seq, layout, seed);
        reference_init(r, &world->params, &world->batch, world->document);
        reference_freeze(r, world->weights, q->ternary, q->int8, (double)q->lambda);
        if (q->lambda == 0.0f || r->margin > MARGIN) {
            nn_world_model(world, q->ternary, q->int8);
            return;
        }
        reference_finish(r);
        nn_world_finish(world);
    }
    fail_msg("%s: no batch without a code near a boundary", c->name);
}

static void unsettle(struct nn_world *world, struct reference *r)
{
    reference_finish(r);
    nn_world_finish(world);
}

/* Loss, logits and the input of every block. */
static void check_forward(struct nn_world *world, struct reference *r, const char *name, float lambda)
{
    const size_t n = world->batch.rows * world->batch.seq, layers = world->shape.layers, hidden = world->shape.hidden;
    const size_t vocab = world->shape.vocab;
    struct reference_trace trace = {.logits = malloc(n * vocab * sizeof(double)),
                                    .hidden = malloc((layers + 1) * n * hidden * sizeof(double))};
    float *logits = malloc(n * vocab * sizeof *logits);
    assert_true(trace.logits && trace.hidden && logits);
    double *weights = reference_doubles(world->weights, world->params.total);
    const double want = reference_loss(r, weights, &trace), got = bt_model_loss(world->model, &world->batch, lambda);
    if (!(fabs(got - want) <= TOLERANCE * want))
        fail_msg("%s: loss %.9g, want %.9g", name, got, want);
    for (size_t i = 0; i <= layers; i++)
        compare(test_format("%s: hidden.%zu", name, i), bt_model_hidden(world->model, i), trace.hidden + i * n * hidden,
                n * hidden);
    bt_model_logits(world->model, &world->batch, lambda, logits);
    compare(test_format("%s: logits", name), logits, trace.logits, n * vocab);
    free(trace.logits);
    free(trace.hidden);
    free(logits);
    free(weights);
}

static void the_float_forward_is_the_formula_on_every_way_to_compute(void **state)
{
    (void)state;
    struct bt_compute computes[NN_MAX_COMPUTES];
    const size_t count = nn_computes(computes);
    for (size_t i = 0; i < nn_case_count; i++)
        for (int layout = NN_PLAIN; layout <= NN_PACKED; layout++) {
            struct nn_world world;
            struct reference r;
            settle(&world, &r, &nn_cases[i], (enum nn_layout)layout, &float_model);
            for (size_t k = 0; k < count; k++) {
                world.compute = computes[k];
                check_forward(&world, &r, nn_cases[i].name, 1.0f);
            }
            unsettle(&world, &r);
        }
}

static void the_quantised_forward_is_the_formula(void **state)
{
    (void)state;
    for (size_t i = 0; i < nn_case_count; i++)
        for (size_t k = 0; k < BT_ARRAY_LEN(quantised); k++) {
            const struct quantisation *q = &quantised[k];
            struct nn_world world;
            struct reference r;
            settle(&world, &r, &nn_cases[i], NN_PACKED, q);
            check_forward(&world, &r,
                          test_format("%s, %d %d %g", nn_cases[i].name, q->ternary, q->int8, (double)q->lambda),
                          q->lambda);
            unsettle(&world, &r);
        }
}

/* (f(w + h v) - f(w - h v)) / 2h */
static double slope(struct reference *r, const double *w, const double *v, size_t n, double h)
{
    double *moved = malloc(n * sizeof *moved);
    assert_non_null(moved);
    for (size_t i = 0; i < n; i++)
        moved[i] = w[i] + h * v[i];
    const double up = reference_loss(r, moved, NULL);
    for (size_t i = 0; i < n; i++)
        moved[i] = w[i] - h * v[i];
    const double down = reference_loss(r, moved, NULL);
    free(moved);
    return (up - down) / (2.0 * h);
}

static double norm_of(const float *g, size_t n)
{
    double sum = 0.0;
    for (size_t i = 0; i < n; i++)
        sum += (double)g[i] * (double)g[i];
    return sqrt(sum);
}

/* Along a random direction; all parameters at once. */
static void check_direction(struct nn_world *world, struct reference *r, const double *w, const char *name,
                            uint64_t key)
{
    const size_t total = world->params.total;
    double *v = calloc(total, sizeof *v), dot = 0.0;
    assert_non_null(v);
    for (size_t i = 0; i < total; i++) {
        v[i] = bt_rng_normal(key, i);
        dot += v[i] * (double)world->gradients[i];
    }
    const double want = slope(r, w, v, total, 1e-6), norm = norm_of(world->gradients, total);
    if (!(fabs(dot - want) <= TOLERANCE * norm))
        fail_msg("%s: along a direction: got %.9g, want %.9g, norm %.9g", name, dot, want, norm);
    free(v);
}

static size_t largest_at(const float *g, size_t n)
{
    size_t at = 0;
    for (size_t i = 0; i < n; i++)
        at = fabsf(g[i]) > fabsf(g[at]) ? i : at;
    return at;
}

/* The largest gradient of a tensor and a random one. That of k_proj.bias nearly vanishes (softmax does not see a
 * constant): what counts there is the size of all gradients. */
static void check_tensor(struct nn_world *world, struct reference *r, const double *w, const char *name,
                         const struct bt_param *p, uint64_t key)
{
    const float *g = world->gradients + p->offset;
    const size_t largest = largest_at(g, p->count), samples[] = {largest, bt_rng_below(key, p->offset, p->count)};
    const double all = norm_of(world->gradients, world->params.total);
    double *v = calloc(world->params.total, sizeof *v);
    assert_non_null(v);
    for (size_t i = 0; i < BT_ARRAY_LEN(samples); i++) {
        const size_t at = samples[i];
        v[p->offset + at] = 1.0;
        const double want = slope(r, w, v, world->params.total, 1e-5);
        v[p->offset + at] = 0.0;
        if (!(fabs((double)g[at] - want) <= TOLERANCE * fabs((double)g[largest]) + 1e-7 * all))
            fail_msg("%s: %s[%zu]: got %.9g, want %.9g", name, p->name, at, (double)g[at], want);
    }
    free(v);
}

static void check_gradients(const struct nn_case *c, enum nn_layout layout, const struct quantisation *q)
{
    const char *name = test_format("%s, %s, %d %d %g", c->name, layout == NN_PLAIN ? "plain" : "packed", q->ternary,
                                   q->int8, (double)q->lambda);
    struct nn_world world;
    struct reference r;
    settle(&world, &r, c, layout, q);
    double *w = reference_doubles(world.weights, world.params.total);
    nn_world_backward(&world, q->lambda, 1.0f);
    for (uint64_t i = 0; i < 4; i++)
        check_direction(&world, &r, w, name, bt_rng_key(i, "direction"));
    for (size_t i = 0; i < world.params.count; i++)
        check_tensor(&world, &r, w, name, &world.params.list[i], bt_rng_key(5, "samples"));
    free(w);
    unsettle(&world, &r);
}

static void float_gradients_are_finite_differences(void **state)
{
    (void)state;
    for (size_t i = 0; i < nn_case_count; i++)
        for (int layout = NN_PLAIN; layout <= NN_PACKED; layout++)
            check_gradients(&nn_cases[i], (enum nn_layout)layout, &float_model);
    check_gradients(&long_row, NN_PLAIN, &float_model);
    check_gradients(&long_row, NN_PACKED, &float_model);
}

/* Those of the smooth model in which we - w and xe - x are constants. */
static void quantised_gradients_are_straight_through(void **state)
{
    (void)state;
    for (size_t i = 0; i < nn_case_count; i++)
        for (size_t k = 0; k < BT_ARRAY_LEN(quantised); k++)
            check_gradients(&nn_cases[i], NN_PACKED, &quantised[k]);
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
        cmocka_unit_test(the_quantised_forward_is_the_formula),
        cmocka_unit_test(float_gradients_are_finite_differences),
        cmocka_unit_test(quantised_gradients_are_straight_through),
        cmocka_unit_test(backward_adds_scales_and_returns_the_loss),
        cmocka_unit_test(a_smaller_batch_is_a_batch_of_its_own),
        cmocka_unit_test(a_model_without_gradients_computes_the_same),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(sizes_that_cannot_be_are_refused),
        cmocka_unit_test(rows_too_long_for_the_exact_product_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
