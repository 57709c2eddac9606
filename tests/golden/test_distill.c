/* A student beside its teacher: every term of the loss, the logits of both and the gradients of the weighted sum,
 * against an independent autograd program. */
#include "golden.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define TOLERANCE 1e-5

static const char *const cases[] = {
    "distill-logits", "distill-hidden", "distill-relation-equation", "distill-relation-algorithm", "distill-documents",
};

static const char *const term_names[] = {
    [BT_TERM_CROSS_ENTROPY] = "cross_entropy",
    [BT_TERM_LOGITS] = "logits",
    [BT_TERM_HIDDEN] = "hidden",
    [BT_TERM_RELATION] = "attention_relation",
};

struct lesson {
    struct bt_distill distill;
    size_t layer;
    double weights[BT_TERM_COUNT];
};

static double number_or(const json_t *object, const char *key, double otherwise)
{
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : otherwise;
}

/* Hidden states are those of the one fixture that has them: three blocks, progressive weights. */
static struct lesson read_lesson(const json_t *losses, size_t layers)
{
    static const double progressive[] = {1.0 / 6.0, 2.0 / 6.0, 3.0 / 6.0};
    const json_t *logits = json_object_get(losses, "logits"), *hidden = json_object_get(losses, "hidden");
    const json_t *relation = json_object_get(losses, "attention_relation");
    struct lesson l = {.distill = {.temperature = (float)number_or(logits, "temperature", 1.0),
                                   .tau_squared = json_is_true(json_object_get(logits, "tau_squared")),
                                   .hidden = BT_HIDDEN_MSE_NORMALIZED,
                                   .layer_weights = progressive,
                                   .relation_temperature = (float)number_or(relation, "temperature", 1.0)}};
    const double layer = number_or(relation, "layer", 0.0);
    l.layer = layer < 0.0 ? (size_t)((double)layers + layer) : (size_t)layer;
    l.distill.split_heads = (size_t)number_or(relation, "split_heads", 0.0);
    assert_true(!hidden || layers == BT_ARRAY_LEN(progressive));
    if (hidden)
        assert_string_equal(json_string_value(json_object_get(hidden, "layer_weights")), "progressive");
    for (int t = 0; t < BT_TERM_COUNT; t++) {
        l.distill.terms[t] = json_object_get(losses, term_names[t]);
        l.weights[t] = number_or(json_object_get(losses, term_names[t]), "weight", 0.0);
    }
    return l;
}

static void compare_logits(struct golden_model *g, const struct bt_batch *batch, float lambda, const char *name,
                           const struct bt_safetensors *want)
{
    const size_t count = batch->rows * batch->seq * g->loaded->shape.vocab;
    float *logits = malloc(count * sizeof(float));
    assert_non_null(logits);
    bt_model_logits(g->model, batch, lambda, logits);
    golden_compare(name, logits, golden_expected(want, name, count), count, TOLERANCE);
    free(logits);
}

static void compare_terms(const json_t *info, const struct lesson *l, const double *sums, const double *counts)
{
    const json_t *terms = json_object_get(info, "terms");
    double loss = 0.0;
    for (int t = 0; t < BT_TERM_COUNT; t++) {
        if (!l->distill.terms[t])
            continue;
        const double got = sums[t] / counts[t], want = golden_number(terms, term_names[t]);
        if (!(fabs(got - want) <= TOLERANCE * fabs(want)))
            fail_msg("%s: got %.9g, want %.9g", term_names[t], got, want);
        loss += l->weights[t] * got;
    }
    assert_true(fabs(loss - golden_number(info, "loss")) <= TOLERANCE * fabs(loss));
}

/* keep: of the student. */
static void run_case(const char *folder, const struct bt_compute *compute, enum bt_keep keep)
{
    struct bt_diag diag = {0};
    struct bt_safetensors *want = NULL;
    struct golden_model student, teacher;
    json_t *info = golden_json(test_format("%s/case.json", folder));
    struct bt_batch batch = golden_fixture_batch(info);
    const float lambda = (float)golden_number(info, "lambda");
    json_t *config = golden_json(test_format("%s/model/config.json", folder));
    struct lesson l = read_lesson(json_object_get(info, "losses"), (size_t)golden_number(config, "num_hidden_layers"));
    struct bt_model_options options = {
        .rows = batch.rows, .seq = batch.seq, .keep = BT_KEEP_INPUTS, .keep_qkv = true, .qkv_layer = l.layer};

    TEST_OK(bt_safetensors_open(test_format("%s/expect.safetensors", folder), &want, &diag), diag);
    golden_model_open_as(&teacher, test_format("%s/teacher", folder), compute, &options);
    options.keep = keep;
    options.distill = &l.distill;
    options.gradients = options.ternary_weights = options.int8_activations = true;
    golden_model_open_as(&student, test_format("%s/model", folder), compute, &options);
    compare_logits(&student, &batch, lambda, "logits", want);
    compare_logits(&teacher, &batch, 0.0f, "teacher_logits", want);

    const double labels = (double)batch.label_count, tokens = (double)batch.tokens;
    const double counts[] = {labels, labels, tokens, tokens};
    double sums[BT_TERM_COUNT];
    struct bt_lesson lesson = {.teacher = teacher.model};
    for (int t = 0; t < BT_TERM_COUNT; t++)
        lesson.scale[t] = l.weights[t] / counts[t];
    bt_model_forward(teacher.model, &batch, 0.0f, teacher.loaded->shape.layers);
    bt_model_learn(student.model, &batch, lambda, &lesson, sums);
    compare_terms(info, &l, sums, counts);
    golden_compare_gradients(&student, want, TOLERANCE);
    const double norm = golden_number(info, "grad_norm");
    assert_true(fabs(golden_gradient_norm(&student) - norm) <= TOLERANCE * norm);

    golden_model_close(&student);
    golden_model_close(&teacher);
    golden_batch_free(&batch);
    bt_safetensors_close(want);
    json_decref(config);
    json_decref(info);
}

int main(void)
{
    return golden_run_cases("distill", cases, BT_ARRAY_LEN(cases), run_case);
}
