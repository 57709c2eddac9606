/* The real and random model folders: losses, logits, gradients and ten AdamW steps, against a float64 program. */
#include "golden.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "train/optimizer.h"

/* The reference is float64; float32 rounding through the layers stays well below this share of the largest value. */
#define TOLERANCE 2e-5

static const char *const models[] = {
    "stories260K",        "stories260K-bf16",    "stories260K-f16-sharded", "babyllama-tok105",
    "random-tiny-llama3", "random-tiny-mistral", "random-tiny-qwen3",
};

static struct bt_batch batch_of(const json_t *ids)
{
    struct bt_batch batch = golden_batch(1, json_array_size(ids));
    for (size_t i = 0; i < batch.seq; i++) {
        batch.ids[i] = (int32_t)json_integer_value(json_array_get(ids, i));
        if (i > 0)
            batch.labels[i - 1] = batch.ids[i];
    }
    golden_batch_count(&batch);
    return batch;
}

static double mean_loss(struct golden_model *g, const struct bt_batch *batch)
{
    return bt_model_loss(g->model, batch, 0.0f) / (double)batch->label_count;
}

static void close_to(const char *what, double got, double want, double tolerance)
{
    if (!(fabs(got - want) <= tolerance))
        fail_msg("%s: got %.9g, want %.9g, tolerance %.3g", what, got, want, tolerance);
}

static void compare_last_logits(const json_t *sequence, const float *logits, size_t vocab)
{
    const json_t *want = json_object_get(sequence, "last_logits");
    double scale = 0.0;
    assert_int_equal(json_array_size(want), vocab);
    for (size_t v = 0; v < vocab; v++)
        scale = fmax(scale, fabs(json_number_value(json_array_get(want, v))));
    for (size_t v = 0; v < vocab; v++)
        close_to("logit", (double)logits[v], json_number_value(json_array_get(want, v)), TOLERANCE * scale);
}

static void compare_argmax(const json_t *sequence, const float *logits, size_t n, size_t vocab)
{
    const json_t *want = json_object_get(sequence, "argmax");
    for (size_t i = 0; i < json_array_size(want) && i < n; i++) {
        size_t best = 0;
        for (size_t v = 1; v < vocab; v++)
            if (logits[i * vocab + v] > logits[i * vocab + best])
                best = v;
        assert_int_equal(best, json_integer_value(json_array_get(want, i)));
    }
}

static void run_sequence(const char *folder, const struct bt_compute *compute, const json_t *sequence)
{
    struct golden_model g;
    struct bt_batch batch = batch_of(json_object_get(sequence, "ids"));
    golden_model_open(&g, folder, compute, 1, batch.seq, false, false);
    const size_t vocab = g.loaded->shape.vocab;
    float *logits = malloc(batch.seq * vocab * sizeof(float));
    assert_non_null(logits);
    const double want = golden_number(sequence, "mean_nll");
    close_to("mean loss", mean_loss(&g, &batch), want, TOLERANCE * fmax(want, 1.0));
    bt_model_logits(g.model, &batch, 0.0f, logits);
    compare_last_logits(sequence, logits + (batch.seq - 1) * vocab, vocab);
    compare_argmax(sequence, logits, batch.seq, vocab);
    free(logits);
    golden_model_close(&g);
    golden_batch_free(&batch);
}

static void compare_gradient(const struct golden_model *g, const struct bt_param *p, const json_t *want)
{
    const float *gradient = g->gradients + p->offset;
    const json_t *first = json_object_get(want, "first8");
    double squares = 0.0, sum = 0.0, largest = 0.0;
    for (size_t i = 0; i < p->count; i++) {
        squares += (double)gradient[i] * (double)gradient[i];
        sum += (double)gradient[i];
        largest = fmax(largest, fabs((double)gradient[i]));
    }
    const double l2 = golden_number(want, "l2");
    close_to(p->name, sqrt(squares), l2, TOLERANCE * l2);
    close_to(p->name, sum, golden_number(want, "sum"), TOLERANCE * l2 * sqrt((double)p->count));
    for (size_t i = 0; i < json_array_size(first); i++)
        close_to(p->name, (double)gradient[i], json_number_value(json_array_get(first, i)), TOLERANCE * largest);
}

static void run_gradient(struct golden_model *g, const struct bt_batch *batch, const json_t *gradient)
{
    const json_t *tensors = json_object_get(gradient, "tensors");
    bt_model_backward(g->model, batch, 0.0f, (float)(1.0 / (double)batch->label_count));
    assert_int_equal(json_object_size(tensors), g->loaded->params.count);
    for (size_t i = 0; i < g->loaded->params.count; i++) {
        const struct bt_param *p = &g->loaded->params.list[i];
        const json_t *want = json_object_get(tensors, p->name);
        assert_non_null(want);
        compare_gradient(g, p, want);
    }
}

/* The first step at this learning rate throws babyllama from a loss of 0.03 to 2.7: where Adam divides a gradient below
 * rounding by its own root, float32 and float64 part ways. The others stay close to the end. */
static double adamw_tolerance(double first_loss, double second_loss, size_t t)
{
    if (t == 0 || second_loss < first_loss)
        return 2e-4;
    return t < 3 ? 1e-3 : 0.05;
}

/* That program decays every tensor, gains included. */
static void run_adamw(struct golden_model *g, const struct bt_batch *batch, const json_t *adamw)
{
    const size_t total = g->loaded->params.total;
    const json_t *losses = json_object_get(adamw, "losses_before_each_step_then_final");
    const struct bt_cfg_optimizer config = {.lr = golden_number(adamw, "lr"),
                                            .beta1 = golden_number(adamw, "beta1"),
                                            .beta2 = golden_number(adamw, "beta2"),
                                            .eps = golden_number(adamw, "eps"),
                                            .weight_decay = golden_number(adamw, "weight_decay")};
    struct bt_optimizer optimizer = {.params = &g->loaded->params,
                                     .kernels = &g->compute.kernels,
                                     .config = &config,
                                     .weights = g->loaded->weights,
                                     .gradients = g->gradients,
                                     .m = calloc(total, sizeof(float)),
                                     .v = calloc(total, sizeof(float))};
    const double first = json_number_value(json_array_get(losses, 0));
    const double second = json_number_value(json_array_get(losses, 1));
    for (size_t i = 0; i < g->loaded->params.count; i++)
        g->loaded->params.list[i].decays = true;
    for (size_t t = 0; t < json_array_size(losses); t++) {
        const double want = json_number_value(json_array_get(losses, t));
        close_to(test_format("loss before step %zu", t + 1), mean_loss(g, batch), want,
                 want * adamw_tolerance(first, second, t));
        memset(g->gradients, 0, total * sizeof(float));
        bt_model_backward(g->model, batch, 0.0f, (float)(1.0 / (double)batch->label_count));
        bt_optimizer_step(&optimizer, config.lr, (int64_t)t + 1, 1.0f);
    }
    free(optimizer.m);
    free(optimizer.v);
}

static void run_model(const char *folder, const json_t *reference, const struct bt_compute *compute)
{
    const json_t *sequences = json_object_get(reference, "sequences");
    struct golden_model g;
    for (size_t i = 0; i < json_array_size(sequences); i++)
        run_sequence(folder, compute, json_array_get(sequences, i));
    struct bt_batch batch = batch_of(json_object_get(json_array_get(sequences, 0), "ids"));
    golden_model_open(&g, folder, compute, 1, batch.seq, false, false);
    run_gradient(&g, &batch, json_object_get(reference, "gradient"));
    run_adamw(&g, &batch, json_object_get(reference, "adamw"));
    golden_model_close(&g);
    golden_batch_free(&batch);
}

static void test_model(void **state)
{
    const char *folder = test_shared(test_format("data/models/%s", (const char *)*state));
    json_t *reference = golden_json(test_format("%s/golden-reference.json", folder));
    struct bt_compute computes[8];
    const size_t count = golden_computes(computes, BT_ARRAY_LEN(computes));
    for (size_t i = 0; i < count; i++)
        run_model(folder, reference, &computes[i]);
    json_decref(reference);
}

int main(void)
{
    struct CMUnitTest tests[BT_ARRAY_LEN(models)];
    for (size_t i = 0; i < BT_ARRAY_LEN(models); i++)
        tests[i] = (struct CMUnitTest){
            .name = models[i], .test_func = test_model, .initial_state = (void *)(uintptr_t)models[i]};
    return cmocka_run_group_tests_name("models", tests, NULL, NULL);
}
