#include "export/probe.h"

#include <math.h>

#include "base/cpu.h"
#include "base/mem.h"
#include "nn/model.h"

enum { ROWS = 2, SEQ = 24 };

/* Ids that jump about the vocabulary: of a step that shares no factor with most sizes. */
static void fill_batch(struct bt_batch *batch, size_t vocab)
{
    for (size_t i = 0; i < batch->rows * batch->seq; i++) {
        batch->ids[i] = (int32_t)((i * 7919 + 13) % vocab);
        batch->labels[i] = BT_IGNORE_LABEL;
        batch->position[i] = (int32_t)(i % batch->seq);
        batch->first[i] = 0;
    }
    batch->tokens = batch->rows * batch->seq;
}

static enum bt_err run(const struct bt_params *params, const float *weights, const struct bt_model_options *options,
                       float *logits, struct bt_diag *diag)
{
    struct bt_compute compute;
    struct bt_batch batch;
    struct bt_model *model = NULL;
    struct bt_arena measure = {0}, arena = {0};
    bt_compute_auto(&compute);
    bt_batch_carve(&batch, &measure, options->rows, options->seq);
    if (!bt_arena_init(&arena, measure.used))
        return bt_fail_nomem(diag);
    bt_batch_carve(&batch, &arena, options->rows, options->seq);
    fill_batch(&batch, params->shape->vocab);
    const enum bt_err err = bt_model_create(params, options, weights, NULL, &compute, &model, diag);
    if (!err) {
        bt_model_prepare(model);
        bt_model_logits(model, &batch, 1.0f, logits);
    }
    bt_model_destroy(model);
    bt_arena_finish(&arena);
    return err;
}

enum bt_err bt_probe_logits(const struct bt_params *params, const float *weights, bool ternary, bool int8,
                            float **ret_logits, size_t *ret_positions, struct bt_diag *diag)
{
    const struct bt_model_options options = {
        .rows = ROWS, .seq = SEQ, .ternary_weights = ternary, .int8_activations = int8};
    float *logits = bt_zalloc((size_t)ROWS * SEQ * sizeof *logits, params->shape->vocab);
    if (!logits)
        return bt_fail_nomem(diag);
    const enum bt_err err = run(params, weights, &options, logits, diag);
    if (err) {
        bt_free(logits);
        return err;
    }
    *ret_logits = logits;
    *ret_positions = (size_t)ROWS * SEQ;
    return BT_OK;
}

double bt_probe_difference(const float *a, const float *b, size_t count)
{
    double largest = 0.0;
    for (size_t i = 0; i < count; i++) {
        const double difference = fabs((double)a[i] - (double)b[i]);
        if (isnan(difference))
            return difference;
        largest = difference > largest ? difference : largest;
    }
    return largest;
}
