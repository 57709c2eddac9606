/* The inference engine against the forward of training: the same logits, whatever was fed at once. */
#include "nn_world.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "nn/infer.h"

/* A prompt of several pieces, heads and rows that fill no vector, a window in the upper layer. */
static const struct bt_shape long_shape = {.vocab = 131,
                                           .hidden = 72,
                                           .ffn = 100,
                                           .layers = 2,
                                           .heads = 9,
                                           .kv_heads = 1,
                                           .head_dim = 10,
                                           .eps = 1e-5f,
                                           .qkv_bias = true,
                                           .mlp_bias = true,
                                           .qk_norm = true,
                                           .sub_norm = true,
                                           .rope = {.theta = 10000.0},
                                           .window = 90,
                                           .window_from = 1};
enum { LONG = 300 };

struct setting {
    bool ternary, int8;
    float lambda;
};

static const struct setting settings[] = {{true, true, 1.0f},  {true, true, 0.5f},   {true, false, 1.0f},
                                          {false, true, 1.0f}, {false, false, 1.0f}, {true, true, 0.0f}};

static struct bt_infer *make_engine(struct nn_world *world, const struct setting *setting, size_t context,
                                    enum bt_infer_head head)
{
    const struct bt_infer_options options = {.context = context,
                                             .ternary_weights = setting->ternary,
                                             .int8_activations = setting->int8,
                                             .lambda = setting->lambda,
                                             .head = head};
    struct bt_infer *engine = NULL;
    struct bt_diag diag = {0};
    TEST_OK(bt_infer_create(&world->params, &options, bt_infer_flat_tensor, world->weights, &world->compute, &engine,
                            &diag),
            diag);
    return engine;
}

static float largest(const float *x, size_t n)
{
    float most = 0.0f;
    for (size_t i = 0; i < n; i++)
        most = fabsf(x[i]) > most ? fabsf(x[i]) : most;
    return most;
}

/* Written so that NaN is not close. */
static void assert_close(const float *got, const float *want, size_t n, float tolerance, const char *what)
{
    const float bound = tolerance * largest(want, n);
    for (size_t i = 0; i < n; i++)
        if (!(fabsf(got[i] - want[i]) <= bound))
            fail_msg("%s: value %zu is %.9g, expected %.9g within %.3g", what, i, (double)got[i], (double)want[i],
                     (double)bound);
}

/* Logits of every position by the forward of training. */
static float *training_logits(struct nn_world *world, const struct setting *setting)
{
    float *logits = malloc(world->batch.rows * world->batch.seq * world->shape.vocab * sizeof *logits);
    assert_non_null(logits);
    nn_world_model(world, setting->ternary, setting->int8);
    bt_model_logits(world->model, &world->batch, setting->lambda, logits);
    return logits;
}

/* Logits of row 0, one token at a time. */
static float *stepwise_logits(struct bt_infer *engine, const struct nn_world *world)
{
    const size_t vocab = world->shape.vocab;
    float *logits = malloc(world->batch.seq * vocab * sizeof *logits);
    assert_non_null(logits);
    for (size_t i = 0; i < world->batch.seq; i++)
        bt_infer_feed(engine, world->batch.ids + i, 1, logits + i * vocab);
    assert_int_equal(bt_infer_length(engine), world->batch.seq);
    return logits;
}

static void every_shape_equals_training(void **state)
{
    (void)state;
    for (size_t c = 0; c < nn_case_count; c++)
        for (size_t s = 0; s < BT_ARRAY_LEN(settings); s++) {
            struct nn_world world;
            nn_world_init(&world, &nn_cases[c].shape, 1, nn_cases[c].seq, NN_PLAIN, 7 + c);
            struct bt_infer *engine = make_engine(&world, &settings[s], world.batch.seq, BT_INFER_HEAD_F32);
            float *want = training_logits(&world, &settings[s]), *got = stepwise_logits(engine, &world);
            /* Sums of at most 131 terms in another order. */
            assert_close(got, want, world.batch.seq * world.shape.vocab, 3e-6f, nn_cases[c].name);
            bt_infer_destroy(engine);
            free(want);
            free(got);
            nn_world_finish(&world);
        }
}

/* Feeds ids [from, to) in calls of `step`; logits of the last. */
static void feed_in_steps(struct bt_infer *engine, const int32_t *ids, size_t from, size_t to, size_t step,
                          float *logits)
{
    for (size_t i = from; i < to; i += step) {
        const size_t count = to - i < step ? to - i : step;
        bt_infer_feed(engine, ids + i, count, i + count == to ? logits : NULL);
    }
}

static void check_cuts(struct nn_world *world, const struct setting *setting, const char *kernels)
{
    const size_t vocab = world->shape.vocab, steps[] = {LONG, 100, 7};
    struct bt_infer *engine = make_engine(world, setting, LONG, BT_INFER_HEAD_AUTO);
    float *want = stepwise_logits(engine, world), *training = training_logits(world, setting);
    float *got = malloc(vocab * sizeof *got);
    assert_non_null(got);
    /* Float sums in another order move int8 codes across their boundaries now and then; the sums themselves agree. */
    assert_close(want + (LONG - 1) * vocab, training + (LONG - 1) * vocab, vocab, setting->int8 ? 2e-2f : 1e-5f,
                 kernels);
    for (size_t s = 0; s < BT_ARRAY_LEN(steps); s++) {
        bt_infer_cut(engine, 0);
        feed_in_steps(engine, world->batch.ids, 0, LONG, steps[s], got);
        if (memcmp(got, want + (LONG - 1) * vocab, vocab * sizeof *got))
            fail_msg("%s, lambda %g: steps of %zu tokens give other bits than single ones", kernels,
                     (double)setting->lambda, steps[s]);
    }
    /* Part of a text is forgotten and fed again. */
    bt_infer_cut(engine, 201);
    feed_in_steps(engine, world->batch.ids, 201, 210, 9, got);
    assert_memory_equal(got, want + 209 * vocab, vocab * sizeof *got);
    free(want);
    free(training);
    free(got);
    bt_infer_destroy(engine);
}

/* The engine has its own products: of how to compute it takes the level alone. */
static void pieces_do_not_matter(void **state)
{
    (void)state;
    const int threads = omp_get_max_threads();
    struct nn_world world;
    nn_world_init(&world, &long_shape, 1, LONG, NN_PLAIN, 3);
    for (int level = BT_CPU_PORTABLE; level <= (int)bt_cpu_level(); level++)
        for (size_t s = 0; s < BT_ARRAY_LEN(settings); s++) {
            bt_compute_init(&world.compute, (enum bt_cpu_level)level);
            omp_set_num_threads(1 + (int)(s % 3));
            check_cuts(&world, &settings[s], bt_cpu_level_name((enum bt_cpu_level)level));
        }
    omp_set_num_threads(threads);
    nn_world_finish(&world);
}

/* With the same products, the engine's attention and packed sums leave the bits of training. */
static void quantised_logits_are_those_of_training_to_the_bit(void **state)
{
    (void)state;
    struct nn_world world;
    nn_world_init(&world, &long_shape, 1, LONG, NN_PLAIN, 5);
    struct bt_infer *engine = make_engine(&world, &settings[0], LONG, BT_INFER_HEAD_F32);
    float *want = training_logits(&world, &settings[0]), *got = stepwise_logits(engine, &world);
    assert_memory_equal(got, want, LONG * world.shape.vocab * sizeof *got);
    bt_infer_destroy(engine);
    free(want);
    free(got);
    nn_world_finish(&world);
}

static void excluded_layers_stay_float(void **state)
{
    (void)state;
    char attention[] = "model.layers.0.self_attn.k_proj", mlp[] = "model.layers.1.mlp.*";
    char *globs[] = {attention, mlp};
    struct bt_diag diag = {0};
    struct nn_world world;
    nn_world_init(&world, &nn_cases[4].shape, 1, nn_cases[4].seq, NN_PLAIN, 9);
    TEST_OK(bt_params_exclude(&world.params, globs, BT_ARRAY_LEN(globs), &diag), diag);
    struct bt_infer *engine = make_engine(&world, &settings[0], world.batch.seq, BT_INFER_HEAD_F32);
    float *want = training_logits(&world, &settings[0]), *got = stepwise_logits(engine, &world);
    assert_close(got, want, world.batch.seq * world.shape.vocab, 3e-6f, "excluded layers");
    bt_infer_destroy(engine);
    free(want);
    free(got);
    nn_world_finish(&world);
}

static void heads_of_fewer_bits(void **state)
{
    (void)state;
    static const float tolerance[] = {
        [BT_INFER_HEAD_AUTO] = 0.0f, [BT_INFER_HEAD_BF16] = 1e-2f, [BT_INFER_HEAD_INT8] = 2e-2f};
    struct nn_world world;
    nn_world_init(&world, &long_shape, 1, 8, NN_PLAIN, 4);
    struct bt_infer *engine = make_engine(&world, &settings[0], 8, BT_INFER_HEAD_F32);
    float *want = stepwise_logits(engine, &world);
    const size_t count = 8 * world.shape.vocab, exact = bt_infer_weight_bytes(engine);
    bt_infer_destroy(engine);
    for (int head = BT_INFER_HEAD_AUTO; head <= BT_INFER_HEAD_INT8; head++) {
        if (head == BT_INFER_HEAD_F32)
            continue;
        engine = make_engine(&world, &settings[0], 8, (enum bt_infer_head)head);
        float *got = stepwise_logits(engine, &world);
        assert_close(got, want, count, tolerance[head], "head");
        assert_int_equal(bt_infer_weight_bytes(engine) < exact, head != BT_INFER_HEAD_AUTO);
        bt_infer_destroy(engine);
        free(got);
    }
    free(want);
    nn_world_finish(&world);
}

/* Weights that are bfloat16 numbers are kept so, and nothing changes. */
static void short_weights_are_kept_short(void **state)
{
    (void)state;
    struct nn_world world;
    nn_world_init(&world, &long_shape, 1, 8, NN_PLAIN, 4);
    for (size_t i = 0; i < world.params.total; i++) {
        uint32_t bits;
        memcpy(&bits, world.weights + i, sizeof bits);
        bits &= 0xffff0000u;
        memcpy(world.weights + i, &bits, sizeof bits);
    }
    struct bt_infer *engine = make_engine(&world, &settings[4], 8, BT_INFER_HEAD_AUTO);
    assert_int_equal(bt_infer_head_format(engine), BT_PANEL_BF16);
    float *want = training_logits(&world, &settings[4]), *got = stepwise_logits(engine, &world);
    assert_close(got, want, 8 * world.shape.vocab, 3e-6f, "bfloat16 weights");
    bt_infer_destroy(engine);
    free(want);
    free(got);
    nn_world_finish(&world);
}

static enum bt_err create_and_destroy(void *context)
{
    struct nn_world *world = context;
    const struct bt_infer_options options = {.context = 8, .ternary_weights = true, .lambda = 1.0f};
    struct bt_infer *engine = NULL;
    struct bt_diag diag = {0};
    const enum bt_err err = bt_infer_create(&world->params, &options, bt_infer_flat_tensor, world->weights,
                                            &world->compute, &engine, &diag);
    bt_infer_destroy(engine);
    return err;
}

static void every_allocation_fails(void **state)
{
    (void)state;
    struct nn_world world;
    nn_world_init(&world, &nn_cases[0].shape, 1, 4, NN_PLAIN, 1);
    test_every_allocation_fails(create_and_destroy, &world);
    nn_world_finish(&world);
}

static void rows_that_are_too_long_are_refused(void **state)
{
    (void)state;
    const struct bt_infer_options options = {
        .context = 8, .ternary_weights = true, .int8_activations = true, .lambda = 1.0f};
    struct bt_shape shape = nn_cases[0].shape;
    struct bt_params params;
    struct bt_infer *engine = NULL;
    struct bt_compute compute;
    struct bt_diag diag = {0};
    shape.ffn = (1u << 24) / 127 + 1;
    bt_compute_init(&compute, BT_CPU_PORTABLE);
    TEST_OK(bt_params_init(&params, &shape, &diag), diag);
    assert_int_equal(bt_infer_create(&params, &options, bt_infer_flat_tensor, NULL, &compute, &engine, &diag),
                     BT_EINPUT);
    assert_non_null(strstr(diag.text, "132105"));
    bt_params_finish(&params);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_shape_equals_training),
        cmocka_unit_test(pieces_do_not_matter),
        cmocka_unit_test(quantised_logits_are_those_of_training_to_the_bit),
        cmocka_unit_test(excluded_layers_stay_float),
        cmocka_unit_test(heads_of_fewer_bits),
        cmocka_unit_test(short_weights_are_kept_short),
        cmocka_unit_test(every_allocation_fails),
        cmocka_unit_test(rows_that_are_too_long_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
