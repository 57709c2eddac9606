/* Validation: the mean over all labels of the first rows, in order. */
#include "trainer_world.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "train/evaluate.h"

static struct bt_model *make_model(struct trainer_world *world, size_t rows)
{
    const struct bt_model_options options = {
        .rows = rows, .seq = WORLD_SEQ, .ternary_weights = true, .int8_activations = true};
    struct bt_model *model = NULL;
    struct bt_diag diag = {0};
    TEST_OK(bt_model_create(&world->params, &options, world->start, NULL, &world->compute, &model, &diag), diag);
    bt_model_prepare(model);
    return model;
}

/* Row by row, in the order of the plan, as long as the tokens so far are fewer than wanted. */
static struct bt_evaluation by_hand(struct trainer_world *world, uint64_t wanted, float lambda)
{
    struct bt_evaluation e = {0};
    struct bt_model *model = make_model(world, 1);
    struct bt_batch batch;
    double sum = 0.0;
    test_batch_init(&batch, 1, WORLD_SEQ);
    for (size_t i = 0; i < bt_rows_count(world->rows) && (!wanted || e.tokens < wanted); i++) {
        bt_batch_begin(&batch);
        bt_rows_fill(world->rows, i, 0, &batch);
        sum += bt_model_loss(model, &batch, lambda);
        e.tokens += batch.tokens;
        e.labels += batch.label_count;
    }
    e.loss = sum / (double)e.labels;
    test_batch_finish(&batch);
    bt_model_destroy(model);
    return e;
}

static void check_evaluation(struct trainer_world *world, size_t capacity, int64_t wanted, float lambda)
{
    const struct bt_evaluation want = by_hand(world, (uint64_t)wanted, lambda);
    struct bt_evaluation got, again;
    struct bt_model *model = make_model(world, capacity);
    struct bt_batch batch;
    test_batch_init(&batch, capacity, WORLD_SEQ);
    bt_evaluate(model, world->rows, wanted, &batch, lambda, &got);
    assert_int_equal(batch.rows, capacity);
    assert_int_equal(got.tokens, want.tokens);
    assert_int_equal(got.labels, want.labels);
    assert_true(fabs(got.loss - want.loss) <= 1e-6 * want.loss);
    assert_true(got.perplexity == exp(got.loss));
    assert_true(wanted == 0 || got.tokens >= (uint64_t)wanted || got.tokens == bt_rows_tokens(world->rows));
    bt_evaluate(model, world->rows, wanted, &batch, lambda, &again);
    assert_memory_equal(&got, &again, sizeof got);
    test_batch_finish(&batch);
    bt_model_destroy(model);
}

static void it_is_the_mean_over_all_labels_of_the_first_rows(void **state)
{
    (void)state;
    const int64_t tokens[] = {0, 1, WORLD_SEQ, WORLD_SEQ + 1, 60, 1000000};
    const size_t capacities[] = {1, 3, 64};
    struct trainer_world world;
    trainer_world_init(&world);
    trainer_world_add_documents(&world, 1.0, 23, 3);
    trainer_world_add_documents(&world, 5.0, 9, 4);
    trainer_world_open_rows(&world);
    for (size_t i = 0; i < BT_ARRAY_LEN(tokens); i++)
        for (size_t k = 0; k < BT_ARRAY_LEN(capacities); k++) {
            check_evaluation(&world, capacities[k], tokens[i], 0.5f);
            check_evaluation(&world, capacities[k], tokens[i], 1.0f);
        }
    trainer_world_finish(&world);
}

static void without_a_label_there_is_no_loss(void **state)
{
    (void)state;
    struct trainer_world world;
    struct bt_evaluation e;
    struct bt_batch batch;
    trainer_world_init(&world);
    trainer_world_add_unlabelled(&world, 1.0, 50);
    trainer_world_open_rows(&world);
    struct bt_model *model = make_model(&world, 2);
    test_batch_init(&batch, 2, WORLD_SEQ);
    bt_evaluate(model, world.rows, 0, &batch, 1.0f, &e);
    assert_true(isnan(e.loss) && isnan(e.perplexity));
    assert_true(e.labels == 0 && e.tokens == 50);
    test_batch_finish(&batch);
    bt_model_destroy(model);
    trainer_world_finish(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_the_mean_over_all_labels_of_the_first_rows),
        cmocka_unit_test(without_a_label_there_is_no_loss),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
