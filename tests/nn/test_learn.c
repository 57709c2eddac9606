/* A student beside its teacher, whole models: what the terms of the loss have to do with each other, with plain
 * training, and with the batch around a document. The terms themselves are tested in tests/kernels, against another
 * program in tests/golden. */
#include "nn_world.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "nn/block.h"

static const double layer_weights[] = {0.25, 0.75};

static const struct bt_shape student_shape = {.vocab = 23,
                                              .hidden = 12,
                                              .ffn = 20,
                                              .layers = 2,
                                              .heads = 4,
                                              .kv_heads = 2,
                                              .head_dim = 6,
                                              .eps = 1e-5f,
                                              .tied = true,
                                              .qkv_bias = true,
                                              .qk_norm = true,
                                              .sub_norm = true,
                                              .rope = {.theta = 10000.0}};

struct lesson_world {
    struct nn_world student, teacher;
    struct bt_distill distill;
    struct bt_lesson lesson;
};

static struct bt_model *make(struct nn_world *world, const struct bt_model_options *options)
{
    struct bt_model *model = NULL;
    struct bt_diag diag = {0};
    TEST_OK(bt_model_create(&world->params, options, world->weights, options->gradients ? world->gradients : NULL,
                            &world->compute, &model, &diag),
            diag);
    bt_model_prepare(model);
    return model;
}

static void open_world(struct lesson_world *w, struct bt_distill distill, bool quantised, enum nn_layout layout)
{
    const size_t rows = 2, seq = 16;
    struct bt_shape teacher_shape = student_shape;
    teacher_shape.sub_norm = false;
    nn_world_init(&w->student, &student_shape, rows, seq, layout, 3);
    nn_world_init(&w->teacher, &teacher_shape, rows, seq, layout, 4);
    w->student.batch.used = layout == NN_PACKED ? calloc(rows, sizeof(int32_t)) : NULL;
    for (size_t r = 0; w->student.batch.used && r < rows; r++)
        w->student.batch.used[r] = (int32_t)seq - 2;
    w->distill = distill;
    w->distill.layer_weights = layer_weights;
    const struct bt_model_options of_teacher = {
        .rows = rows, .seq = seq, .keep = BT_KEEP_INPUTS, .keep_qkv = true, .qkv_layer = 1};
    struct bt_model_options of_student = of_teacher;
    of_student.gradients = true;
    of_student.keep = BT_KEEP_ALL;
    of_student.ternary_weights = of_student.int8_activations = quantised;
    of_student.distill = &w->distill;
    w->teacher.model = make(&w->teacher, &of_teacher);
    w->student.model = make(&w->student, &of_student);
    w->lesson = (struct bt_lesson){.teacher = w->teacher.model};
}

static void close_world(struct lesson_world *w)
{
    free(w->student.batch.used);
    nn_world_finish(&w->student);
    nn_world_finish(&w->teacher);
}

/* Sums of the terms; the gradients of their sum, each times its scale, are in the student's buffer. */
static void learn(struct lesson_world *w, float lambda, const double *scale, double *sums)
{
    const struct bt_batch *batch = &w->student.batch;
    memcpy(w->lesson.scale, scale, sizeof w->lesson.scale);
    memset(w->student.gradients, 0, w->student.params.total * sizeof(float));
    bt_model_forward(w->teacher.model, batch, 0.0f, student_shape.layers);
    bt_model_learn(w->student.model, batch, lambda, &w->lesson, sums);
}

static struct bt_distill every_term(enum bt_hidden_loss hidden, size_t split_heads)
{
    return (struct bt_distill){.terms = {true, true, true, true},
                               .temperature = 2.0f,
                               .tau_squared = split_heads > 0,
                               .hidden = hidden,
                               .split_heads = split_heads,
                               .relation_temperature = 0.5f};
}

static const double scales[] = {0.02, 0.03, 0.05, 0.04};

static double weighted(const double *sums)
{
    double sum = 0.0;
    for (int t = 0; t < BT_TERM_COUNT; t++)
        sum += scales[t] * sums[t];
    return sum;
}

static double *copy_of(const float *from, size_t n)
{
    double *copy = malloc(n * sizeof *copy);
    assert_non_null(copy);
    for (size_t i = 0; i < n; i++)
        copy[i] = (double)from[i];
    return copy;
}

/* The slope of the whole loss along the gradient is its squared length. In float32 with steps of 1e-3 of that length,
 * the loss is good for three digits of it. */
static void check_slope(struct bt_distill distill, enum nn_layout layout)
{
    struct lesson_world w;
    double sums[BT_TERM_COUNT], squared = 0.0;
    open_world(&w, distill, false, layout);
    const size_t total = w.student.params.total;
    learn(&w, 0.0f, scales, sums);
    double *gradient = copy_of(w.student.gradients, total), *start = copy_of(w.student.weights, total);
    for (size_t i = 0; i < total; i++)
        squared += gradient[i] * gradient[i];
    const double h = 2e-3 / sqrt(squared);
    double at[2];
    for (int side = 0; side < 2; side++) {
        for (size_t i = 0; i < total; i++)
            w.student.weights[i] = (float)(start[i] + (side ? h : -h) * gradient[i]);
        learn(&w, 0.0f, scales, sums);
        at[side] = weighted(sums);
    }
    const double slope = (at[1] - at[0]) / (2.0 * h);
    if (!(fabs(slope - squared) <= 5e-3 * squared))
        fail_msg("slope %.9g, squared gradient %.9g", slope, squared);
    free(gradient);
    free(start);
    close_world(&w);
}

static void the_slope_is_the_gradient(void **state)
{
    (void)state;
    for (int layout = NN_PLAIN; layout <= NN_PACKED; layout++)
        for (int hidden = BT_HIDDEN_MSE; hidden <= BT_HIDDEN_INNER_PRODUCT; hidden++)
            for (size_t split = 0; split <= 3; split += 3)
                check_slope(every_term((enum bt_hidden_loss)hidden, split), (enum nn_layout)layout);
}

/* A term that weighs nothing is measured all the same, and gradients add up. */
static void terms_add_up(void **state)
{
    struct lesson_world w;
    double all[BT_TERM_COUNT], alone[BT_TERM_COUNT], size = 0.0;
    (void)state;
    open_world(&w, every_term(BT_HIDDEN_MSE_NORMALIZED, 0), true, NN_PACKED);
    const size_t total = w.student.params.total;
    double *sum = calloc(total, sizeof *sum);
    assert_non_null(sum);
    for (int t = 0; t < BT_TERM_COUNT; t++) {
        double scale[BT_TERM_COUNT] = {0.0};
        scale[t] = scales[t];
        learn(&w, 1.0f, scale, alone);
        for (size_t i = 0; i < total; i++)
            sum[i] += (double)w.student.gradients[i];
    }
    learn(&w, 1.0f, scales, all);
    for (int t = 0; t < BT_TERM_COUNT; t++)
        assert_true(all[t] == alone[t] && all[t] != 0.0);
    for (size_t i = 0; i < total; i++)
        size = fmax(size, fabs(sum[i]));
    for (size_t i = 0; i < total; i++)
        assert_true(fabs(sum[i] - (double)w.student.gradients[i]) <= 2e-5 * size);
    free(sum);
    close_world(&w);
}

/* Cross entropy alone is plain training, to the bit. */
static void cross_entropy_alone_is_plain_training(void **state)
{
    struct lesson_world w;
    const struct bt_distill distill = {.terms = {true}, .temperature = 1.0f};
    const double scale[BT_TERM_COUNT] = {0.125};
    double sums[BT_TERM_COUNT];
    (void)state;
    open_world(&w, distill, true, NN_PACKED);
    const size_t bytes = w.student.params.total * sizeof(float);
    const double loss = nn_world_backward(&w.student, 0.5f, 0.125f);
    float *want = malloc(bytes);
    assert_non_null(want);
    memcpy(want, w.student.gradients, bytes);
    learn(&w, 0.5f, scale, sums);
    assert_true(sums[BT_TERM_CROSS_ENTROPY] == loss);
    assert_true(sums[BT_TERM_LOGITS] == 0.0 && sums[BT_TERM_HIDDEN] == 0.0 && sums[BT_TERM_RELATION] == 0.0);
    assert_memory_equal(want, w.student.gradients, bytes);
    free(want);
    close_world(&w);
}

/* A student that is its own teacher has nothing to learn but the labels. */
static void a_teacher_of_itself_says_nothing_new(void **state)
{
    struct lesson_world w;
    double sums[BT_TERM_COUNT];
    const double taught[BT_TERM_COUNT] = {0.0, 1.0, 1.0, 1.0};
    (void)state;
    open_world(&w, every_term(BT_HIDDEN_MSE, 2), false, NN_PACKED);
    const struct bt_model_options options = {
        .rows = 2, .seq = 16, .keep = BT_KEEP_INPUTS, .keep_qkv = true, .qkv_layer = 1};
    bt_model_destroy(w.teacher.model);
    w.teacher.model = NULL;
    w.lesson.teacher = make(&w.student, &options);
    bt_model_forward(w.lesson.teacher, &w.student.batch, 0.0f, student_shape.layers);
    memcpy(w.lesson.scale, taught, sizeof taught);
    bt_model_learn(w.student.model, &w.student.batch, 0.0f, &w.lesson, sums);
    for (int t = BT_TERM_LOGITS; t < BT_TERM_COUNT; t++)
        assert_true(fabs(sums[t]) <= 1e-5);
    for (size_t i = 0; i < w.student.params.total; i++)
        assert_true(fabsf(w.student.gradients[i]) <= 1e-4f);
    bt_model_destroy(w.lesson.teacher);
    close_world(&w);
}

/* What other documents hold changes nothing in the terms of this one: ids of all but the first document are drawn anew,
 * and with labels and tokens of the first alone, nothing changes. */
static void documents_do_not_leak(void **state)
{
    struct lesson_world w;
    double before[BT_TERM_COUNT], after[BT_TERM_COUNT];
    (void)state;
    open_world(&w, every_term(BT_HIDDEN_MSE_NORMALIZED, 0), false, NN_PACKED);
    struct bt_batch *b = &w.student.batch;
    size_t first_end = 1;
    while (b->first[first_end] == 0)
        first_end++;
    assert_true(first_end > 1 && first_end < b->seq);
    for (size_t i = first_end; i < b->rows * b->seq; i++)
        b->labels[i] = BT_IGNORE_LABEL;
    b->labels[0] = 5;
    b->used[0] = (int32_t)first_end;
    b->used[1] = 0;
    learn(&w, 0.0f, scales, before);
    for (size_t i = first_end; i < b->rows * b->seq; i++)
        b->ids[i] = (int32_t)((size_t)b->ids[i] * 7 + i) % (int32_t)student_shape.vocab;
    learn(&w, 0.0f, scales, after);
    for (int t = 0; t < BT_TERM_RELATION; t++)
        assert_true(before[t] == after[t] && before[t] != 0.0);
    close_world(&w);
}

/* A teacher that keeps less says the same, to the bit, and needs less memory. */
static void a_lean_teacher_is_the_same(void **state)
{
    struct lesson_world w;
    (void)state;
    open_world(&w, every_term(BT_HIDDEN_MSE, 0), false, NN_PACKED);
    const size_t n = 32, hidden = student_shape.hidden * sizeof(float);
    struct bt_model_options options = {.rows = 2, .seq = 16, .keep_qkv = true, .qkv_layer = 1};
    struct bt_model *model[3];
    size_t memory[3];
    for (int keep = BT_KEEP_ALL; keep <= BT_KEEP_LAST; keep++) {
        options.keep = (enum bt_keep)keep;
        model[keep] = make(&w.teacher, &options);
        memory[keep] = bt_model_memory(&w.teacher.params, &options);
        bt_model_forward(model[keep], &w.student.batch, 0.0f, student_shape.layers);
    }
    assert_true(memory[0] > memory[1] && memory[1] >= memory[2]); /* with two blocks, two inputs are all there are */
    for (size_t i = 0; i <= student_shape.layers; i++)
        assert_memory_equal(bt_model_hidden(model[1], i), bt_model_hidden(model[0], i), n * hidden);
    assert_memory_equal(bt_model_hidden(model[2], 2), bt_model_hidden(model[0], 2), n * hidden);
    const size_t keys = n * student_shape.kv_heads * student_shape.head_dim * sizeof(float);
    assert_memory_equal(bt_model_qkv(model[1])->v, bt_model_qkv(model[0])->v, keys);
    assert_memory_equal(bt_model_qkv(model[2])->k, bt_model_qkv(model[0])->k, keys);
    options.headless = true;
    assert_true(bt_model_memory(&w.teacher.params, &options) < memory[2]);
    for (int keep = BT_KEEP_ALL; keep <= BT_KEEP_LAST; keep++)
        bt_model_destroy(model[keep]);
    close_world(&w);
}

static void any_number_of_threads(void **state)
{
    static const int counts[] = {2, 3, 7};
    const int before = omp_get_max_threads();
    struct lesson_world w;
    double want_sums[BT_TERM_COUNT], sums[BT_TERM_COUNT];
    (void)state;
    open_world(&w, every_term(BT_HIDDEN_MSE_NORMALIZED, 3), true, NN_PACKED);
    const size_t bytes = w.student.params.total * sizeof(float);
    float *want = malloc(bytes);
    assert_non_null(want);
    omp_set_num_threads(1);
    learn(&w, 1.0f, scales, want_sums);
    memcpy(want, w.student.gradients, bytes);
    for (size_t i = 0; i < BT_ARRAY_LEN(counts); i++) {
        omp_set_num_threads(counts[i]);
        learn(&w, 1.0f, scales, sums);
        assert_memory_equal(sums, want_sums, sizeof sums);
        assert_memory_equal(w.student.gradients, want, bytes);
    }
    omp_set_num_threads(before);
    free(want);
    close_world(&w);
}

/* A student that keeps the inputs of its blocks alone: the terms read those, and q, k and v of any one block. */
static void a_student_that_runs_forward_again_learns_the_same(void **state)
{
    struct lesson_world w;
    double want[BT_TERM_COUNT], sums[BT_TERM_COUNT];
    (void)state;
    open_world(&w, every_term(BT_HIDDEN_MSE_NORMALIZED, 3), true, NN_PACKED);
    const size_t bytes = w.student.params.total * sizeof(float);
    struct bt_model_options options = {.rows = 2,
                                       .seq = 16,
                                       .ternary_weights = true,
                                       .int8_activations = true,
                                       .gradients = true,
                                       .keep_qkv = true,
                                       .distill = &w.distill};
    float *gradients = malloc(bytes);
    assert_non_null(gradients);
    for (int i = 0; i < 8; i++) {
        w.distill.split_heads = i & 1 ? 3 : 0;
        options.qkv_layer = i & 2 ? 1 : 0;
        const float lambda = i & 4 ? 1.0f : 0.5f;
        for (int keep = BT_KEEP_ALL; keep <= BT_KEEP_INPUTS; keep++) {
            options.keep = (enum bt_keep)keep;
            bt_model_destroy(w.student.model);
            w.student.model = make(&w.student, &options);
            learn(&w, lambda, scales, keep == BT_KEEP_ALL ? want : sums);
            if (keep == BT_KEEP_ALL)
                memcpy(gradients, w.student.gradients, bytes);
        }
        assert_memory_equal(sums, want, sizeof sums);
        assert_memory_equal(w.student.gradients, gradients, bytes);
    }
    free(gradients);
    close_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_slope_is_the_gradient),
        cmocka_unit_test(terms_add_up),
        cmocka_unit_test(cross_entropy_alone_is_plain_training),
        cmocka_unit_test(a_teacher_of_itself_says_nothing_new),
        cmocka_unit_test(documents_do_not_leak),
        cmocka_unit_test(a_lean_teacher_is_the_same),
        cmocka_unit_test(any_number_of_threads),
        cmocka_unit_test(a_student_that_runs_forward_again_learns_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
