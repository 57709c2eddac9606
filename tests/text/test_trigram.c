/* text/trigram: counts worked out by hand, distributions that sum to one, and what a document's beginning hides. */
#include "support.h"

#include <math.h>

#include "text/trigram.h"

#define VOCAB 6
#define BOS   4
#define EOS   5

static struct bt_trigram *count(const int32_t *tokens, size_t n)
{
    struct bt_trigram *trigram = NULL;
    struct bt_diag diag = {""};
    TEST_OK(bt_trigram_create(tokens, n, VOCAB, BOS, &trigram, &diag), diag);
    return trigram;
}

static double probability(const struct bt_trigram *trigram, int32_t older, int32_t newer, int32_t token)
{
    return exp(bt_trigram_log_probability(trigram, older, newer, token));
}

/* BOS 0 1 0 1 EOS: the labels are 0 1 0 1 EOS. */
static void test_by_hand(void **state)
{
    static const int32_t tokens[] = {BOS, 0, 1, 0, 1, EOS};
    struct bt_trigram *t = count(tokens, 6);
    (void)state;
    const double uniform = 1.0 / VOCAB;
    const double uni_1 = (2 + 3 * uniform) / (5 + 3); /* five labels of three kinds */
    const double bi_1 = (2 + 1 * uni_1) / (2 + 1);    /* after 0: 1 twice */
    const double tri_1 = (1 + 1 * bi_1) / (1 + 1);    /* after 1 0: 1 once */
    assert_true(fabs(probability(t, 1, 0, 1) - tri_1) < 1e-15);
    /* After 3 0: never seen, so what 0 alone says. After 3: nothing but the single counts; 2: nothing but the uniform.
     */
    assert_true(fabs(probability(t, 3, 0, 1) - bi_1) < 1e-15);
    assert_true(fabs(probability(t, 3, 3, 1) - uni_1) < 1e-15);
    assert_true(fabs(probability(t, 3, 3, 2) - 3 * uniform / 8) < 1e-15);
    bt_trigram_destroy(t);
    bt_trigram_destroy(NULL);
}

static void test_sums_to_one(void **state)
{
    static const int32_t tokens[] = {BOS, 0, 1, 0, 1, EOS, BOS, 1, 1, 0, EOS, BOS, EOS, BOS, 0, 0, 0, 0, 1};
    struct bt_trigram *t = count(tokens, BT_ARRAY_LEN(tokens));
    (void)state;
    for (int32_t older = 0; older < VOCAB; older++)
        for (int32_t newer = 0; newer < VOCAB; newer++) {
            double sum = 0.0;
            for (int32_t token = 0; token < VOCAB; token++)
                sum += probability(t, older, newer, token);
            assert_true(fabs(sum - 1.0) < 1e-14);
        }
    bt_trigram_destroy(t);
}

/* The loss is the mean over all labels, and the first label of a document does not see the document before. */
static void test_loss_and_beginnings(void **state)
{
    static const int32_t tokens[] = {BOS, 0, 1, EOS, BOS, 1, EOS};
    static const int32_t context[][3] = {/* older, newer, label */
                                         {BOS, BOS, 0}, {BOS, 0, 1},   {0, 1, EOS},
                                         {1, EOS, BOS}, {BOS, BOS, 1}, {BOS, 1, EOS}};
    struct bt_trigram *t = count(tokens, 7);
    double sum = 0.0;
    (void)state;
    for (size_t i = 0; i < 6; i++)
        sum -= bt_trigram_log_probability(t, context[i][0], context[i][1], context[i][2]);
    assert_true(fabs(bt_trigram_loss(t, tokens, 7) - sum / 6.0) < 1e-15);
    assert_true(bt_trigram_loss(t, tokens, 1) == 0.0);
    assert_true(bt_trigram_loss(t, tokens, 0) == 0.0);
    bt_trigram_destroy(t);
}

/* Nothing counted: the uniform distribution. */
static void test_empty(void **state)
{
    struct bt_trigram *t = count(NULL, 0);
    (void)state;
    assert_true(fabs(probability(t, 0, 1, 2) - 1.0 / VOCAB) < 1e-15);
    bt_trigram_destroy(t);
}

static enum bt_err create(void *context)
{
    static const int32_t tokens[] = {BOS, 0, 1, EOS};
    struct bt_trigram *trigram;
    (void)context;
    const enum bt_err err = bt_trigram_create(tokens, 4, VOCAB, BOS, &trigram, NULL);
    if (!err)
        bt_trigram_destroy(trigram);
    return err;
}

static void test_failing_allocations(void **state)
{
    (void)state;
    test_every_allocation_fails(create, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_by_hand),
        cmocka_unit_test(test_sums_to_one),
        cmocka_unit_test(test_loss_and_beginnings),
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_failing_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
