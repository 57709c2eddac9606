/* What telemetry measures against measuring it directly, and that measuring changes nothing. */
#include "trainer_world.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "io/safetensors.h"
#include "kernels/quantize.h"
#include "train/model_folder.h"
#include "train/telemetry.h"

enum { UPDATES = 12 };

static struct bt_telemetry *open_telemetry(const struct bt_params *params, bool ternary, int64_t interval)
{
    struct bt_telemetry *t = NULL;
    struct bt_diag diag = {0};
    TEST_OK(bt_telemetry_create(params, ternary, interval, &t, &diag), diag);
    return t;
}

static void open_world(struct trainer_world *world)
{
    trainer_world_init(world);
    trainer_world_add_documents(world, 1.0, 40, 11);
    trainer_world_open_rows(world);
    world->config.gradient_accumulation_steps = 2;
}

/* A trainer of the first weights that measures. */
static struct bt_trainer *start(struct trainer_world *world, struct bt_telemetry *telemetry)
{
    struct bt_trainer *trainer = NULL;
    struct bt_diag diag = {0};
    memcpy(world->weights, world->start, world->params.total * sizeof(float));
    TEST_OK(bt_trainer_create(&world->config, &world->params, world->weights, world->rows, WORLD_SEQ, UPDATES,
                              &world->compute, NULL, &trainer, &diag),
            diag);
    trainer->state.telemetry.step = -1;
    trainer->telemetry = telemetry;
    TEST_OK(bt_trainer_begin(trainer, &diag), diag);
    return trainer;
}

static int code_of(float w, float scale)
{
    const float rounded = rintf(w * (1.0f / scale));
    return rounded > 1.0f ? 1 : rounded < -1.0f ? -1 : (int)rounded;
}

static float scale_of(const float *w, size_t n)
{
    double sum = 0.0;
    for (size_t i = 0; i < n; i++)
        sum += fabs((double)w[i]);
    return (float)(sum / (double)n);
}

/* The codes of w beside those of `before`, each by its own scale. */
static void expect_counts(const struct bt_weight_measure *m, const float *w, const float *before)
{
    const size_t n = m->param->count;
    const float scale = scale_of(w, n), scale_before = scale_of(before, n);
    struct bt_code_counts want = {0};
    uint64_t near = 0;
    for (size_t i = 0; i < n; i++) {
        const int code = code_of(w[i], scale), was = code_of(before[i], scale_before);
        want.minus += code < 0;
        want.zero += code == 0;
        want.plus += code > 0;
        want.flipped += code != was;
        want.sign_changed += code * was < 0;
        near += fabsf(fabsf(w[i] * (1.0f / scale)) - 0.5f) < 0.05f;
    }
    assert_true(m->scale == scale);
    assert_memory_equal(&m->counts, &want, sizeof want);
    assert_int_equal(m->near_boundary, near);
}

static double norm_of(const float *x, size_t n)
{
    double sum = 0.0;
    for (size_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    return sqrt(sum);
}

static void expect_norms(const struct bt_weight_measure *m, const struct bt_trainer *t, const float *before)
{
    const size_t at = m->param->offset, n = m->param->count;
    float *change = malloc(n * sizeof *change);
    assert_non_null(change);
    for (size_t i = 0; i < n; i++)
        change[i] = t->weights[at + i] - before[at + i];
    const double norm = norm_of(t->optimizer.gradients + at, n);
    const double ratio = norm_of(change, n) / norm_of(before + at, n);
    assert_true(fabs(m->grad_norm - norm) <= 1e-12 * norm); /* of exact products in double */
    assert_true(fabs(m->update_ratio - ratio) <= 1e-12 * ratio);
    assert_true(ratio > 0.0);
    free(change);
}

static float *copy_of(const float *from, size_t n)
{
    float *copy = malloc(n * sizeof *copy);
    assert_non_null(copy);
    memcpy(copy, from, n * sizeof *copy);
    return copy;
}

/* Every third update: flips since the record before, norms of the one update. */
static void it_measures_what_updates_do(void **state)
{
    (void)state;
    struct trainer_world world;
    open_world(&world);
    for (int muon = 0; muon < 2; muon++) {
        world.config.optimizer.type = muon ? BT_OPTIMIZER_MUON : BT_OPTIMIZER_ADAMW;
        world.config.optimizer.muon = (struct bt_cfg_muon){.lr = 0.02, .momentum = 0.95, .steps = 5};
        struct bt_telemetry *telemetry = open_telemetry(&world.params, true, 3);
        struct bt_trainer *t = start(&world, telemetry);
        float *at_record = copy_of(t->weights, world.params.total);
        uint64_t flipped = 0;
        assert_int_equal(telemetry->count, 14);
        for (int64_t step = 1; step <= UPDATES; step++) {
            float *before = copy_of(t->weights, world.params.total);
            trainer_world_run(t, 1);
            for (size_t i = 0; step % 3 == 0 && i < telemetry->count; i++) {
                const struct bt_weight_measure *m = &telemetry->weights[i];
                assert_string_equal(bt_projection_name(i % BT_PROJECTIONS),
                                    ((const char *[]){"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj",
                                                      "down_proj"})[i % BT_PROJECTIONS]);
                assert_non_null(strstr(m->param->name, bt_projection_name(i % BT_PROJECTIONS)));
                assert_int_equal(m->param->layer, i / BT_PROJECTIONS);
                expect_counts(m, t->weights + m->param->offset, at_record + m->param->offset);
                expect_norms(m, t, before);
                flipped += m->counts.flipped;
            }
            if (step % 3 == 0) {
                assert_true(telemetry->since == step - 3 && t->state.telemetry.step == step);
                memcpy(at_record, t->weights, world.params.total * sizeof *at_record);
            }
            free(before);
        }
        assert_true(flipped > 10 && telemetry->seconds > 0.0);
        free(at_record);
        bt_trainer_destroy(t);
        bt_telemetry_destroy(telemetry);
    }
    trainer_world_finish(&world);
}

static struct bt_trainer *run(struct trainer_world *world, struct bt_telemetry *telemetry, int threads)
{
    const int usual = omp_get_max_threads();
    omp_set_num_threads(threads);
    struct bt_trainer *t = start(world, telemetry);
    trainer_world_run(t, UPDATES);
    omp_set_num_threads(usual);
    return t;
}

static void same_measures(const struct bt_telemetry *a, const struct bt_telemetry *b)
{
    for (size_t i = 0; i < a->count; i++) {
        const struct bt_weight_measure *x = &a->weights[i], *y = &b->weights[i];
        assert_memory_equal(&x->counts, &y->counts, sizeof x->counts);
        assert_true(x->near_boundary == y->near_boundary && x->scale == y->scale);
        assert_true(x->grad_norm == y->grad_norm && x->update_ratio == y->update_ratio);
    }
    for (size_t i = 0; i < a->params->shape->layers * BT_INPUT_COUNT; i++) {
        assert_true(a->inputs[i].codes == b->inputs[i].codes && a->inputs[i].ends == b->inputs[i].ends);
        assert_true(a->inputs[i].absmax == b->inputs[i].absmax && a->inputs[i].codes > 0);
    }
    assert_memory_equal(a->packed, b->packed, a->packed_bytes);
}

/* The same bits with and without it, for any number of threads, and where backward runs blocks a second time. */
static void it_changes_nothing_and_does_not_hang_on_threads(void **state)
{
    (void)state;
    struct trainer_world world;
    struct bt_telemetry *telemetry[3];
    open_world(&world);
    bt_trainer_destroy(run(&world, NULL, 1));
    float *plain = copy_of(world.weights, world.params.total);
    for (int k = 0; k < 3; k++) {
        world.config.activation_checkpointing = k == 2;
        telemetry[k] = open_telemetry(&world.params, true, 2);
        bt_trainer_destroy(run(&world, telemetry[k], k == 1 ? 3 : 1));
        assert_memory_equal(plain, world.weights, world.params.total * sizeof *plain);
    }
    same_measures(telemetry[0], telemetry[1]);
    same_measures(telemetry[0], telemetry[2]);
    for (int k = 0; k < 3; k++)
        bt_telemetry_destroy(telemetry[k]);
    free(plain);
    trainer_world_finish(&world);
}

/* What enters q, k and v of the first layer, from the weights that the update began with: the embedding behind its
 * norm, of tokens that are not padding. */
static struct bt_input_counts first_input(const struct trainer_world *world, const float *weights,
                                          const struct bt_batch *batch)
{
    const size_t d = world->shape.hidden;
    const float *embedding = weights + bt_params_get(&world->params, BT_P_EMBED, 0)->offset;
    const float *gain = weights + bt_params_get(&world->params, BT_P_INPUT_NORM, 0)->offset;
    struct bt_input_counts want = {0};
    for (size_t i = 0; i < batch->rows * batch->seq; i++) {
        const float *x = embedding + (size_t)batch->ids[i] * d;
        const double rstd = 1.0 / sqrt(pow(norm_of(x, d), 2) / (double)d + (double)world->shape.eps);
        float most = 0.0f, normed[64];
        if ((int32_t)(i % batch->seq) >= batch->used[i / batch->seq])
            continue;
        for (size_t c = 0; c < d; c++) {
            normed[c] = (float)((double)x[c] * rstd * (double)gain[c]);
            most = fmaxf(most, fabsf(normed[c]));
        }
        for (size_t c = 0; c < d; c++)
            want.ends += fabsf(rintf(normed[c] * (127.0f / most))) >= 127.0f;
        want.absmax = fmaxf(want.absmax, most);
        want.codes += d;
    }
    return want;
}

static void inputs_are_those_of_tokens(void **state)
{
    (void)state;
    struct trainer_world world;
    int padded = 0;
    open_world(&world);
    world.config.gradient_accumulation_steps = 1;
    world.config.batch_size = 16;
    world.config.lambda_warmup.enabled = false;
    struct bt_telemetry *telemetry = open_telemetry(&world.params, true, 1);
    struct bt_trainer *t = start(&world, telemetry);
    for (int s = 0; s < UPDATES; s++) {
        float *before = copy_of(t->weights, world.params.total);
        const struct bt_update_report report = trainer_world_run(t, 1);
        const struct bt_input_counts want = first_input(&world, before, &t->micro->batch);
        const struct bt_input_counts *got = &telemetry->inputs[BT_INPUT_QKV];
        assert_int_equal(got->codes, report.tokens * world.shape.hidden);
        assert_int_equal(got->codes, want.codes);
        assert_int_equal(got->ends, want.ends);
        assert_true(fabsf(got->absmax - want.absmax) <= 1e-6f * want.absmax);
        assert_int_equal(telemetry->inputs[BT_INPUT_COUNT + BT_INPUT_DOWN].codes, report.tokens * world.shape.ffn);
        padded += report.padding > 0.0;
        free(before);
    }
    assert_true(padded > 0);
    bt_trainer_destroy(t);
    bt_telemetry_destroy(telemetry);
    trainer_world_finish(&world);
}

/* No codes at lambda 0, in a float stage, of an excluded layer. */
static void what_has_no_codes_is_not_counted(void **state)
{
    (void)state;
    struct trainer_world world;
    open_world(&world);
    struct bt_telemetry *telemetry = open_telemetry(&world.params, true, 1);
    struct bt_trainer *t = start(&world, telemetry);
    trainer_world_run(t, 1);
    for (size_t i = 0; i < 2 * BT_INPUT_COUNT; i++)
        assert_int_equal(telemetry->inputs[i].codes, 0);
    trainer_world_run(t, 1);
    assert_true(telemetry->inputs[0].codes > 0);
    bt_trainer_destroy(t);
    bt_telemetry_destroy(telemetry);

    struct bt_diag diag = {0};
    TEST_OK(bt_params_exclude(&world.params, (char *[]){(char *)(uintptr_t) "model.layers.1.*"}, 1, &diag), diag);
    telemetry = open_telemetry(&world.params, true, 1);
    t = start(&world, telemetry);
    trainer_world_run(t, 2);
    for (size_t i = 0; i < telemetry->count; i++) {
        assert_int_equal(telemetry->weights[i].packed != NULL, i < BT_PROJECTIONS);
        assert_true(telemetry->weights[i].grad_norm > 0.0);
    }
    assert_int_equal(telemetry->inputs[BT_INPUT_COUNT + BT_INPUT_QKV].codes, 0);
    bt_trainer_destroy(t);
    bt_telemetry_destroy(telemetry);

    world.config.weights = BT_WEIGHTS_NONE;
    world.config.activations = BT_ACTIVATIONS_NONE;
    telemetry = open_telemetry(&world.params, false, 1);
    assert_int_equal(telemetry->packed_bytes, 0);
    t = start(&world, telemetry);
    trainer_world_run(t, 2);
    assert_true(telemetry->weights[0].update_ratio > 0.0 && telemetry->inputs[0].codes == 0);
    bt_trainer_destroy(t);
    bt_telemetry_destroy(telemetry);
    trainer_world_finish(&world);
}

static void a_skipped_update_is_measured_too(void **state)
{
    (void)state;
    struct trainer_world world;
    struct bt_update_report report;
    struct bt_diag diag = {0};
    open_world(&world);
    struct bt_telemetry *telemetry = open_telemetry(&world.params, true, 1);
    struct bt_trainer *t = start(&world, telemetry);
    trainer_world_run(t, 2);
    world.weights[bt_params_get(&world.params, BT_P_FINAL_NORM, 0)->offset] = NAN;
    TEST_OK(bt_trainer_update(t, &report, &diag), diag);
    assert_false(report.applied);
    assert_int_equal(t->state.telemetry.step, 3);
    assert_int_equal(telemetry->weights[0].counts.flipped, 0);
    assert_false(isfinite(telemetry->weights[0].grad_norm));
    assert_true(isnan(telemetry->weights[0].update_ratio));
    bt_trainer_destroy(t);
    bt_telemetry_destroy(telemetry);
    trainer_world_finish(&world);
}

/* Conversion leaves the weights as they are, so these are what stage 2 begins with. */
static void check_model(const char *folder, const char *config)
{
    struct bt_diag diag = {0};
    struct bt_loaded_model *loaded = NULL;
    struct bt_model *model = NULL;
    struct bt_compute compute;
    const struct bt_model_options options = {
        .rows = 1, .seq = 8, .ternary_weights = true, .int8_activations = true, .keep = BT_KEEP_LAST};
    struct bt_telemetry_state kept = {.step = -1};
    TEST_OK(folder ? bt_model_load(folder, &loaded, &diag) : bt_model_random(config, 5, &loaded, &diag), diag);
    bt_compute_init(&compute, BT_CPU_AVX512);
    TEST_OK(bt_model_create(&loaded->params, &options, loaded->weights, NULL, &compute, &model, &diag), diag);
    bt_model_prepare(model);
    struct bt_telemetry *t = open_telemetry(&loaded->params, true, 100);
    bt_telemetry_begin(t, model, &kept, 0);
    assert_int_equal(kept.step, 0);
    for (size_t i = 0; i < t->count; i++) {
        const float *w = loaded->weights + t->weights[i].param->offset;
        expect_counts(&t->weights[i], w, w);
        assert_true(t->weights[i].first_scale == t->weights[i].scale);
    }
    bt_telemetry_destroy(t);
    bt_model_destroy(model);
    bt_model_unload(loaded);
}

static void freshly_converted_models(void **state)
{
    (void)state;
    static const char *const models[] = {"stories260K", "random-tiny-llama3", "random-tiny-mistral",
                                         "random-tiny-qwen3"};
    for (size_t i = 0; i < BT_ARRAY_LEN(models); i++)
        check_model(test_shared(test_format("data/models/%s", models[i])), NULL);
    check_model(NULL, test_shared("data/models/stories260K/config.json"));
}

/* Kept codes come back from the file. */
static void codes_are_saved_and_loaded(void **state)
{
    (void)state;
    struct trainer_world world;
    struct bt_diag diag = {0};
    char *dir = test_make_dir();
    const char *path = test_format("%s/" BT_TELEMETRY_FILE, dir);
    open_world(&world);
    struct bt_telemetry *t = open_telemetry(&world.params, true, 3), *back = open_telemetry(&world.params, true, 5);
    bt_trainer_destroy(run(&world, t, 1));
    TEST_OK(bt_telemetry_save(t, dir, &diag), diag);
    TEST_OK(bt_telemetry_load(back, dir, &diag), diag);
    assert_memory_equal(t->packed, back->packed, t->packed_bytes);
    for (size_t i = 0; i < t->count; i++)
        assert_true(t->weights[i].first_scale == back->weights[i].first_scale && t->weights[i].first_scale > 0.0f);

    t->packed[1] = 0xff;
    TEST_OK(bt_telemetry_save(t, dir, &diag), diag);
    assert_int_equal(bt_telemetry_load(back, dir, &diag), BT_EINPUT);
    assert_non_null(strstr(diag.text, "bits that are no code, in those of model.layers.0.self_attn.q_proj.weight"));
    t->packed_bytes--;
    TEST_OK(bt_telemetry_save(t, dir, &diag), diag);
    assert_int_equal(bt_telemetry_load(back, dir, &diag), BT_EINPUT);
    assert_non_null(strstr(diag.text, "tensor codes is U8 of "));
    const float none[14] = {0};
    const struct bt_tensor_source alone = {
        .name = "first_scales", .dtype = BT_DTYPE_F32, .rank = 1, .shape = {14}, .data = none};
    TEST_OK(bt_safetensors_write(path, &alone, 1, NULL, &diag), diag);
    assert_int_equal(bt_telemetry_load(back, dir, &diag), BT_EINPUT);
    assert_non_null(strstr(diag.text, "tensor codes is missing"));
    bt_telemetry_destroy(t);
    bt_telemetry_destroy(back);
    trainer_world_finish(&world);
    test_remove_dir(dir);
}

struct saving {
    struct trainer_world *world;
    const char *dir;
};

static enum bt_err save_and_load(void *context)
{
    const struct saving *saving = context;
    struct bt_telemetry *t = NULL;
    enum bt_err err = bt_telemetry_create(&saving->world->params, true, 1, &t, NULL);
    if (!err)
        err = bt_telemetry_save(t, saving->dir, NULL);
    if (!err)
        err = bt_telemetry_load(t, saving->dir, NULL);
    bt_telemetry_destroy(t);
    return err;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    struct trainer_world world;
    char *dir = test_make_dir();
    open_world(&world);
    test_every_allocation_fails(save_and_load, &(struct saving){&world, dir});
    bt_telemetry_destroy(NULL);
    trainer_world_finish(&world);
    test_remove_dir(dir);
}

static void a_measured_update_allocates_nothing(void **state)
{
    (void)state;
    struct trainer_world world;
    struct bt_update_report report;
    struct bt_diag diag = {0};
    open_world(&world);
    struct bt_telemetry *telemetry = open_telemetry(&world.params, true, 1);
    struct bt_trainer *t = start(&world, telemetry);
    for (int i = 0; i < UPDATES; i++) {
        bt_alloc_fail_at(0);
        const enum bt_err err = bt_trainer_update(t, &report, &diag);
        bt_alloc_fail_at(-1);
        TEST_OK(err, diag);
    }
    bt_trainer_destroy(t);
    assert_true(bt_telemetry_memory(&world.params, true) == telemetry->arena.size);
    bt_telemetry_destroy(telemetry);
    trainer_world_finish(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_measures_what_updates_do),
        cmocka_unit_test(it_changes_nothing_and_does_not_hang_on_threads),
        cmocka_unit_test(inputs_are_those_of_tokens),
        cmocka_unit_test(what_has_no_codes_is_not_counted),
        cmocka_unit_test(a_skipped_update_is_measured_too),
        cmocka_unit_test(freshly_converted_models),
        cmocka_unit_test(codes_are_saved_and_loaded),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(a_measured_update_allocates_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
