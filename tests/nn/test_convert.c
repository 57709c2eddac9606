/* Stage 1 in memory: weights by name, the new norms and their gains. */
#include "nn_world.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "nn/convert.h"
#include "reference_model.h"

/* An unconverted model, and the table and weights of what it is converted to. */
struct conversion {
    struct nn_world from;
    struct bt_shape shape;
    struct bt_params params;
    float *weights;
};

static void conversion_init(struct conversion *c, const struct nn_case *of)
{
    struct bt_diag diag = {0};
    struct bt_shape plain = of->shape;
    plain.sub_norm = false;
    nn_world_init(&c->from, &plain, of->rows, of->seq, NN_PLAIN, 1);
    nn_world_model(&c->from, false, false);
    c->shape = plain;
    c->shape.sub_norm = true;
    TEST_OK(bt_params_init(&c->params, &c->shape, &diag), diag);
    c->weights = malloc(c->params.total * sizeof *c->weights);
    assert_non_null(c->weights);
    for (size_t i = 0; i < c->params.total; i++)
        c->weights[i] = NAN;
}

static void conversion_finish(struct conversion *c)
{
    bt_params_finish(&c->params);
    free(c->weights);
    nn_world_finish(&c->from);
}

static void check_weights(const struct conversion *c, const struct bt_subln_gains *gains)
{
    size_t added = 0;
    for (size_t i = 0; i < c->params.count; i++) {
        const struct bt_param *to = &c->params.list[i];
        const struct bt_param *from = bt_params_find(&c->from.params, to->name);
        const float *got = c->weights + to->offset;
        if (from) {
            assert_memory_equal(got, c->from.weights + from->offset, to->count * sizeof *got);
            continue;
        }
        added++;
        assert_true(to->kind == BT_P_ATTN_SUB_NORM || to->kind == BT_P_FFN_SUB_NORM);
        const float *of_kind = !gains ? NULL : to->kind == BT_P_ATTN_SUB_NORM ? gains->attn : gains->ffn;
        for (size_t k = 0; k < to->count; k++)
            assert_true(got[k] == (of_kind ? of_kind[to->layer] : 1.0f));
    }
    assert_int_equal(added, 2 * c->shape.layers);
    assert_int_equal(c->params.count, c->from.params.count + added);
}

static void weights_are_copied_by_name_and_new_gains_filled_in(void **state)
{
    (void)state;
    float attn[3] = {0.5f, 2.0f, 3.0f}, ffn[3] = {0.25f, 5.0f, 7.0f};
    const struct bt_subln_gains gains = {attn, ffn};
    for (size_t i = 0; i < nn_case_count; i++) {
        struct conversion c;
        conversion_init(&c, &nn_cases[i]);
        bt_convert_model_to_bitnet(&c.from.params, c.from.weights, &c.params, c.weights, NULL);
        check_weights(&c, NULL);
        bt_convert_model_to_bitnet(&c.from.params, c.from.weights, &c.params, c.weights, &gains);
        check_weights(&c, &gains);
        conversion_finish(&c);
    }
}

/* insert_subln: false, or a model that has the norms: nothing but a copy. */
static void the_same_shape_is_a_copy(void **state)
{
    (void)state;
    struct nn_world world;
    nn_world_init(&world, &nn_cases[4].shape, 1, 4, NN_PLAIN, 1);
    float *copy = calloc(world.params.total, sizeof *copy);
    assert_non_null(copy);
    bt_convert_model_to_bitnet(&world.params, world.weights, &world.params, copy, NULL);
    assert_memory_equal(copy, world.weights, world.params.total * sizeof *copy);
    free(copy);
    nn_world_finish(&world);
}

/* Gains of the unconverted model over `passes` batches, the last token left out. */
static void calibrate(struct conversion *c, size_t passes, struct bt_subln_gains *gains)
{
    const size_t n = c->from.batch.rows * c->from.batch.seq;
    double attn[3] = {0}, ffn[3] = {0};
    struct bt_subln_squares squares = {.attn = attn, .ffn = ffn};
    for (size_t i = 0; i < passes; i++) {
        bt_model_loss(c->from.model, &c->from.batch, 0.0f);
        bt_subln_squares_add(&squares, c->from.model, &c->from.shape, n - 1);
    }
    assert_int_equal(squares.tokens, passes * (n - 1));
    bt_subln_gains_from(&squares, &c->from.shape, gains);
}

static double gain_of(const double *squares, size_t tokens, size_t width, float eps)
{
    double sum = 0.0;
    for (size_t t = 0; t < tokens; t++)
        sum += squares[t];
    return sqrt(sum / (double)(tokens * width) + (double)eps);
}

static void close_to(double got, double want)
{
    if (!(fabs(got - want) <= 2e-6 * want))
        fail_msg("got %.9g, want %.9g", got, want);
}

static void calibrated_gains_are_root_mean_squares(void **state)
{
    (void)state;
    for (size_t k = 0; k < nn_case_count; k++) {
        struct conversion c;
        struct reference r;
        float attn[3], ffn[3];
        struct bt_subln_gains gains = {attn, ffn};
        conversion_init(&c, &nn_cases[k]);
        const struct bt_shape *s = &c.from.shape;
        const size_t n = c.from.batch.rows * c.from.batch.seq;
        const struct reference_trace trace = {.attn = malloc(s->layers * n * sizeof(double)),
                                              .ffn = malloc(s->layers * n * sizeof(double))};
        assert_true(trace.attn && trace.ffn);
        double *w = reference_doubles(c.from.weights, c.from.params.total);
        reference_init(&r, &c.from.params, &c.from.batch, c.from.document);
        reference_loss(&r, w, &trace);
        calibrate(&c, 3, &gains);
        for (size_t i = 0; i < s->layers; i++) {
            close_to((double)attn[i], gain_of(trace.attn + i * n, n - 1, s->heads * s->head_dim, s->eps));
            close_to((double)ffn[i], gain_of(trace.ffn + i * n, n - 1, s->ffn, s->eps));
        }
        free(w);
        free(trace.attn);
        free(trace.ffn);
        reference_finish(&r);
        conversion_finish(&c);
    }
}

/* Loss of the converted model at lambda 0. */
static double loss_of(const struct conversion *c)
{
    const struct bt_model_options options = {
        .rows = c->from.batch.rows, .seq = c->from.batch.seq, .ternary_weights = true, .int8_activations = true};
    struct bt_diag diag = {0};
    struct bt_model *model = NULL;
    TEST_OK(bt_model_create(&c->params, &options, c->weights, NULL, &c->from.compute, &model, &diag), diag);
    bt_model_prepare(model);
    const double loss = bt_model_loss(model, &c->from.batch, 0.0f);
    bt_model_destroy(model);
    return loss;
}

/* The loss moves less than it does with gains of 1. */
static void a_calibrated_model_stays_nearer_than_one_with_gains_of_one(void **state)
{
    (void)state;
    struct conversion c;
    float attn[3], ffn[3];
    struct bt_subln_gains gains = {attn, ffn};
    conversion_init(&c, &nn_cases[3]);
    const double before = bt_model_loss(c.from.model, &c.from.batch, 0.0f);
    calibrate(&c, 1, &gains);
    bt_convert_model_to_bitnet(&c.from.params, c.from.weights, &c.params, c.weights, NULL);
    const double ones = loss_of(&c);
    bt_convert_model_to_bitnet(&c.from.params, c.from.weights, &c.params, c.weights, &gains);
    const double calibrated = loss_of(&c);
    assert_true(isfinite(before) && isfinite(ones));
    assert_true(fabs(calibrated - before) < fabs(ones - before));
    conversion_finish(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weights_are_copied_by_name_and_new_gains_filled_in),
        cmocka_unit_test(the_same_shape_is_a_copy),
        cmocka_unit_test(calibrated_gains_are_root_mean_squares),
        cmocka_unit_test(a_calibrated_model_stays_nearer_than_one_with_gains_of_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
