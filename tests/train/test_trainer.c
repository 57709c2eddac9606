/* One update and what surrounds it: accumulation, skipping, stopping, going on. */
#include "trainer_world.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "nn/lambda_warmup.h"
#include "train/schedule.h"

static float *copy_of(const float *from, size_t n)
{
    float *copy = malloc(n * sizeof *copy);
    assert_non_null(copy);
    memcpy(copy, from, n * sizeof *copy);
    return copy;
}

static void standard_world(struct trainer_world *world)
{
    trainer_world_init(world);
    trainer_world_add_documents(world, 1.0, 40, 11);
    trainer_world_open_rows(world);
}

/* The first update with `batch` rows `times` over: its report and gradients. *uneven counts those whose last
 * micro-batch does not have the average number of labels, so that a mean of means would be another number. */
static float *gradients_of(struct trainer_world *world, int64_t batch, int64_t times, struct bt_update_report *report,
                           int *uneven)
{
    world->config.batch_size = batch;
    world->config.gradient_accumulation_steps = times;
    struct bt_trainer *t = trainer_world_start(world, 12);
    *report = trainer_world_run(t, 1);
    assert_int_equal(t->state.row, batch * times);
    *uneven += t->micro->batch.label_count * (size_t)times != report->labels;
    float *gradients = copy_of(t->optimizer.gradients, world->params.total);
    bt_trainer_destroy(t);
    return gradients;
}

static void accumulation_is_one_big_batch(void **state)
{
    (void)state;
    const int64_t cuts[][2] = {{3, 2}, {2, 3}, {1, 6}};
    struct trainer_world world;
    struct bt_update_report big, cut;
    int uneven = 0;
    standard_world(&world);
    float *want = gradients_of(&world, 6, 1, &big, &uneven);
    assert_true(big.labels > 0 && big.labels < 6 * WORLD_SEQ);
    for (size_t k = 0; k < BT_ARRAY_LEN(cuts); k++) {
        float *got = gradients_of(&world, cuts[k][0], cuts[k][1], &cut, &uneven);
        assert_int_equal(cut.labels, big.labels);
        assert_int_equal(cut.tokens, big.tokens);
        assert_true(fabs(cut.loss - big.loss) <= 1e-6 * big.loss);
        assert_true(fabs(cut.grad_norm - big.grad_norm) <= 1e-6 * big.grad_norm);
        for (size_t i = 0; i < world.params.total; i++)
            assert_true(fabs((double)got[i] - (double)want[i]) <= 1e-6 * big.grad_norm);
        free(got);
    }
    assert_true(uneven >= 2);
    free(want);
    trainer_world_finish(&world);
}

struct buffers {
    float *weights, *m, *v;
    size_t total;
};

static struct buffers buffers_of(const struct bt_trainer *t)
{
    const size_t total = t->params->total;
    return (struct buffers){copy_of(t->weights, total), copy_of(t->optimizer.m, total), copy_of(t->optimizer.v, total),
                            total};
}

static bool same_buffers(const struct buffers *b, const struct bt_trainer *t)
{
    const size_t bytes = b->total * sizeof(float);
    return !memcmp(b->weights, t->weights, bytes) && !memcmp(b->m, t->optimizer.m, bytes) &&
           !memcmp(b->v, t->optimizer.v, bytes);
}

static void buffers_free(struct buffers *b)
{
    free(b->weights);
    free(b->m);
    free(b->v);
}

/* Weights and moments are those before the update after one step of the optimizer, the t-th. */
static void check_step(struct bt_trainer *t, const struct buffers *before, const struct bt_update_report *report)
{
    struct bt_optimizer optimizer = t->optimizer;
    optimizer.weights = before->weights, optimizer.m = before->m, optimizer.v = before->v;
    bt_optimizer_step(&optimizer, report->lr, t->state.applied,
                      bt_clip_scale(report->grad_norm, t->config->gradient_clipping));
    assert_true(same_buffers(before, t));
}

/* The update once more from its parts: the loss of the same batch at the same lambda, the same step of the optimizer.
 */
static void check_update(struct trainer_world *world, struct bt_trainer *t, int64_t updates)
{
    const struct bt_cfg_lambda_warmup *w = &world->config.lambda_warmup;
    const struct bt_lambda_warmup warmup = {.warmup_steps = w->warmup_steps, .min = w->min, .max = w->max};
    const struct bt_model_options options = {.rows = t->batch.rows,
                                             .seq = WORLD_SEQ,
                                             .ternary_weights = world->config.weights == BT_WEIGHTS_TERNARY,
                                             .int8_activations = world->config.activations == BT_ACTIVATIONS_INT8};
    struct bt_model *model = NULL;
    struct bt_diag diag = {0};
    struct buffers before = buffers_of(t);
    const struct bt_update_report report = trainer_world_run(t, 1);

    assert_int_equal(report.step, t->state.step);
    assert_true(report.lr ==
                bt_learning_rate(&world->config.scheduler, world->config.optimizer.lr, report.step, updates));
    assert_true(report.lambda == (w->enabled ? bt_lambda_at(&warmup, report.step) : 1.0));
    TEST_OK(bt_model_create(&world->params, &options, before.weights, NULL, &world->compute, &model, &diag), diag);
    bt_model_prepare(model);
    const double sum = bt_model_loss(model, &t->micro->batch, (float)report.lambda);
    assert_true(report.loss == sum / (double)report.labels);
    assert_true(report.loss == t->state.last_loss);
    bt_model_destroy(model);
    check_step(t, &before, &report);
    buffers_free(&before);
}

static void an_update_is_the_sum_of_its_parts(void **state)
{
    (void)state;
    struct trainer_world world;
    for (int k = 0; k < 4; k++) {
        standard_world(&world);
        world.config.lambda_warmup.enabled = k != 1;
        world.config.weights = k == 2 ? BT_WEIGHTS_NONE : BT_WEIGHTS_TERNARY;
        world.config.activations = k == 3 ? BT_ACTIVATIONS_NONE : BT_ACTIVATIONS_INT8;
        world.config.gradient_clipping = k % 2 ? 0.0 : 0.05;
        struct bt_trainer *t = trainer_world_start(&world, 12);
        for (int i = 0; i < 12; i++)
            check_update(&world, t, 12);
        assert_int_equal(t->state.step, 12);
        assert_int_equal(t->state.applied, 12);
        assert_int_equal(t->state.skipped, 0);
        bt_trainer_destroy(t);
        trainer_world_finish(&world);
    }
}

static void training_lowers_the_loss(void **state)
{
    (void)state;
    struct trainer_world world;
    standard_world(&world);
    world.config.batch_size = 16;
    struct bt_trainer *t = trainer_world_start(&world, 40);
    const double first = trainer_world_run(t, 1).loss;
    assert_true(trainer_world_run(t, 39).loss < 0.9 * first);
    bt_trainer_destroy(t);
    trainer_world_finish(&world);
}

/* Skipped, counted, and the data moves on; the last one allowed is an error that says where. */
static void updates_without_a_label_change_nothing(void **state)
{
    (void)state;
    struct trainer_world world;
    struct bt_update_report report;
    struct bt_diag diag = {0};
    trainer_world_init(&world);
    trainer_world_add_unlabelled(&world, 1.0, 400);
    trainer_world_open_rows(&world);
    struct bt_trainer *t = trainer_world_start(&world, 12);
    struct buffers before = buffers_of(t);
    for (int64_t s = 1; s <= 5; s++) {
        const enum bt_err err = bt_trainer_update(t, &report, &diag);
        assert_int_equal(err, s < 5 ? BT_OK : BT_EDIVERGED);
        assert_false(report.applied);
        assert_true(isnan(report.loss));
        assert_true(report.labels == 0 && report.tokens == 2 * WORLD_SEQ && report.step == s);
        assert_null(report.bad_tensor);
        assert_true(same_buffers(&before, t));
        assert_true(t->state.step == s && t->state.skipped == s && t->state.skipped_in_a_row == s);
        assert_int_equal(t->state.applied, 0);
        assert_int_equal(t->state.row, 2 * s);
        assert_int_equal(t->state.tokens, 2 * WORLD_SEQ * s);
    }
    assert_non_null(strstr(diag.text, "5 updates in a row"));
    assert_non_null(strstr(diag.text, "update 5"));
    buffers_free(&before);
    bt_trainer_destroy(t);
    trainer_world_finish(&world);
}

/* Rows with and without labels by turns: never five skipped in a row, and t of AdamW counts only what was applied. */
static void an_applied_update_begins_the_count_anew(void **state)
{
    (void)state;
    struct trainer_world world;
    struct bt_update_report report;
    struct bt_diag diag = {0};
    int64_t applied = 0;
    trainer_world_init(&world);
    trainer_world_add_documents(&world, 1.0, 40, 11);
    trainer_world_add_unlabelled(&world, 1.0, 400);
    trainer_world_open_rows(&world);
    world.config.batch_size = 1;
    world.config.max_skipped_updates = 4;
    struct bt_trainer *t = trainer_world_start(&world, 40);
    for (int64_t s = 1; s <= 40; s++) {
        struct buffers before = buffers_of(t);
        TEST_OK(bt_trainer_update(t, &report, &diag), diag);
        assert_int_equal(report.applied, report.labels > 0);
        assert_int_equal(same_buffers(&before, t), !report.applied);
        if (report.applied)
            check_step(t, &before, &report);
        applied += report.applied;
        assert_true(t->state.applied == applied && t->state.skipped == s - applied);
        assert_true(t->state.skipped_in_a_row == 0 || !report.applied);
        buffers_free(&before);
    }
    assert_true(t->state.skipped > 10 && t->state.applied > 10);
    bt_trainer_destroy(t);
    trainer_world_finish(&world);
}

static void a_run_that_is_not_finite_stops(void **state)
{
    (void)state;
    const float bad[] = {NAN, INFINITY};
    for (size_t k = 0; k < BT_ARRAY_LEN(bad); k++) {
        struct trainer_world world;
        struct bt_update_report report;
        struct bt_diag diag = {0};
        standard_world(&world);
        world.config.max_skipped_updates = 3;
        struct bt_trainer *t = trainer_world_start(&world, 12);
        trainer_world_run(t, 2);
        world.weights[bt_params_get(&world.params, BT_P_UP, 1)->offset + 3] = bad[k];
        bt_model_prepare(t->model);
        struct buffers before = buffers_of(t);
        for (int64_t s = 3; s <= 5; s++) {
            assert_int_equal(bt_trainer_update(t, &report, &diag), s < 5 ? BT_OK : BT_EDIVERGED);
            assert_false(report.applied);
            assert_non_null(report.bad_tensor);
            assert_true(report.labels > 0);
            assert_true(same_buffers(&before, t));
            assert_true(t->state.step == s && t->state.applied == 2 && t->state.skipped == s - 2);
        }
        assert_non_null(strstr(diag.text, "update 5"));
        assert_non_null(strstr(diag.text, report.bad_tensor));
        assert_non_null(bt_params_find(&world.params, report.bad_tensor));
        buffers_free(&before);
        bt_trainer_destroy(t);
        trainer_world_finish(&world);
    }
}

static void fill(struct trainer_world *world, enum bt_param_kind kind, size_t layer, float value)
{
    const struct bt_param *p = bt_params_get(&world->params, kind, layer);
    for (size_t i = 0; i < p->count; i++)
        world->start[p->offset + i] = value;
}

/* One update of the float model that must be skipped. */
static struct bt_update_report skipped_update(struct trainer_world *world)
{
    struct bt_update_report report;
    struct bt_diag diag = {0};
    world->config.weights = BT_WEIGHTS_NONE;
    world->config.activations = BT_ACTIVATIONS_NONE;
    struct bt_trainer *t = trainer_world_start(world, 12);
    struct buffers before = buffers_of(t);
    TEST_OK(bt_trainer_update(t, &report, &diag), diag);
    assert_false(report.applied);
    assert_true(same_buffers(&before, t));
    buffers_free(&before);
    bt_trainer_destroy(t);
    return report;
}

/* What enters down_proj is near the largest float and its weights make that small again: a finite loss, but the
 * gradient of these weights is a large number times what enters. */
static void a_gradient_alone_that_is_not_finite_is_skipped(void **state)
{
    (void)state;
    struct trainer_world world;
    standard_world(&world);
    fill(&world, BT_P_FFN_SUB_NORM, 1, 3e37f);
    fill(&world, BT_P_DOWN, 1, 1e-37f);
    fill(&world, BT_P_FINAL_NORM, 0, 1e4f);
    const struct bt_update_report report = skipped_update(&world);
    assert_true(isfinite(report.loss));
    assert_false(isfinite(report.grad_norm));
    assert_string_equal(report.bad_tensor, "model.layers.1.mlp.down_proj.weight");
    trainer_world_finish(&world);
}

/* The logit of a token that is nowhere a label is minus infinity: no gradient shows it, but the loss says that training
 * has diverged. Nothing but the embedding, with a first channel above 0, gets to the head. */
static void a_loss_alone_that_is_not_finite_is_skipped(void **state)
{
    (void)state;
    struct trainer_world world;
    standard_world(&world);
    float *embedding = world.start + bt_params_get(&world.params, BT_P_EMBED, 0)->offset;
    for (size_t layer = 0; layer < world.shape.layers; layer++) {
        fill(&world, BT_P_O, layer, 0.0f);
        fill(&world, BT_P_DOWN, layer, 0.0f);
    }
    for (size_t id = 0; id < WORLD_VOCAB; id++)
        embedding[id * world.shape.hidden] = 2.0f;
    for (size_t i = 0; i < world.shape.hidden; i++)
        embedding[i] = i ? 0.0f : -3e38f; /* id 0 is padding's */
    const struct bt_update_report report = skipped_update(&world);
    assert_false(isfinite(report.loss));
    assert_true(isfinite(report.grad_norm));
    assert_null(report.bad_tensor);
    trainer_world_finish(&world);
}

static void two_sources(struct trainer_world *world)
{
    trainer_world_init(world);
    trainer_world_add_documents(world, 2.0, 25, 11);
    trainer_world_add_documents(world, 1.0, 15, 12);
    trainer_world_open_rows(world);
    world->config.gradient_accumulation_steps = 3;
}

/* Each source's tokens and loss add up to those of the update, and go on counting where a resume begins. */
static void sources_add_up(void **state)
{
    (void)state;
    struct trainer_world world;
    two_sources(&world);
    struct bt_trainer *t = trainer_world_start(&world, 12);
    uint64_t tokens[2] = {0};
    for (int s = 0; s < 12; s++) {
        const struct bt_update_report r = trainer_world_run(t, 1);
        assert_int_equal(r.source_count, 2);
        assert_int_equal(r.sources[0].tokens + r.sources[1].tokens, t->state.tokens);
        assert_int_equal(r.sources[0].labels + r.sources[1].labels, r.labels);
        double sum = 0.0;
        for (size_t i = 0; i < 2; i++) {
            assert_true(r.sources[i].labels ? r.sources[i].loss > 0.0 : isnan(r.sources[i].loss));
            sum += r.sources[i].labels ? r.sources[i].loss * (double)r.sources[i].labels : 0.0;
            tokens[i] = r.sources[i].tokens;
        }
        assert_true(fabs(sum / (double)r.labels - r.loss) <= 1e-12 * r.loss);
        assert_true(r.padding == 1.0 - (double)r.tokens / (6.0 * WORLD_SEQ));
        assert_true(r.padding >= 0.0 && r.padding < 0.5);
    }
    assert_true(tokens[0] > tokens[1] && tokens[1] > 0);
    const struct bt_train_state end = t->state;
    bt_trainer_destroy(t);

    struct bt_diag diag = {0};
    TEST_OK(bt_trainer_create(&world.config, &world.params, world.weights, world.rows, WORLD_SEQ, 24, &world.compute,
                              NULL, &t, &diag),
            diag);
    t->state = end;
    TEST_OK(bt_trainer_begin(t, &diag), diag);
    const struct bt_update_report r = trainer_world_run(t, 1);
    assert_int_equal(r.sources[0].tokens + r.sources[1].tokens, t->state.tokens);
    assert_true(r.sources[0].tokens >= tokens[0] && r.sources[1].tokens >= tokens[1]);
    bt_trainer_destroy(t);
    trainer_world_finish(&world);
}

/* Rows of one source alone: its loss is that of the update, to the bit where one micro-batch of one row makes it. */
static void one_source_has_the_loss_of_the_update(void **state)
{
    (void)state;
    struct trainer_world world;
    standard_world(&world);
    world.config.batch_size = 1;
    struct bt_trainer *t = trainer_world_start(&world, 12);
    for (int s = 0; s < 12; s++) {
        const struct bt_update_report r = trainer_world_run(t, 1);
        assert_int_equal(r.source_count, 1);
        assert_true(r.sources[0].loss == r.loss && r.sources[0].labels == r.labels);
        assert_int_equal(r.sources[0].tokens, t->state.tokens);
    }
    bt_trainer_destroy(t);
    trainer_world_finish(&world);
}

/* Through the warm-up and several epochs; the second half on another number of threads. */
static void a_run_that_was_cut_ends_with_the_same_bits(void **state)
{
    (void)state;
    const int threads = omp_get_max_threads();
    for (size_t cut = 0; cut <= 12; cut += 3) {
        struct trainer_world world;
        two_sources(&world);
        struct bt_trainer *t = trainer_world_start(&world, 12);
        trainer_world_run(t, 12);
        struct buffers unbroken = buffers_of(t);
        const struct bt_train_state end = t->state;
        bt_trainer_destroy(t);

        t = trainer_world_start(&world, 12);
        if (cut)
            trainer_world_run(t, cut);
        struct buffers half = buffers_of(t);
        const struct bt_train_state middle = t->state;
        bt_trainer_destroy(t);

        struct bt_diag diag = {0};
        const size_t bytes = world.params.total * sizeof(float);
        memset(world.weights, 0, bytes);
        TEST_OK(bt_trainer_create(&world.config, &world.params, world.weights, world.rows, WORLD_SEQ, 12,
                                  &world.compute, NULL, &t, &diag),
                diag);
        memcpy(world.weights, half.weights, bytes);
        memcpy(t->optimizer.m, half.m, bytes);
        memcpy(t->optimizer.v, half.v, bytes);
        t->state = middle;
        omp_set_num_threads(3);
        TEST_OK(bt_trainer_begin(t, &diag), diag);
        if (cut < 12)
            trainer_world_run(t, 12 - cut);
        omp_set_num_threads(threads);
        assert_true(same_buffers(&unbroken, t));
        assert_memory_equal(&t->state, &end, sizeof end);
        bt_trainer_destroy(t);
        buffers_free(&unbroken);
        buffers_free(&half);
        trainer_world_finish(&world);
    }
}

/* Through the warm-up, with accumulation; the second run on another number of threads. */
static void activation_checkpointing_changes_no_bit(void **state)
{
    (void)state;
    const int threads = omp_get_max_threads();
    struct trainer_world world;
    two_sources(&world);
    world.config.gradient_accumulation_steps = 2;
    struct bt_trainer *t = trainer_world_start(&world, 12);
    const struct bt_update_report want = trainer_world_run(t, 12);
    struct buffers plain = buffers_of(t);
    bt_trainer_destroy(t);
    world.config.activation_checkpointing = true;
    omp_set_num_threads(3);
    t = trainer_world_start(&world, 12);
    const struct bt_update_report got = trainer_world_run(t, 12);
    omp_set_num_threads(threads);
    assert_true(got.loss == want.loss && got.grad_norm == want.grad_norm);
    assert_true(same_buffers(&plain, t));
    bt_trainer_destroy(t);
    buffers_free(&plain);
    trainer_world_finish(&world);
}

/* Over the ends of epochs too, and from the first update on. */
static void an_update_allocates_nothing(void **state)
{
    (void)state;
    struct trainer_world world;
    struct bt_update_report report;
    struct bt_diag diag = {0};
    two_sources(&world);
    struct bt_trainer *t = trainer_world_start(&world, 40);
    const long live = bt_alloc_live();
    for (int i = 0; i < 40; i++) {
        bt_alloc_fail_at(0);
        const enum bt_err err = bt_trainer_update(t, &report, &diag);
        bt_alloc_fail_at(-1);
        TEST_OK(err, diag);
        assert_int_equal(bt_alloc_live(), live);
    }
    assert_true(t->state.row > 3 * bt_rows_count(world.rows));
    bt_trainer_destroy(t);
    trainer_world_finish(&world);
}

static enum bt_err create_and_begin(void *context)
{
    struct trainer_world *world = context;
    struct bt_trainer *t = NULL;
    enum bt_err err = bt_trainer_create(&world->config, &world->params, world->weights, world->rows, WORLD_SEQ, 12,
                                        &world->compute, NULL, &t, NULL);
    if (err)
        assert_null(t);
    else
        err = bt_trainer_begin(t, NULL);
    bt_trainer_destroy(t);
    return err;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    struct trainer_world world;
    two_sources(&world);
    test_every_allocation_fails(create_and_begin, &world);
    bt_trainer_destroy(NULL);
    trainer_world_finish(&world);
}

static void memory_is_known_before(void **state)
{
    (void)state;
    struct trainer_world world;
    standard_world(&world);
    struct bt_trainer *t = trainer_world_start(&world, 12);
    const struct bt_model_options options = {
        .rows = 2, .seq = WORLD_SEQ, .ternary_weights = true, .int8_activations = true, .gradients = true};
    assert_int_equal(bt_trainer_memory(&world.params, &world.config, WORLD_SEQ, NULL),
                     t->arena.size + bt_model_memory(&world.params, &options));
    assert_true(t->arena.size >= 3 * world.params.total * sizeof(float));
    world.config.activation_checkpointing = true;
    assert_true(bt_trainer_memory(&world.params, &world.config, WORLD_SEQ, NULL) <
                t->arena.size + bt_model_memory(&world.params, &options));
    world.config.batch_size = INT64_MAX;
    assert_int_equal(bt_trainer_memory(&world.params, &world.config, WORLD_SEQ, NULL), 0);
    world.config.batch_size = 2;
    bt_trainer_destroy(t);
    trainer_world_finish(&world);
}

/* The global LambdaWarmup is that of the trainer, as long as it lives. */
static void the_warm_up_is_global_while_the_trainer_lives(void **state)
{
    (void)state;
    struct trainer_world world;
    standard_world(&world);
    world.config.lambda_warmup.max = 0.5;
    assert_true(bt_lambda_of_update(1) == 1.0);
    struct bt_trainer *t = trainer_world_start(&world, 12);
    assert_true(bt_lambda_of_update(1) == 0.0);
    assert_true(bt_lambda_of_update(3) == 0.25);
    assert_true(bt_lambda_of_update(5) == 0.5);
    bt_trainer_destroy(t);
    assert_true(bt_lambda_of_update(1) == 1.0);
    trainer_world_finish(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accumulation_is_one_big_batch),
        cmocka_unit_test(an_update_is_the_sum_of_its_parts),
        cmocka_unit_test(training_lowers_the_loss),
        cmocka_unit_test(updates_without_a_label_change_nothing),
        cmocka_unit_test(an_applied_update_begins_the_count_anew),
        cmocka_unit_test(a_run_that_is_not_finite_stops),
        cmocka_unit_test(a_gradient_alone_that_is_not_finite_is_skipped),
        cmocka_unit_test(a_loss_alone_that_is_not_finite_is_skipped),
        cmocka_unit_test(sources_add_up),
        cmocka_unit_test(one_source_has_the_loss_of_the_update),
        cmocka_unit_test(a_run_that_was_cut_ends_with_the_same_bits),
        cmocka_unit_test(activation_checkpointing_changes_no_bit),
        cmocka_unit_test(an_update_allocates_nothing),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(memory_is_known_before),
        cmocka_unit_test(the_warm_up_is_global_while_the_trainer_lives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
