/* Logits, hidden states, loss and every gradient of one batch, against an independent autograd program. */
#include "golden.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define TOLERANCE 1e-5

static const char *const cases[] = {
    "llama-fp",
    "llama-fp-label-mask",
    "llama-bit",
    "llama-bit-half-lambda",
    "llama-all-biases",
    "llama-tied-relu2",
    "llama-weights-only",
    "llama3-rope-documents",
    "qwen2-bias-bit",
    "qwen3-qknorm-bit",
    "mistral-window-linear-rope",
};

static int32_t cell(const json_t *table, size_t row, size_t column)
{
    return (int32_t)json_integer_value(json_array_get(json_array_get(table, row), column));
}

/* Positions and visibility start over with each document. */
static void mark_documents(struct bt_batch *batch, const json_t *documents)
{
    for (size_t r = 0; r < batch->rows; r++)
        for (size_t i = 1; i < batch->seq; i++) {
            const size_t at = r * batch->seq + i;
            const bool same = cell(documents, r, i) == cell(documents, r, i - 1);
            batch->first[at] = same ? batch->first[at - 1] : (int32_t)i;
            batch->position[at] = (int32_t)i - batch->first[at];
        }
}

static struct bt_batch batch_of(const json_t *info)
{
    const json_t *ids = json_object_get(info, "input_ids"), *labels = json_object_get(info, "labels");
    const json_t *documents = json_object_get(info, "document_ids");
    struct bt_batch batch = golden_batch(json_array_size(ids), json_array_size(json_array_get(ids, 0)));
    for (size_t r = 0; r < batch.rows; r++)
        for (size_t i = 0; i < batch.seq; i++) {
            batch.ids[r * batch.seq + i] = cell(ids, r, i);
            batch.labels[r * batch.seq + i] = cell(labels, r, i);
        }
    if (json_is_array(documents))
        mark_documents(&batch, documents);
    golden_batch_count(&batch);
    return batch;
}

static const float *expected(const struct bt_safetensors *file, const char *name, size_t count)
{
    const struct bt_tensor_view *view = bt_safetensors_find(file, name);
    if (!view)
        fail_msg("the fixture has no %s", name);
    assert_int_equal(view->bytes, count * sizeof(float));
    return (const float *)(const void *)view->data;
}

static void compare_hidden(const struct golden_model *g, const struct bt_safetensors *want, size_t n)
{
    const size_t hidden = g->loaded->shape.hidden;
    for (size_t i = 0; i <= g->loaded->shape.layers; i++) {
        const char *name = test_format("hidden.%zu", i);
        golden_compare(name, bt_model_hidden(g->model, i), expected(want, name, n * hidden), n * hidden, TOLERANCE);
    }
}

static void compare_gradients(const struct golden_model *g, const struct bt_safetensors *want)
{
    for (size_t i = 0; i < g->loaded->params.count; i++) {
        const struct bt_param *p = &g->loaded->params.list[i];
        const char *name = test_format("grad.%s", p->name);
        golden_compare(name, g->gradients + p->offset, expected(want, name, p->count), p->count, TOLERANCE);
    }
}

static double norm_of(const struct golden_model *g)
{
    double sum = 0.0;
    for (size_t i = 0; i < g->loaded->params.total; i++)
        sum += (double)g->gradients[i] * (double)g->gradients[i];
    return sqrt(sum);
}

static void run_case(const char *folder, const struct bt_compute *compute)
{
    struct bt_diag diag = {0};
    struct bt_safetensors *want = NULL;
    struct golden_model g;
    json_t *info = golden_json(test_format("%s/case.json", folder));
    struct bt_batch batch = batch_of(info);
    const bool ternary = !strcmp(json_string_value(json_object_get(info, "weights")), "ternary");
    const bool int8 = !strcmp(json_string_value(json_object_get(info, "activations")), "int8");
    const float lambda = (float)golden_number(info, "lambda");
    const size_t n = batch.rows * batch.seq;

    TEST_OK(bt_safetensors_open(test_format("%s/expect.safetensors", folder), &want, &diag), diag);
    golden_model_open(&g, test_format("%s/model", folder), compute, batch.rows, batch.seq, ternary, int8);
    const size_t vocab = g.loaded->shape.vocab;
    float *logits = malloc(n * vocab * sizeof(float));
    assert_non_null(logits);

    assert_int_equal(batch.label_count, (size_t)golden_number(info, "loss_tokens"));
    bt_model_logits(g.model, &batch, lambda, logits);
    golden_compare("logits", logits, expected(want, "logits", n * vocab), n * vocab, TOLERANCE);
    compare_hidden(&g, want, n);
    const double mean = bt_model_loss(g.model, &batch, lambda) / (double)batch.label_count;
    assert_true(fabs(mean - golden_number(info, "loss")) <= TOLERANCE * golden_number(info, "loss"));
    const double sum = bt_model_backward(g.model, &batch, lambda, (float)(1.0 / (double)batch.label_count));
    assert_true(sum / (double)batch.label_count == mean);
    compare_gradients(&g, want);
    assert_true(fabs(norm_of(&g) - golden_number(info, "grad_norm")) <= TOLERANCE * golden_number(info, "grad_norm"));

    free(logits);
    golden_model_close(&g);
    golden_batch_free(&batch);
    bt_safetensors_close(want);
    json_decref(info);
}

static void test_case(void **state)
{
    const char *folder = test_shared(test_format("golden/%s", (const char *)*state));
    struct bt_compute computes[8];
    const size_t count = golden_computes(computes, BT_ARRAY_LEN(computes));
    for (size_t i = 0; i < count; i++) {
        print_message("%s: %s kernels, %s products\n", (const char *)*state,
                      bt_cpu_level_name(computes[i].kernels.level), computes[i].matmul->name);
        run_case(folder, &computes[i]);
    }
}

int main(void)
{
    struct CMUnitTest tests[BT_ARRAY_LEN(cases)];
    for (size_t i = 0; i < BT_ARRAY_LEN(cases); i++)
        tests[i] =
            (struct CMUnitTest){.name = cases[i], .test_func = test_case, .initial_state = (void *)(uintptr_t)cases[i]};
    return cmocka_run_group_tests_name("fixtures", tests, NULL, NULL);
}
