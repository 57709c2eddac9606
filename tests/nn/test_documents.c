/* A token sees, and is trained on, its own document alone: nothing of another document moves by one bit. */
#include "nn_world.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Window and packing together; a head of its own, so that a row of the embedding's gradient is the gradient of the one
 * token that has this id. */
static const struct bt_shape shape = {.vocab = 41,
                                      .hidden = 8,
                                      .ffn = 12,
                                      .layers = 2,
                                      .heads = 4,
                                      .kv_heads = 2,
                                      .head_dim = 4,
                                      .eps = 1e-5f,
                                      .qkv_bias = true,
                                      .sub_norm = true,
                                      .rope = {.theta = 10000.0},
                                      .window = 3,
                                      .window_from = 1};
enum { ROWS = 2, SEQ = 20, N = ROWS * SEQ, SPARE_ID = N };

static const struct {
    bool ternary, int8;
    float lambda;
    bool int16_gradient;
} modes[] = {
    {false, false, 1.0f, false}, {true, true, 1.0f, false}, {true, true, 0.5f, false}, {true, true, 1.0f, true}};

/* Everything that a pass leaves behind, by token. */
struct snapshot {
    float hidden[3][N][8], logits[N][41], input_gradient[N][8];
};

/* Every token has an id of its own, padding too. */
static void number_tokens(struct nn_world *world)
{
    for (int32_t i = 0; i < N; i++)
        world->batch.ids[i] = i;
}

static void take(struct snapshot *s, struct nn_world *world, float lambda)
{
    const float *table = world->gradients + bt_params_get(&world->params, BT_P_EMBED, 0)->offset;
    nn_world_backward(world, lambda, 0.25f);
    for (size_t i = 0; i <= shape.layers; i++)
        memcpy(s->hidden[i], bt_model_hidden(world->model, i), sizeof s->hidden[i]);
    for (size_t t = 0; t < N; t++)
        memcpy(s->input_gradient[t], table + (size_t)world->batch.ids[t] * shape.hidden, sizeof s->input_gradient[t]);
    bt_model_logits(world->model, &world->batch, lambda, s->logits[0]);
}

static bool same_document(const struct nn_world *world, size_t a, size_t b)
{
    return a / SEQ == b / SEQ && world->document[a] == world->document[b];
}

/* The loss of all documents but that of token t. */
static double loss_of_others(struct nn_world *world, size_t t, float lambda)
{
    int32_t kept[N];
    memcpy(kept, world->batch.labels, sizeof kept);
    for (size_t i = 0; i < N; i++)
        if (same_document(world, i, t))
            world->batch.labels[i] = BT_IGNORE_LABEL;
    const double loss = bt_model_loss(world->model, &world->batch, lambda);
    memcpy(world->batch.labels, kept, sizeof kept);
    return loss;
}

static void assert_token_unmoved(const struct snapshot *a, const struct snapshot *b, size_t t, bool gradient)
{
    for (size_t i = 0; i <= shape.layers; i++)
        assert_memory_equal(a->hidden[i][t], b->hidden[i][t], sizeof a->hidden[i][t]);
    assert_memory_equal(a->logits[t], b->logits[t], sizeof a->logits[t]);
    if (gradient)
        assert_memory_equal(a->input_gradient[t], b->input_gradient[t], sizeof a->input_gradient[t]);
}

/* Other documents do not move at all; earlier tokens of the same one do not move in the forward pass. */
static void check_change_of(struct nn_world *world, const struct snapshot *before, size_t t, float lambda)
{
    static struct snapshot after;
    const double loss = loss_of_others(world, t, lambda);
    const int32_t id = world->batch.ids[t], label = world->batch.labels[t];
    world->batch.ids[t] = SPARE_ID;
    if (label != BT_IGNORE_LABEL)
        world->batch.labels[t] = (label + 1) % (int32_t)shape.vocab;
    take(&after, world, lambda);
    assert_true(loss_of_others(world, t, lambda) == loss);
    world->batch.ids[t] = id;
    world->batch.labels[t] = label;
    assert_memory_not_equal(before->hidden[2][t], after.hidden[2][t], sizeof after.hidden[2][t]);
    for (size_t i = 0; i < N; i++)
        if (!same_document(world, i, t))
            assert_token_unmoved(before, &after, i, true);
        else if (i < t)
            assert_token_unmoved(before, &after, i, false);
}

static void expect_several_documents(const struct nn_world *world)
{
    for (size_t row = 0; row < ROWS; row++) {
        size_t documents = 1;
        for (size_t i = 1; i < SEQ; i++)
            documents += !same_document(world, row * SEQ + i - 1, row * SEQ + i);
        assert_true(documents >= 4); /* two of them are padding */
    }
}

/* Change any token of one document in a packed row, and no logit and no row of the input gradient of any other document
 * moves by one bit; with the window of the shape above, on all instances of the kernels. */
static void no_token_moves_another_document(void **state)
{
    (void)state;
    static struct snapshot before;
    struct bt_compute computes[NN_MAX_COMPUTES];
    const size_t count = nn_computes(computes);
    for (size_t c = 0; c < count; c++)
        for (size_t m = 0; m < BT_ARRAY_LEN(modes); m++) {
            struct nn_world world;
            if (modes[m].int16_gradient && !computes[c].int8_forward)
                continue; /* gradients are codes only where the forward products are */
            nn_world_init(&world, &shape, ROWS, SEQ, NN_PACKED, 3);
            number_tokens(&world);
            expect_several_documents(&world);
            world.compute = computes[c];
            world.compute.int16_gradient = modes[m].int16_gradient;
            nn_world_model(&world, modes[m].ternary, modes[m].int8);
            take(&before, &world, modes[m].lambda);
            for (size_t t = 0; t < N; t++)
                check_change_of(&world, &before, t, modes[m].lambda);
            nn_world_finish(&world);
        }
}

/* What stands in the padding changes no gradient, and gets none. */
static void padding_contributes_nothing(void **state)
{
    (void)state;
    for (size_t m = 0; m < BT_ARRAY_LEN(modes); m++) {
        struct nn_world world;
        nn_world_init(&world, &shape, ROWS, SEQ, NN_PACKED, 3);
        nn_world_model(&world, modes[m].ternary, modes[m].int8);
        const size_t bytes = world.params.total * sizeof(float);
        float *gradients = malloc(bytes);
        assert_non_null(gradients);
        const double loss = nn_world_backward(&world, modes[m].lambda, 1.0f);
        memcpy(gradients, world.gradients, bytes);
        world.batch.ids[SEQ - 1] = SPARE_ID;
        world.batch.ids[SEQ - 2] = 5;
        assert_true(nn_world_backward(&world, modes[m].lambda, 1.0f) == loss);
        assert_memory_equal(gradients, world.gradients, bytes);
        free(gradients);
        nn_world_finish(&world);
    }
}

/* A row of padding alone, against no such row. Sums over tokens are cut in other places then: equal but for rounding.
 */
static void a_row_of_padding_is_no_row(void **state)
{
    (void)state;
    struct nn_world world;
    nn_world_init(&world, &shape, ROWS, SEQ, NN_PACKED, 3);
    nn_world_model(&world, true, true);
    const size_t total = world.params.total;
    float *gradients = malloc(total * sizeof *gradients);
    assert_non_null(gradients);
    world.batch.rows = 1;
    const double loss = nn_world_backward(&world, 1.0f, 1.0f);
    memcpy(gradients, world.gradients, total * sizeof *gradients);
    world.batch.rows = 2;
    for (int32_t i = 0; i < SEQ; i++) {
        world.batch.ids[SEQ + i] = world.batch.position[SEQ + i] = 0;
        world.batch.labels[SEQ + i] = BT_IGNORE_LABEL;
        world.batch.first[SEQ + i] = i;
    }
    assert_true(nn_world_backward(&world, 1.0f, 1.0f) == loss);
    float largest = 0.0f;
    for (size_t i = 0; i < total; i++)
        largest = fmaxf(largest, fabsf(gradients[i]));
    for (size_t i = 0; i < total; i++)
        assert_true(fabsf(gradients[i] - world.gradients[i]) <= 1e-6f * largest);
    free(gradients);
    nn_world_finish(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_token_moves_another_document),
        cmocka_unit_test(padding_contributes_nothing),
        cmocka_unit_test(a_row_of_padding_is_no_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
