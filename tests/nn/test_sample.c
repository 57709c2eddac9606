/* Sampling against its formulas: which ids may come, and how often. */
#include "support.h"

#include <math.h>
#include <string.h>

#include "nn/sample.h"

enum { VOCAB = 8, DRAWS = 20000 };

/* Probabilities 1/2, 1/4, 1/8, 1/16 ... of ids in a scrambled order; ids 2 and 5 share the last place. */
static const float log_p[VOCAB] = {-3.0f, -1.0f, -7.0f, -2.0f, -6.0f, -7.0f, -4.0f, -5.0f};

static double probability(size_t id)
{
    return exp2((double)log_p[id]);
}

static void set_logits(float *logits)
{
    for (size_t i = 0; i < VOCAB; i++)
        logits[i] = log_p[i] * 0.69314718f + 3.0f;
}

static struct bt_sampler *make_sampler(void)
{
    struct bt_sampler *sampler = NULL;
    struct bt_diag diag = {0};
    TEST_OK(bt_sampler_create(VOCAB, &sampler, &diag), diag);
    return sampler;
}

/* How often each id comes in DRAWS draws, as shares. */
static void shares(const struct bt_sampling *sampling, const int32_t *text, size_t length, double *share)
{
    struct bt_sampler *sampler = make_sampler();
    memset(share, 0, VOCAB * sizeof *share);
    for (uint64_t i = 0; i < DRAWS; i++) {
        struct bt_sampling seeded = *sampling;
        float logits[VOCAB];
        seeded.seed = i;
        set_logits(logits);
        const int32_t id = bt_sample(sampler, &seeded, logits, text, length);
        assert_in_range(id, 0, VOCAB - 1);
        share[id] += 1.0 / DRAWS;
    }
    bt_sampler_destroy(sampler);
}

/* want is in proportion; five deviations of a share are 0.018 at most. An id that must not come never does. */
static void check_shares(const struct bt_sampling *sampling, const double *want)
{
    double share[VOCAB], sum = 0.0;
    shares(sampling, NULL, 0, share);
    for (size_t i = 0; i < VOCAB; i++)
        sum += want[i];
    for (size_t i = 0; i < VOCAB; i++) {
        const double p = want[i] / sum;
        if (want[i] == 0.0)
            assert_true(share[i] == 0.0);
        if (!(fabs(share[i] - p) <= 5.0 * sqrt(p * (1.0 - p) / DRAWS) + 1e-12))
            fail_msg("id %zu came with %.4f, expected %.4f", i, share[i], p);
    }
}

static void plain_draws_follow_softmax(void **state)
{
    const struct bt_sampling sampling = {.temperature = 1.0, .top_p = 1.0, .repetition_penalty = 1.0};
    double want[VOCAB];
    (void)state;
    for (size_t i = 0; i < VOCAB; i++)
        want[i] = probability(i);
    check_shares(&sampling, want);
}

static void temperature_is_an_exponent(void **state)
{
    const struct bt_sampling sampling = {.temperature = 2.0, .top_p = 1.0, .repetition_penalty = 1.0};
    double want[VOCAB];
    (void)state;
    for (size_t i = 0; i < VOCAB; i++)
        want[i] = sqrt(probability(i));
    check_shares(&sampling, want);
}

static void top_k_keeps_the_first(void **state)
{
    (void)state;
    for (uint64_t k = 1; k <= VOCAB + 1; k++) {
        const struct bt_sampling sampling = {.temperature = 1.0, .top_k = k, .top_p = 1.0, .repetition_penalty = 1.0};
        double want[VOCAB];
        for (size_t i = 0; i < VOCAB; i++) {
            uint64_t before = 0; /* ids that come first */
            for (size_t j = 0; j < VOCAB; j++)
                before += log_p[j] > log_p[i] || (log_p[j] == log_p[i] && j < i);
            want[i] = before < k ? probability(i) : 0.0;
        }
        check_shares(&sampling, want);
    }
}

static void top_p_keeps_as_few_as_have_the_share(void **state)
{
    const double all = 1.0 - 1.0 / 128.0 + 1.0 / 128.0; /* 1/2 + ... + 1/64 + 2/128 */
    const struct {
        double p;
        double least; /* probability of the last one kept */
    } cases[] = {{0.3, 0.5}, {0.49, 0.5}, {0.51, 0.25}, {0.74, 0.25}, {0.9, 0.0625}, {0.98, 0.015625}};
    (void)state;
    for (size_t c = 0; c < BT_ARRAY_LEN(cases); c++) {
        const struct bt_sampling sampling = {.temperature = 1.0, .top_p = cases[c].p * all, .repetition_penalty = 1.0};
        double want[VOCAB];
        for (size_t i = 0; i < VOCAB; i++)
            want[i] = probability(i) >= cases[c].least ? probability(i) : 0.0;
        check_shares(&sampling, want);
    }
}

static void min_p_is_relative_to_the_first(void **state)
{
    const struct bt_sampling sampling = {.temperature = 1.0, .top_p = 1.0, .min_p = 0.2, .repetition_penalty = 1.0};
    double want[VOCAB];
    (void)state;
    for (size_t i = 0; i < VOCAB; i++)
        want[i] = probability(i) >= 0.2 * 0.5 ? probability(i) : 0.0;
    check_shares(&sampling, want);
}

static void repetition_is_made_less_likely_once(void **state)
{
    const int32_t text[] = {1, 2, 1, 1};
    struct bt_sampler *sampler = make_sampler();
    struct bt_sampling sampling = bt_sampling_greedy;
    float logits[VOCAB] = {0.5f, 2.0f, -1.0f};
    (void)state;
    sampling.repetition_penalty = 2.0;
    assert_int_equal(bt_sample(sampler, &sampling, logits, text, 4), 1);
    assert_true(logits[0] == 0.5f && logits[1] == 1.0f && logits[2] == -2.0f);
    logits[1] = 0.9f;
    assert_int_equal(bt_sample(sampler, &sampling, logits, text, 4), 0);
    bt_sampler_destroy(sampler);
}

static void greedy_takes_the_lowest_of_equals(void **state)
{
    struct bt_sampler *sampler = make_sampler();
    float logits[VOCAB] = {1.0f, 3.0f, 3.0f, 2.0f};
    (void)state;
    assert_int_equal(bt_sample(sampler, &bt_sampling_greedy, logits, NULL, 0), 1);
    logits[3] = NAN;
    assert_int_equal(bt_sample(sampler, &bt_sampling_greedy, logits, NULL, 0), -1);
    logits[3] = INFINITY;
    assert_int_equal(bt_sample(sampler, &bt_sampling_greedy, logits, NULL, 0), -1);
    bt_sampler_destroy(sampler);
}

/* The same seed and place give the same id; another place is another draw. */
static void draws_hang_on_seed_and_place(void **state)
{
    const struct bt_sampling sampling = {.temperature = 1.0, .top_p = 1.0, .repetition_penalty = 1.0, .seed = 5};
    struct bt_sampler *sampler = make_sampler();
    const int32_t text[64] = {0};
    size_t changes = 0;
    int32_t before = -1;
    (void)state;
    for (size_t length = 0; length < 64; length++) {
        float logits[VOCAB];
        set_logits(logits);
        const int32_t id = bt_sample(sampler, &sampling, logits, text, length);
        set_logits(logits);
        assert_int_equal(bt_sample(sampler, &sampling, logits, text, length), id);
        changes += id != before;
        before = id;
    }
    assert_in_range(changes, 20, 64);
    bt_sampler_destroy(sampler);
}

static void bounds_are_checked(void **state)
{
    const struct {
        struct bt_sampling sampling;
        const char *name;
    } cases[] = {{{-0.1, 0, 1.0, 0.0, 1.0, 0}, "--temperature"},
                 {{NAN, 0, 1.0, 0.0, 1.0, 0}, "--temperature"},
                 {{1.0, 0, 0.0, 0.0, 1.0, 0}, "--top-p"},
                 {{1.0, 0, 1.1, 0.0, 1.0, 0}, "--top-p"},
                 {{1.0, 0, 1.0, -1.0, 1.0, 0}, "--min-p"},
                 {{1.0, 0, 1.0, 1.5, 1.0, 0}, "--min-p"},
                 {{1.0, 0, 1.0, 0.0, 0.0, 0}, "--repetition-penalty"}};
    struct bt_diag diag;
    (void)state;
    for (size_t i = 0; i < BT_ARRAY_LEN(cases); i++) {
        assert_int_equal(bt_sampling_check(&cases[i].sampling, &diag), BT_EUSAGE);
        assert_non_null(strstr(diag.text, cases[i].name));
    }
    assert_int_equal(bt_sampling_check(&bt_sampling_greedy, &diag), BT_OK);
}

static enum bt_err create_and_destroy(void *context)
{
    struct bt_sampler *sampler = NULL;
    struct bt_diag diag;
    (void)context;
    const enum bt_err err = bt_sampler_create(100, &sampler, &diag);
    bt_sampler_destroy(sampler);
    return err;
}

static void every_allocation_fails(void **state)
{
    (void)state;
    test_every_allocation_fails(create_and_destroy, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_draws_follow_softmax),
        cmocka_unit_test(temperature_is_an_exponent),
        cmocka_unit_test(top_k_keeps_the_first),
        cmocka_unit_test(top_p_keeps_as_few_as_have_the_share),
        cmocka_unit_test(min_p_is_relative_to_the_first),
        cmocka_unit_test(repetition_is_made_less_likely_once),
        cmocka_unit_test(greedy_takes_the_lowest_of_equals),
        cmocka_unit_test(draws_hang_on_seed_and_place),
        cmocka_unit_test(bounds_are_checked),
        cmocka_unit_test(every_allocation_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
