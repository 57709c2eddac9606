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

static void compare_hidden(const struct golden_model *g, const struct bt_safetensors *want, size_t n)
{
    const size_t hidden = g->loaded->shape.hidden;
    for (size_t i = 0; i <= g->loaded->shape.layers; i++) {
        const char *name = test_format("hidden.%zu", i);
        golden_compare(name, bt_model_hidden(g->model, i), golden_expected(want, name, n * hidden), n * hidden,
                       TOLERANCE);
    }
}

static void run_case(const char *folder, const struct bt_compute *compute, enum bt_keep keep)
{
    struct bt_diag diag = {0};
    struct bt_safetensors *want = NULL;
    struct golden_model g;
    json_t *info = golden_json(test_format("%s/case.json", folder));
    struct bt_batch batch = golden_fixture_batch(info);
    const bool ternary = !strcmp(json_string_value(json_object_get(info, "weights")), "ternary");
    const bool int8 = !strcmp(json_string_value(json_object_get(info, "activations")), "int8");
    const float lambda = (float)golden_number(info, "lambda");
    const size_t n = batch.rows * batch.seq;

    TEST_OK(bt_safetensors_open(test_format("%s/expect.safetensors", folder), &want, &diag), diag);
    const struct bt_model_options options = {.rows = batch.rows,
                                             .seq = batch.seq,
                                             .ternary_weights = ternary,
                                             .int8_activations = int8,
                                             .gradients = true,
                                             .keep = keep};
    golden_model_open_as(&g, test_format("%s/model", folder), compute, &options);
    const size_t vocab = g.loaded->shape.vocab;
    float *logits = malloc(n * vocab * sizeof(float));
    assert_non_null(logits);

    assert_int_equal(batch.label_count, (size_t)golden_number(info, "loss_tokens"));
    bt_model_logits(g.model, &batch, lambda, logits);
    golden_compare("logits", logits, golden_expected(want, "logits", n * vocab), n * vocab, TOLERANCE);
    compare_hidden(&g, want, n);
    const double mean = bt_model_loss(g.model, &batch, lambda) / (double)batch.label_count;
    assert_true(fabs(mean - golden_number(info, "loss")) <= TOLERANCE * golden_number(info, "loss"));
    const double sum = bt_model_backward(g.model, &batch, lambda, (float)(1.0 / (double)batch.label_count));
    assert_true(sum / (double)batch.label_count == mean);
    golden_compare_gradients(&g, want, TOLERANCE);
    assert_true(fabs(golden_gradient_norm(&g) - golden_number(info, "grad_norm")) <=
                TOLERANCE * golden_number(info, "grad_norm"));

    free(logits);
    golden_model_close(&g);
    golden_batch_free(&batch);
    bt_safetensors_close(want);
    json_decref(info);
}

int main(void)
{
    return golden_run_cases("fixtures", cases, BT_ARRAY_LEN(cases), run_case);
}
