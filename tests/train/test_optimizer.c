/* The global norm, clipping and AdamW over a table that has every kind of tensor. */
#include "support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "train/optimizer.h"

static const struct bt_shape shape = {.vocab = 19,
                                      .hidden = 10,
                                      .ffn = 14,
                                      .layers = 2,
                                      .heads = 2,
                                      .kv_heads = 1,
                                      .head_dim = 6,
                                      .eps = 1e-5f,
                                      .qkv_bias = true,
                                      .o_bias = true,
                                      .mlp_bias = true,
                                      .qk_norm = true,
                                      .sub_norm = true};

static const struct bt_cfg_optimizer config = {.beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .weight_decay = 0.1};

struct world {
    struct bt_params params;
    struct bt_kernels kernels;
    struct bt_optimizer optimizer;
    float *buffers; /* weights, gradients, m, v */
};

static void fill(float *out, const struct bt_params *params, uint64_t key, double deviation)
{
    for (size_t i = 0; i < params->count; i++)
        for (size_t k = 0; k < params->list[i].count; k++) {
            const size_t at = params->list[i].offset + k;
            out[at] = (float)(deviation * bt_rng_normal(key, at));
        }
}

static void world_init(struct world *world)
{
    struct bt_diag diag = {0};
    *world = (struct world){0};
    TEST_OK(bt_params_init(&world->params, &shape, &diag), diag);
    const size_t total = world->params.total;
    bt_kernels_init(&world->kernels, BT_CPU_AVX512);
    world->buffers = calloc(4 * total, sizeof(float));
    assert_non_null(world->buffers);
    world->optimizer = (struct bt_optimizer){.params = &world->params,
                                             .kernels = &world->kernels,
                                             .config = &config,
                                             .weights = world->buffers,
                                             .gradients = world->buffers + total,
                                             .m = world->buffers + 2 * total,
                                             .v = world->buffers + 3 * total};
    fill(world->optimizer.weights, &world->params, 1, 0.5);
    fill(world->optimizer.gradients, &world->params, 2, 0.01);
}

static void world_finish(struct world *world)
{
    bt_params_finish(&world->params);
    free(world->buffers);
}

static void the_norm_is_over_all_tensors(void **state)
{
    (void)state;
    struct world world;
    const struct bt_param *bad = NULL;
    double sum = 0.0;
    world_init(&world);
    for (size_t i = 0; i < world.params.total; i++)
        sum += (double)world.optimizer.gradients[i] * (double)world.optimizer.gradients[i];
    const double norm = bt_gradient_norm(&world.optimizer, &bad);
    assert_true(fabs(norm - sqrt(sum)) <= 1e-12 * norm);
    assert_null(bad);
    world_finish(&world);
}

/* Squares of large floats fit into a double: only what is not finite is bad. */
static void the_first_bad_tensor_is_named(void **state)
{
    (void)state;
    struct world world;
    const struct bt_param *bad = NULL;
    const float values[] = {NAN, INFINITY, -INFINITY};
    world_init(&world);
    world.optimizer.gradients[0] = 3e38f;
    assert_true(isfinite(bt_gradient_norm(&world.optimizer, &bad)));
    assert_null(bad);
    for (size_t k = 0; k < BT_ARRAY_LEN(values); k++)
        for (size_t i = 0; i < world.params.count; i++) {
            const struct bt_param *p = &world.params.list[i], *last = &world.params.list[world.params.count - 1];
            float *at = &world.optimizer.gradients[p->offset + p->count - 1];
            float *later = &world.optimizer.gradients[last->offset];
            const float kept = *at, kept_later = *later;
            *at = *later = values[k];
            assert_false(isfinite(bt_gradient_norm(&world.optimizer, &bad)));
            assert_ptr_equal(bad, p);
            *later = kept_later;
            *at = kept;
        }
    assert_true(isfinite(bt_gradient_norm(&world.optimizer, &bad)));
    assert_null(bad);
    world_finish(&world);
}

static void clipping_begins_above_the_limit(void **state)
{
    (void)state;
    assert_true(bt_clip_scale(0.5, 1.0) == 1.0f);
    assert_true(bt_clip_scale(1.0, 1.0) == 1.0f);
    assert_true(bt_clip_scale(1e9, 0.0) == 1.0f); /* 0: off */
    assert_true(bt_clip_scale(0.0, 1.0) == 1.0f);
    assert_true(bt_clip_scale(4.0, 1.0) == (float)(1.0 / (4.0 + 1e-6)));
    assert_true(bt_clip_scale(0.25, 0.125) == (float)(0.125 / (0.25 + 1e-6)));
    assert_true(bt_clip_scale(nextafter(1.0, 2.0), 1.0) == (float)(1.0 / (1.0 + 1e-6)));
}

/* One parameter in double, by docs/numerics.md section 5. */
struct scalar {
    double p, m, v;
};

static void scalar_step(struct scalar *s, double g, double lr, double t, bool decays)
{
    if (decays)
        s->p *= 1.0 - lr * config.weight_decay;
    s->m = config.beta1 * s->m + (1.0 - config.beta1) * g;
    s->v = config.beta2 * s->v + (1.0 - config.beta2) * g * g;
    s->p -= lr * (s->m / (1.0 - pow(config.beta1, t))) / (sqrt(s->v / (1.0 - pow(config.beta2, t))) + config.eps);
}

static void close_to(const char *what, const struct bt_param *p, double got, double want, double tolerance)
{
    if (!(fabs(got - want) <= tolerance))
        fail_msg("%s of %s: got %.9g, want %.9g +- %.3g", what, p->name, got, want, tolerance);
}

/* Steps 1 .. t with gradients of their own, from weights of this deviation, against the formula in double; of a weight
 * counts what it moved by. */
static void check_steps(double deviation, int64_t steps, float scale, double tolerance)
{
    const double lr = 1e-2;
    struct world world;
    world_init(&world);
    fill(world.optimizer.weights, &world.params, 1, deviation);
    struct scalar *want = calloc(world.params.total, sizeof *want);
    assert_non_null(want);
    for (size_t i = 0; i < world.params.total; i++)
        want[i].p = (double)world.optimizer.weights[i];
    for (int64_t t = 1; t <= steps; t++) {
        fill(world.optimizer.gradients, &world.params, (uint64_t)t + 7, 0.01);
        bt_optimizer_step(&world.optimizer, lr, t, scale);
        for (size_t i = 0; i < world.params.count; i++)
            for (size_t k = 0; k < world.params.list[i].count; k++) {
                const size_t at = world.params.list[i].offset + k;
                scalar_step(&want[at], (double)world.optimizer.gradients[at] * (double)scale, lr, (double)t,
                            world.params.list[i].rank == 2);
            }
    }
    for (size_t i = 0; i < world.params.count; i++)
        for (size_t k = 0; k < world.params.list[i].count; k++) {
            const struct bt_param *p = &world.params.list[i];
            const size_t at = p->offset + k;
            const double rounding = (double)steps * 6e-8 * (4.0 * deviation + fabs(want[at].p)),
                         moved = (double)steps * lr;
            close_to("weight", p, (double)world.optimizer.weights[at], want[at].p, tolerance * moved + rounding);
            close_to("m", p, (double)world.optimizer.m[at], want[at].m, 1e-5 * 0.01 * (double)scale);
            close_to("v", p, (double)world.optimizer.v[at], want[at].v, 3e-5 * want[at].v);
        }
    free(want);
    world_finish(&world);
}

/* At t = 1 the correction undoes the weight 1 - beta of the first gradient: every parameter moves by lr. */
static void steps_are_the_formula(void **state)
{
    (void)state;
    check_steps(0.0, 1, 1.0f, 5e-7);
    check_steps(0.5, 1, 0.125f, 5e-7);
    check_steps(0.0, 2, 0.7f, 1e-6);
    check_steps(0.5, 3, 0.7f, 1e-6);
    check_steps(0.5, 1000, 1.0f, 1e-6);
}

/* The correction of t = 1000 alone, from moments that stand as they are. */
static void a_late_step_corrects_little(void **state)
{
    (void)state;
    struct world world;
    const double lr = 1e-2;
    world_init(&world);
    const size_t at = bt_params_find(&world.params, "model.norm.weight")->offset;
    struct scalar want = {1.0, 0.02, 0.003};
    world.optimizer.weights[at] = (float)want.p;
    world.optimizer.m[at] = (float)want.m;
    world.optimizer.v[at] = (float)want.v;
    scalar_step(&want, (double)world.optimizer.gradients[at], lr, 1000.0, false);
    bt_optimizer_step(&world.optimizer, lr, 1000, 1.0f);
    assert_true(fabs((double)world.optimizer.weights[at] - want.p) <= 1e-5 * (1.0 - want.p) + 1e-7);
    world_finish(&world);
}

/* With no gradient at all: two dimensions decay, gains and biases keep every bit, and so does the padding. */
static void only_matrices_decay(void **state)
{
    (void)state;
    struct world world;
    world_init(&world);
    const size_t total = world.params.total;
    float *before = malloc(total * sizeof *before);
    assert_non_null(before);
    memcpy(before, world.optimizer.weights, total * sizeof *before);
    memset(world.optimizer.gradients, 0, total * sizeof *before);
    bt_optimizer_step(&world.optimizer, 0.5, 1, 1.0f);
    for (size_t i = 0; i < world.params.count; i++) {
        const struct bt_param *p = &world.params.list[i];
        for (size_t k = p->offset; k < p->offset + p->count; k++) {
            const double want = (double)before[k] * (p->rank == 2 ? 1.0 - 0.5 * 0.1 : 1.0);
            assert_true(fabs((double)world.optimizer.weights[k] - want) <= (p->rank == 2 ? 1e-7 * fabs(want) : 0.0));
        }
        for (size_t k = p->offset + p->count; k % 16; k++)
            assert_true(world.optimizer.weights[k] == 0.0f);
    }
    free(before);
    world_finish(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_norm_is_over_all_tensors),    cmocka_unit_test(the_first_bad_tensor_is_named),
        cmocka_unit_test(clipping_begins_above_the_limit), cmocka_unit_test(steps_are_the_formula),
        cmocka_unit_test(a_late_step_corrects_little),     cmocka_unit_test(only_matrices_decay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
