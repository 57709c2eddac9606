/* Training traces: loss, gradient norm, learning rate and lambda of every update, against an independent autograd
 * program. Quantised runs are chaotic (single codes flip and the paths part), hence the bounds that widen with the
 * update. */
#include "golden.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "nn/convert.h"
#include "train/evaluate.h"
#include "train/trainer.h"

struct trace {
    const char *folder;
    json_t *info;
    struct bt_cfg_train_stage config;
    struct bt_rows *rows;
    char *text; /* trace.jsonl */
    size_t text_size;
};

static bool is(const json_t *object, const char *key, const char *value)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text && !strcmp(text, value);
}

static struct bt_cfg_scheduler_keys scheduler_of(const json_t *info)
{
    const json_t *s = json_object_get(info, "scheduler");
    struct bt_cfg_scheduler_keys keys = {.type = is(s, "type", "wsd") ? BT_SCHEDULE_WSD : BT_SCHEDULE_COSINE,
                                         .warmup_steps = (int64_t)golden_number(s, "warmup_steps"),
                                         .min_lr_ratio = golden_number(s, "min_lr_ratio")};
    if (keys.type == BT_SCHEDULE_WSD) {
        keys.decay_ratio = golden_number(s, "decay_ratio");
        keys.decay_type = is(s, "decay_type", "cosine") ? BT_CURVE_COSINE : BT_CURVE_LINEAR;
    }
    return keys;
}

static struct bt_cfg_train_stage config_of(const json_t *info)
{
    const json_t *o = json_object_get(info, "optimizer"), *w = json_object_get(info, "lambda_warmup");
    struct bt_cfg_train_stage config = {
        .present = true,
        .weights = is(info, "weights", "ternary") ? BT_WEIGHTS_TERNARY : BT_WEIGHTS_NONE,
        .activations = is(info, "activations", "int8") ? BT_ACTIVATIONS_INT8 : BT_ACTIVATIONS_NONE,
        .max_steps = (int64_t)golden_number(info, "steps"),
        .batch_size = (int64_t)golden_number(info, "batch_size"),
        .gradient_accumulation_steps = (int64_t)golden_number(info, "gradient_accumulation_steps"),
        .gradient_clipping = golden_number(info, "gradient_clipping"),
        .max_skipped_updates = 20,
        .optimizer = {.lr = golden_number(o, "lr"),
                      .beta1 = json_number_value(json_array_get(json_object_get(o, "betas"), 0)),
                      .beta2 = json_number_value(json_array_get(json_object_get(o, "betas"), 1)),
                      .eps = golden_number(o, "eps"),
                      .weight_decay = golden_number(o, "weight_decay")},
        .scheduler = scheduler_of(info)};
    if (json_is_object(w))
        config.lambda_warmup =
            (struct bt_cfg_lambda_warmup){.enabled = true,
                                          .warmup_steps = (int64_t)golden_number(w, "warmup_steps"),
                                          .schedule = is(w, "schedule", "cosine") ? BT_CURVE_COSINE : BT_CURVE_LINEAR,
                                          .min = 0.0,
                                          .max = 1.0};
    return config;
}

static struct bt_rows *open_rows(const char *path, size_t seq, uint64_t vocab)
{
    struct bt_diag diag = {0};
    struct bt_rows *rows = NULL;
    char file[4096];
    strcpy(file, path);
    const struct bt_cfg_source source = {.path = file, .weight = 1.0, .format = BT_CFG_LLMC};
    const struct bt_rows_options options = {
        .seq = seq, .packing = false, .before = -1, .after = -1, .seed = 1, .stage = "stage2", .vocab_size = vocab};
    TEST_OK(bt_rows_open(&source, 1, &options, &rows, &diag), diag);
    return rows;
}

static void trace_open(struct trace *t, const char *folder, const char *tokens, uint64_t vocab)
{
    t->folder = folder;
    t->info = golden_json(test_format("%s/case.json", folder));
    t->config = config_of(t->info);
    t->rows = open_rows(tokens, (size_t)golden_number(t->info, "seq_len"), vocab);
    t->text = (char *)test_read_file(test_format("%s/trace.jsonl", folder), &t->text_size);
}

static void trace_close(struct trace *t)
{
    bt_rows_close(t->rows);
    json_decref(t->info);
    free(t->text);
}

/* The trace's record of update `step`. */
static json_t *trace_record(const struct trace *t, int64_t step)
{
    struct bt_diag diag = {0};
    json_t *record = NULL;
    const char *line = t->text;
    for (int64_t i = 1; i < step; i++)
        line = strchr(line, '\n') + 1;
    TEST_OK(bt_json_parse(line, strcspn(line, "\n"), "trace", &record, &diag), diag);
    assert_int_equal((int64_t)golden_number(record, "step"), step);
    return record;
}

static void close_to(const char *what, int64_t step, double got, double want, double relative)
{
    if (!(fabs(got - want) <= relative * fabs(want)))
        fail_msg("update %lld: %s %.9g, want %.9g to %.2g", (long long)step, what, got, want, relative);
}

static struct bt_trainer *trainer_of(const struct trace *t, const struct bt_params *params, float *weights,
                                     const struct bt_compute *compute)
{
    struct bt_diag diag = {0};
    struct bt_trainer *trainer = NULL;
    TEST_OK(bt_trainer_create(&t->config, params, weights, t->rows, (size_t)golden_number(t->info, "seq_len"),
                              t->config.max_steps, compute, NULL, &trainer, &diag),
            diag);
    TEST_OK(bt_trainer_begin(trainer, &diag), diag);
    return trainer;
}

/* loss_bound(step) and norm_bound(step) are relative; a bound of 0 is not compared. */
static void run_trace(const struct trace *t, struct bt_trainer *trainer, double (*loss_bound)(int64_t step),
                      double (*norm_bound)(int64_t step), double *losses)
{
    struct bt_diag diag = {0};
    for (int64_t step = 1; step <= t->config.max_steps; step++) {
        struct bt_update_report report;
        json_t *want = trace_record(t, step);
        TEST_OK(bt_trainer_update(trainer, &report, &diag), diag);
        close_to("lr", step, report.lr, golden_number(want, "lr"), 1e-15);
        close_to("lambda", step, report.lambda, golden_number(want, "lambda"), 1e-15);
        if (loss_bound(step) > 0.0)
            close_to("loss", step, report.loss, golden_number(want, "loss"), loss_bound(step));
        if (norm_bound(step) > 0.0)
            close_to("grad_norm", step, report.grad_norm, golden_number(want, "grad_norm"), norm_bound(step));
        if (losses)
            losses[step - 1] = report.loss;
        json_decref(want);
    }
}

static double float_bound(int64_t step)
{
    (void)step;
    return 1e-5;
}

static double early_norm_bound(int64_t step)
{
    return step <= 5 ? 1e-3 : 0.0;
}

/* One flipped code of a real model moves the norm by 1e-3 (seen at update 4), the loss by far less. */
static double real_model_norm_bound(int64_t step)
{
    return step <= 5 ? 5e-3 : 0.0;
}

static double quantised_bound(int64_t step)
{
    return step <= 5 ? 1e-4 : 0.03;
}

static double real_model_bound(int64_t step)
{
    return step <= 5 ? 1e-4 : step <= 12 ? 1e-3 : step <= 20 ? 1e-2 : 0.0;
}

static void run_small(const char *name, double (*loss_bound)(int64_t), double (*norm_bound)(int64_t),
                      bool final_weights, const struct bt_compute *compute)
{
    struct bt_diag diag = {0};
    struct bt_loaded_model *loaded = NULL;
    struct bt_safetensors *want = NULL;
    struct trace t;
    const char *folder = test_shared(test_format("golden/%s", name));
    TEST_OK(bt_model_load(test_format("%s/model", folder), &loaded, &diag), diag);
    trace_open(&t, folder, test_format("%s/tokens.bin", folder), loaded->shape.vocab);
    struct bt_trainer *trainer = trainer_of(&t, &loaded->params, loaded->weights, compute);
    run_trace(&t, trainer, loss_bound, norm_bound, NULL);
    TEST_OK(bt_safetensors_open(test_format("%s/expect.safetensors", folder), &want, &diag), diag);
    for (size_t i = 0; final_weights && i < loaded->params.count; i++) {
        const struct bt_param *p = &loaded->params.list[i];
        const struct bt_tensor_view *view = bt_safetensors_find(want, p->name);
        assert_non_null(view);
        golden_compare(p->name, loaded->weights + p->offset, (const float *)(const void *)view->data, p->count, 1e-5);
    }
    bt_safetensors_close(want);
    bt_trainer_destroy(trainer);
    trace_close(&t);
    bt_model_unload(loaded);
}

static void test_float(void **state)
{
    struct bt_compute computes[8];
    (void)state;
    const size_t count = golden_computes(computes, BT_ARRAY_LEN(computes));
    for (size_t i = 0; i < count; i++)
        run_small("train-fp-cosine", float_bound, float_bound, true, &computes[i]);
}

static void test_quantised(void **state)
{
    struct bt_compute computes[8];
    (void)state;
    const size_t count = golden_computes(computes, BT_ARRAY_LEN(computes));
    for (size_t i = 0; i < count; i++)
        run_small("train-qat-wsd", quantised_bound, early_norm_bound, false, &computes[i]);
}

static double validation(const struct bt_params *params, const float *weights, struct bt_rows *rows, size_t seq,
                         float lambda, const struct bt_compute *compute)
{
    struct bt_diag diag = {0};
    const struct bt_model_options options = {.rows = 8, .seq = seq, .ternary_weights = true, .int8_activations = true};
    struct bt_batch batch = golden_batch(8, seq);
    struct bt_model *model = NULL;
    struct bt_evaluation evaluation;
    TEST_OK(bt_model_create(params, &options, weights, NULL, compute, &model, &diag), diag);
    bt_model_prepare(model);
    bt_evaluate(model, rows, 0, &batch, lambda, &evaluation);
    bt_model_destroy(model);
    golden_batch_free(&batch);
    return evaluation.loss;
}

/* The mean over each 20 updates from update 21 on, to 2 %. */
static void compare_means(const struct trace *t, const double *losses)
{
    for (int64_t from = 21; from + 19 <= t->config.max_steps; from += 20) {
        double got = 0.0, want = 0.0;
        for (int64_t step = from; step < from + 20; step++) {
            json_t *record = trace_record(t, step);
            got += losses[step - 1] / 20.0;
            want += golden_number(record, "loss") / 20.0;
            json_decref(record);
        }
        close_to("mean loss from here on", from, got, want, 0.02);
    }
}

static void run_stories(const struct bt_compute *compute)
{
    struct bt_diag diag = {0};
    struct bt_loaded_model *loaded = NULL;
    struct bt_params params = {0};
    struct trace t;
    double losses[256];
    const char *folder = test_shared("golden/stage2-stories260K");
    TEST_OK(bt_model_load(test_shared("data/models/stories260K"), &loaded, &diag), diag);
    struct bt_shape shape = loaded->shape;
    shape.sub_norm = true;
    TEST_OK(bt_params_init(&params, &shape, &diag), diag);
    float *weights = calloc(params.total, sizeof(float));
    bt_convert_model_to_bitnet(&loaded->params, loaded->weights, &params, weights, NULL);

    trace_open(&t, folder, test_shared("data/shards/tinystories-stories260K-train.bin"), shape.vocab);
    const json_t *before = json_object_get(t.info, "before");
    const size_t seq = (size_t)golden_number(t.info, "seq_len");
    struct bt_rows *valid = open_rows(test_shared("data/shards/tinystories-stories260K-valid.bin"), seq, shape.vocab);
    close_to("validation at lambda 0", 0, validation(&params, weights, valid, seq, 0.0f, compute),
             golden_number(before, "valid_loss_lambda_0"), 1e-5);
    close_to("validation at lambda 1", 0, validation(&params, weights, valid, seq, 1.0f, compute),
             golden_number(before, "valid_loss_lambda_1"), 1e-4);

    struct bt_trainer *trainer = trainer_of(&t, &params, weights, compute);
    if (TEST_IS_SLOW) {
        t.config.max_steps = 20;
        print_message("with sanitizers: 20 of 120 updates\n");
    }
    run_trace(&t, trainer, real_model_bound, real_model_norm_bound, losses);
    compare_means(&t, losses);
    if (!TEST_IS_SLOW)
        close_to("final validation", t.config.max_steps, validation(&params, weights, valid, seq, 1.0f, compute),
                 golden_number(t.info, "valid_loss_after"), 0.02);

    bt_trainer_destroy(trainer);
    bt_rows_close(valid);
    trace_close(&t);
    free(weights);
    bt_params_finish(&params);
    bt_model_unload(loaded);
}

/* The best way of this machine only: 120 updates of a real model take a while. The portable way is compared with it,
 * kernel by kernel, elsewhere. */
static void test_stories(void **state)
{
    struct bt_compute compute;
    (void)state;
    bt_compute_auto(&compute);
    run_stories(&compute);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_float),
        cmocka_unit_test(test_quantised),
        cmocka_unit_test(test_stories),
    };
    return cmocka_run_group_tests_name("traces", tests, NULL, NULL);
}
