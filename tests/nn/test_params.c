#include "support.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "nn/params.h"

static struct bt_shape tiny(void)
{
    return (struct bt_shape){
        .vocab = 11, .hidden = 6, .ffn = 10, .layers = 2, .heads = 3, .kv_heads = 1, .head_dim = 4, .eps = 1e-5f};
}

struct expected {
    const char *name;
    size_t rows, cols; /* cols 0: one dimension */
    bool linear;
};

static const struct expected all_kinds[] = {
    {"model.embed_tokens.weight", 11, 6, false},
    {"model.layers.0.input_layernorm.weight", 6, 0, false},
    {"model.layers.0.self_attn.q_proj.weight", 12, 6, true},
    {"model.layers.0.self_attn.q_proj.bias", 12, 0, false},
    {"model.layers.0.self_attn.k_proj.weight", 4, 6, true},
    {"model.layers.0.self_attn.k_proj.bias", 4, 0, false},
    {"model.layers.0.self_attn.v_proj.weight", 4, 6, true},
    {"model.layers.0.self_attn.v_proj.bias", 4, 0, false},
    {"model.layers.0.self_attn.q_norm.weight", 4, 0, false},
    {"model.layers.0.self_attn.k_norm.weight", 4, 0, false},
    {"model.layers.0.self_attn.attn_sub_norm.weight", 12, 0, false},
    {"model.layers.0.self_attn.o_proj.weight", 6, 12, true},
    {"model.layers.0.self_attn.o_proj.bias", 6, 0, false},
    {"model.layers.0.post_attention_layernorm.weight", 6, 0, false},
    {"model.layers.0.mlp.gate_proj.weight", 10, 6, true},
    {"model.layers.0.mlp.gate_proj.bias", 10, 0, false},
    {"model.layers.0.mlp.up_proj.weight", 10, 6, true},
    {"model.layers.0.mlp.up_proj.bias", 10, 0, false},
    {"model.layers.0.mlp.ffn_sub_norm.weight", 10, 0, false},
    {"model.layers.0.mlp.down_proj.weight", 6, 10, true},
    {"model.layers.0.mlp.down_proj.bias", 6, 0, false},
    {"model.norm.weight", 6, 0, false},
    {"lm_head.weight", 11, 6, false},
};

static void check_layout(const struct bt_params *params)
{
    size_t end = 0, elements = 0;
    for (size_t i = 0; i < params->count; i++) {
        const struct bt_param *p = &params->list[i];
        assert_int_equal(p->offset % 16, 0);
        assert_int_equal(p->offset, (end + 15) / 16 * 16);
        assert_int_equal(p->count, p->shape[0] * p->shape[1]);
        end = p->offset + p->count;
        elements += p->count;
        assert_int_equal(p->decays, p->rank == 2);
        assert_false(p->excluded);
        assert_ptr_equal(bt_params_find(params, p->name), p);
        assert_ptr_equal(bt_params_get(params, p->kind, p->layer), p);
    }
    assert_int_equal(params->total, (end + 15) / 16 * 16);
    assert_int_equal(params->elements, elements);
}

static void a_shape_with_everything_has_every_tensor_in_order(void **state)
{
    (void)state;
    struct bt_diag diag = {0};
    struct bt_shape shape = tiny();
    struct bt_params params = {0};
    shape.layers = 1;
    shape.qkv_bias = shape.o_bias = shape.mlp_bias = shape.qk_norm = shape.sub_norm = true;
    TEST_OK(bt_params_init(&params, &shape, &diag), diag);
    assert_int_equal(params.count, BT_ARRAY_LEN(all_kinds));
    for (size_t i = 0; i < params.count; i++) {
        const struct bt_param *p = &params.list[i];
        const struct expected *want = &all_kinds[i];
        assert_string_equal(p->name, want->name);
        assert_int_equal(p->kind, i);
        assert_int_equal(p->rank, want->cols ? 2 : 1);
        assert_int_equal(p->shape[0], want->rows);
        assert_int_equal(p->shape[1], want->cols ? want->cols : 1);
        assert_int_equal(p->linear, want->linear);
    }
    check_layout(&params);
    bt_params_finish(&params);
    assert_null(params.list);
}

/* What each flag of a shape adds to a tied model without any of them: tensors a layer. */
static void each_flag_adds_its_tensors(void **state)
{
    (void)state;
    for (unsigned bits = 0; bits < 64; bits++) {
        struct bt_diag diag = {0};
        struct bt_shape shape = tiny();
        struct bt_params params = {0};
        shape.tied = bits & 1;
        shape.qkv_bias = bits & 2;
        shape.o_bias = bits & 4;
        shape.mlp_bias = bits & 8;
        shape.qk_norm = bits & 16;
        shape.sub_norm = bits & 32;
        TEST_OK(bt_params_init(&params, &shape, &diag), diag);
        const size_t layer = 9 + (shape.qkv_bias ? 3 : 0) + (shape.o_bias ? 1 : 0) + (shape.mlp_bias ? 3 : 0) +
                             (shape.qk_norm ? 2 : 0) + (shape.sub_norm ? 2 : 0);
        assert_int_equal(params.count, 2 * layer + (shape.tied ? 2 : 3));
        check_layout(&params);
        assert_int_equal(bt_params_get(&params, BT_P_ATTN_SUB_NORM, 1) != NULL, shape.sub_norm);
        assert_int_equal(bt_params_get(&params, BT_P_Q_BIAS, 1) != NULL, shape.qkv_bias);
        bt_params_finish(&params);
    }
}

static void the_head_of_a_tied_model_is_the_embedding(void **state)
{
    (void)state;
    struct bt_diag diag = {0};
    struct bt_shape shape = tiny();
    struct bt_params params = {0};
    shape.tied = true;
    TEST_OK(bt_params_init(&params, &shape, &diag), diag);
    assert_ptr_equal(bt_params_get(&params, BT_P_HEAD, 0), params.list);
    assert_null(bt_params_find(&params, "lm_head.weight"));
    bt_params_finish(&params);
}

static void names_that_are_nearly_right_are_not_found(void **state)
{
    (void)state;
    static const char *const names[] = {"",
                                        "model.layers.",
                                        "model.layers.2.input_layernorm.weight",
                                        "model.layers.01.input_layernorm.weight",
                                        "model.layers.-1.input_layernorm.weight",
                                        "model.layers.99999999999999999999999.input_layernorm.weight",
                                        "model.layers.0.input_layernorm.weight ",
                                        "model.layers.0.self_attn.q_proj.bias",
                                        "model.norm",
                                        "lm_head.bias"};
    struct bt_diag diag = {0};
    const struct bt_shape shape = tiny();
    struct bt_params params = {0};
    TEST_OK(bt_params_init(&params, &shape, &diag), diag);
    for (size_t i = 0; i < BT_ARRAY_LEN(names); i++)
        assert_null(bt_params_find(&params, names[i]));
    assert_null(bt_params_get(&params, BT_P_Q, 2));
    bt_params_finish(&params);
}

static size_t excluded_count(const struct bt_params *params)
{
    size_t n = 0;
    for (size_t i = 0; i < params->count; i++)
        n += params->list[i].excluded;
    return n;
}

static void globs_exclude_linear_layers_by_module_name(void **state)
{
    (void)state;
    static struct {
        char glob[40];
        size_t layers;
    } cases[] = {{"model.layers.0.*", 7},  {"*", 14},
                 {"*.q_proj", 2},          {"model.layers.1.mlp.down_proj", 1},
                 {"*.[kv]_proj", 4},       {"model.layers.?.self_attn.o_proj", 2},
                 {"*.self_attn.?_proj", 8}};
    for (size_t i = 0; i < BT_ARRAY_LEN(cases); i++) {
        struct bt_diag diag = {0};
        struct bt_shape shape = tiny();
        struct bt_params params = {0};
        shape.qkv_bias = true;
        TEST_OK(bt_params_init(&params, &shape, &diag), diag);
        char *const globs[] = {cases[i].glob};
        TEST_OK(bt_params_exclude(&params, globs, 1, &diag), diag);
        assert_int_equal(excluded_count(&params), cases[i].layers);
        for (size_t p = 0; p < params.count; p++)
            assert_true(!params.list[p].excluded || params.list[p].linear);
        TEST_OK(bt_params_exclude(&params, NULL, 0, &diag), diag);
        assert_int_equal(excluded_count(&params), cases[i].layers);
        bt_params_finish(&params);
    }
}

static void a_glob_that_matches_nothing_is_named(void **state)
{
    (void)state;
    static char globs[][40] = {"*.q_proj", "*.q_prog", "lm_head", "model.layers.0", "*.q_proj.weight"};
    for (size_t i = 1; i < BT_ARRAY_LEN(globs); i++) {
        struct bt_diag diag = {0};
        const struct bt_shape shape = tiny();
        struct bt_params params = {0};
        char *const pair[] = {globs[0], globs[i]};
        TEST_OK(bt_params_init(&params, &shape, &diag), diag);
        assert_int_equal(bt_params_exclude(&params, pair, 2, &diag), BT_EUSAGE);
        assert_non_null(strstr(diag.text, globs[i]));
        assert_int_equal(excluded_count(&params), 0);
        bt_params_finish(&params);
    }
}

static void sizes_that_overflow_are_refused(void **state)
{
    (void)state;
    for (int which = 0; which < 5; which++) {
        struct bt_diag diag = {0};
        struct bt_shape shape = tiny();
        struct bt_params params = {0};
        size_t *const field[] = {&shape.vocab, &shape.heads, &shape.head_dim, &shape.ffn, &shape.layers};
        *field[which] = SIZE_MAX / 3;
        assert_int_equal(bt_params_init(&params, &shape, &diag), BT_EINPUT);
        assert_true(diag.text[0] != '\0');
        assert_null(params.list);
    }
}

static float *randomized(const struct bt_params *params, uint64_t seed, double deviation)
{
    float *weights = malloc(params->total * sizeof *weights);
    assert_non_null(weights);
    memset(weights, 0x7f, params->total * sizeof *weights);
    bt_params_randomize(params, weights, seed, deviation);
    return weights;
}

static void random_weights_are_normal_gains_one_biases_and_padding_zero(void **state)
{
    (void)state;
    struct bt_diag diag = {0};
    struct bt_shape shape = tiny();
    struct bt_params params = {0};
    shape.vocab = 4001;
    shape.hidden = 10;
    shape.qkv_bias = shape.o_bias = shape.mlp_bias = shape.sub_norm = shape.qk_norm = true;
    TEST_OK(bt_params_init(&params, &shape, &diag), diag);
    float *w = randomized(&params, 7, 0.02);
    for (size_t i = 0; i < params.count; i++) {
        const struct bt_param *p = &params.list[i];
        const size_t end = i + 1 < params.count ? params.list[i + 1].offset : params.total;
        const bool bias = strstr(p->name, ".bias") != NULL;
        for (size_t j = 0; p->rank == 1 && j < p->count; j++)
            assert_true(w[p->offset + j] == (bias ? 0.0f : 1.0f));
        for (size_t j = p->offset + p->count; j < end; j++)
            assert_true(w[j] == 0.0f);
    }
    double sum = 0.0, squares = 0.0;
    const size_t n = params.list[0].count; /* 40010 draws: standard errors 1e-4 of the mean, 7.1e-5 of the deviation */
    for (size_t i = 0; i < n; i++) {
        sum += w[i];
        squares += (double)w[i] * w[i];
    }
    assert_true(fabs(sum / (double)n) < 5e-4);
    assert_true(fabs(sqrt(squares / (double)n) - 0.02) < 3.5e-4);
    free(w);
    bt_params_finish(&params);
}

/* A tensor's numbers depend on the seed and its name: not on the threads, nor on what else the model has. */
static void random_weights_depend_on_seed_and_name_alone(void **state)
{
    (void)state;
    struct bt_diag diag = {0};
    struct bt_shape shape = tiny(), other = tiny();
    struct bt_params params = {0}, more = {0};
    other.qkv_bias = other.sub_norm = true;
    TEST_OK(bt_params_init(&params, &shape, &diag), diag);
    TEST_OK(bt_params_init(&more, &other, &diag), diag);
    const int threads = omp_get_max_threads();
    omp_set_num_threads(1);
    float *a = randomized(&params, 42, 0.02);
    omp_set_num_threads(5);
    float *b = randomized(&params, 42, 0.02);
    float *c = randomized(&params, 43, 0.02);
    float *d = randomized(&more, 42, 0.02);
    omp_set_num_threads(threads);
    assert_memory_equal(a, b, params.total * sizeof *a);
    for (size_t i = 0; i < params.count; i++) {
        const struct bt_param *p = &params.list[i];
        const struct bt_param *same = bt_params_find(&more, p->name);
        assert_non_null(same);
        assert_memory_equal(a + p->offset, d + same->offset, p->count * sizeof *a);
        if (p->rank == 2)
            assert_memory_not_equal(a + p->offset, c + p->offset, p->count * sizeof *a);
    }
    const struct bt_param *q0 = bt_params_get(&params, BT_P_Q, 0), *q1 = bt_params_get(&params, BT_P_Q, 1);
    assert_memory_not_equal(a + q0->offset, a + q1->offset, q0->count * sizeof *a);
    free(a);
    free(b);
    free(c);
    free(d);
    bt_params_finish(&params);
    bt_params_finish(&more);
}

static enum bt_err make_table(void *context)
{
    struct bt_params params = {0};
    const enum bt_err err = bt_params_init(&params, context, NULL);
    bt_params_finish(&params);
    return err;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    struct bt_shape shape = tiny();
    test_every_allocation_fails(make_table, &shape);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_shape_with_everything_has_every_tensor_in_order),
        cmocka_unit_test(each_flag_adds_its_tensors),
        cmocka_unit_test(the_head_of_a_tied_model_is_the_embedding),
        cmocka_unit_test(names_that_are_nearly_right_are_not_found),
        cmocka_unit_test(globs_exclude_linear_layers_by_module_name),
        cmocka_unit_test(a_glob_that_matches_nothing_is_named),
        cmocka_unit_test(sizes_that_overflow_are_refused),
        cmocka_unit_test(random_weights_are_normal_gains_one_biases_and_padding_zero),
        cmocka_unit_test(random_weights_depend_on_seed_and_name_alone),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
