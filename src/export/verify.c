#include "export/verify.h"

#include <math.h>
#include <string.h>

#include "base/cpu.h"
#include "base/mem.h"
#include "nn/model.h"

enum bt_err bt_verify_load(const char *path, struct bt_loaded_model **ret_again, struct bt_diag *diag)
{
    struct bt_diag reason = {""};
    const enum bt_err err = bt_model_load(path, ret_again, &reason);
    if (err == BT_ENOMEM)
        return bt_fail_nomem(diag);
    return err ? bt_fail(diag, BT_EPARTIAL, "verification failed: %s", reason.text) : BT_OK;
}

enum bt_err bt_verify_find(const struct bt_loaded_model *again, const struct bt_param *param, const char *path,
                           const struct bt_param **ret_found, struct bt_diag *diag)
{
    const struct bt_param *found = bt_params_find(&again->params, param->name);
    if (!found || found->count != param->count || found->excluded != param->excluded)
        return bt_fail(diag, BT_EPARTIAL, "%s: verification failed: tensor \"%s\" is another one when read back", path,
                       param->name);
    *ret_found = found;
    return BT_OK;
}

enum bt_err bt_verify_values(const struct bt_param *param, const float *want, const float *got, const char *path,
                             struct bt_diag *diag)
{
    for (size_t i = 0; i < param->count; i++)
        if (memcmp(&want[i], &got[i], sizeof *got) != 0)
            return bt_fail(diag, BT_EPARTIAL,
                           "%s: verification failed: tensor \"%s\": element %zu is %.9g when read back, and was %.9g",
                           path, param->name, i, (double)got[i], (double)want[i]);
    return BT_OK;
}

/* ---- logits ---- */

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

/* (ROWS * SEQ, vocab) */
static enum bt_err compute_logits(const struct bt_verify_side *side, float *logits, struct bt_diag *diag)
{
    const struct bt_model_options options = {
        .rows = ROWS, .seq = SEQ, .ternary_weights = side->ternary, .int8_activations = side->int8};
    struct bt_compute compute;
    struct bt_batch batch;
    struct bt_model *model = NULL;
    struct bt_arena measure = {0}, arena = {0};
    bt_compute_auto(&compute);
    bt_batch_carve(&batch, &measure, ROWS, SEQ);
    if (!bt_arena_init(&arena, measure.used))
        return bt_fail_nomem(diag);
    bt_batch_carve(&batch, &arena, ROWS, SEQ);
    fill_batch(&batch, side->params->shape->vocab);
    const enum bt_err err = bt_model_create(side->params, &options, side->weights, NULL, &compute, &model, diag);
    if (!err) {
        bt_model_prepare(model);
        bt_model_logits(model, &batch, 1.0f, logits);
    }
    bt_model_destroy(model);
    bt_arena_finish(&arena);
    return err;
}

static double largest_difference(const float *a, const float *b, size_t count)
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

enum bt_err bt_verify_logits(const struct bt_verify_side *want, const struct bt_verify_side *got,
                             struct bt_export_report *report, struct bt_diag *diag)
{
    const size_t positions = (size_t)ROWS * SEQ, count = positions * want->params->shape->vocab;
    float *of_want = bt_zalloc(count, sizeof *of_want), *of_got = bt_zalloc(count, sizeof *of_got);
    enum bt_err err = of_want && of_got ? compute_logits(want, of_want, diag) : bt_fail_nomem(diag);
    if (!err)
        err = compute_logits(got, of_got, diag);
    if (!err) {
        report->logit_difference = largest_difference(of_want, of_got, count);
        report->verified_positions = positions;
    }
    bt_free(of_want);
    bt_free(of_got);
    return err;
}
