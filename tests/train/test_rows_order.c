#include "corpus.h"

#include <string.h>

#include "base/rng.h"

/* Reads the next row: 10000 * source + row of the plan. */
static int32_t next_id(struct bt_cursor *cursor, struct bt_batch *batch)
{
    struct bt_diag diag = {0};
    assert_int_equal(batch->rows, 1);
    TEST_OK(bt_cursor_fill(cursor, batch, &diag), diag);
    return batch->ids[0];
}

static struct bt_cursor *open_cursor(struct bt_rows *rows, uint64_t row)
{
    struct bt_diag diag = {0};
    struct bt_cursor *cursor = NULL;
    TEST_OK(bt_cursor_open(rows, row, &cursor, &diag), diag);
    assert_int_equal(bt_cursor_row(cursor), row);
    return cursor;
}

/* The ids of the first n rows under the given options. */
static void order_of(const struct corpus *corpus, const struct bt_rows_options *options, size_t seq, int32_t *ids,
                     size_t n)
{
    struct bt_batch batch;
    struct bt_rows *rows = corpus_open(corpus, *options, seq);
    struct bt_cursor *cursor = open_cursor(rows, 0);
    test_batch_init(&batch, 1, seq);
    for (size_t i = 0; i < n; i++)
        ids[i] = next_id(cursor, &batch);
    assert_int_equal(bt_cursor_row(cursor), n);
    test_batch_finish(&batch);
    bt_cursor_close(cursor);
    bt_rows_close(rows);
}

static void without_shuffling_epochs_repeat_the_plan(void **state)
{
    (void)state;
    struct corpus corpus;
    struct bt_rows_options options = window_options;
    int32_t ids[25];
    options.shuffle = false;
    corpus_init(&corpus);
    corpus_add_windows(&corpus, 1.0, 10, 3);
    order_of(&corpus, &options, 3, ids, 25);
    for (size_t i = 0; i < 25; i++)
        assert_int_equal(ids[i], i % 10);
    corpus_finish(&corpus);
}

static void each_epoch_is_another_permutation(void **state)
{
    (void)state;
    enum { ROWS = 50, EPOCHS = 4 };
    struct corpus corpus;
    struct bt_rows_options options = window_options;
    int32_t ids[ROWS * EPOCHS], again[ROWS * EPOCHS], other[ROWS * EPOCHS];
    corpus_init(&corpus);
    corpus_add_windows(&corpus, 1.0, ROWS, 2);
    order_of(&corpus, &options, 2, ids, ROWS * EPOCHS);
    for (size_t e = 0; e < EPOCHS; e++) {
        bool seen[ROWS] = {false};
        for (size_t i = 0; i < ROWS; i++) {
            assert_false(seen[ids[e * ROWS + i]]);
            seen[ids[e * ROWS + i]] = true;
        }
        if (e)
            assert_memory_not_equal(ids + e * ROWS, ids, ROWS * sizeof *ids);
    }
    order_of(&corpus, &options, 2, again, ROWS * EPOCHS);
    assert_memory_equal(ids, again, sizeof ids);
    options.seed = 43;
    order_of(&corpus, &options, 2, other, ROWS * EPOCHS);
    assert_memory_not_equal(ids, other, sizeof ids);
    options.seed = 42;
    options.stage = "stage0";
    order_of(&corpus, &options, 2, other, ROWS * EPOCHS);
    assert_memory_not_equal(ids, other, sizeof ids);
    corpus_finish(&corpus);
}

/* The permutation is that of (seed, stage, source, epoch) as base/rng.h makes it. */
static void the_permutation_is_keyed_by_stage_source_and_epoch(void **state)
{
    (void)state;
    struct corpus corpus;
    int32_t ids[30];
    uint32_t want[10];
    corpus_init(&corpus);
    corpus_add_windows(&corpus, 1.0, 10, 2);
    order_of(&corpus, &window_options, 2, ids, 30);
    for (size_t e = 0; e < 3; e++) {
        bt_rng_permutation(bt_rng_key(42, test_format("order/stage2/0/%zu", e)), want, 10);
        for (size_t i = 0; i < 10; i++)
            assert_int_equal(ids[10 * e + i], want[i]);
    }
    corpus_finish(&corpus);
}

static void mixing_by_hand(void **state)
{
    (void)state;
    static const struct {
        double weights[3];
        const char *order; /* sources, most behind first, lowest on ties */
    } cases[] = {
        {{1.0, 1.0}, "0101010101"},
        {{3.0, 1.0}, "01000100010001000100"},
        {{0.7, 0.3}, "01001001000100100100"}, /* after 7 and 3 rows it starts over: a tie, not a rounding error */
        {{1.0, 2.0}, "01101101101101101101"},
        {{1.0, 1.0, 2.0}, "02120212021202120212"}};
    for (size_t c = 0; c < BT_ARRAY_LEN(cases); c++) {
        struct corpus corpus;
        int32_t ids[32];
        const size_t n = strlen(cases[c].order);
        corpus_init(&corpus);
        for (size_t i = 0; i < 3 && cases[c].weights[i] > 0.0; i++)
            corpus_add_windows(&corpus, cases[c].weights[i], 4, 5);
        order_of(&corpus, &window_options, 5, ids, n);
        for (size_t i = 0; i < n; i++) {
            if (ids[i] / 10000 != cases[c].order[i] - '0')
                fail_msg("case %d, row %d: source %d", (int)c, (int)i, (int)(ids[i] / 10000));
        }
        corpus_finish(&corpus);
    }
}

/* Draws packed_options rows of all lengths from `sources` sources, whose weights sum to 1, and checks every prefix;
 * gives back how many rows a source was behind at most. None is ever ahead by a row: only one that is not ahead gets
 * one. Deficits sum to zero, so of two sources none is behind by a row either. Of n sources:
 *
 *   Let a(k) bound the mean deficit of any k sources, a(n) = 0. A row of x <= T tokens raises the sum of theirs by x
 *   times the sum of their shares, and takes x off it if it went to one of them: then it did not grow. Else the source
 *   that it went to was at least as far behind as each of them, so together with it they were k + 1 of at least their
 *   mean: a(k) <= a(k + 1) + T / k times the sum of k shares, and a(1) < T (1 + 1/2 + ... + 1/(n - 1)). */
static double check_shares(const double *weights, size_t sources)
{
    enum { SEQ = 24, ROWS = 3000 };
    static struct token_list list;
    struct corpus corpus;
    struct bt_batch batch;
    double tokens[MAX_SOURCES] = {0}, total = 0.0, bound = 0.0, worst = 0.0;
    for (size_t k = 1; k < sources; k++)
        bound += 1.0 / (double)k;
    corpus_init(&corpus);
    for (size_t s = 0; s < sources; s++) {
        corpus_add_source(&corpus, 7.0 * weights[s]);
        list.n = 0;
        for (size_t d = 0; d < 40; d++) {
            const size_t length = 1 + bt_rng_below(s, d, 30);
            token_list_add(&list, B);
            for (size_t i = 0; i < length; i++)
                token_list_add(&list, (int32_t)(10000 * (s + 1)));
        }
        corpus_add_shard(&corpus, 'a', list.tokens, list.n, 4);
    }
    struct bt_rows *rows = corpus_open(&corpus, packed_options, SEQ);
    struct bt_cursor *cursor = open_cursor(rows, 0);
    test_batch_init(&batch, 1, SEQ);
    for (size_t r = 0; r < ROWS; r++) {
        struct bt_diag diag = {0};
        TEST_OK(bt_cursor_fill(cursor, &batch, &diag), diag);
        const int32_t text = batch.ids[0] == B ? batch.ids[1] : batch.ids[0];
        tokens[text / 10000 - 1] += (double)batch.tokens;
        total += (double)batch.tokens;
        for (size_t s = 0; s < sources; s++) {
            const double ahead = tokens[s] - weights[s] * total;
            assert_true(ahead < SEQ);
            assert_true(-ahead < bound * SEQ);
            worst = -ahead > worst ? -ahead : worst;
        }
    }
    test_batch_finish(&batch);
    bt_cursor_close(cursor);
    bt_rows_close(rows);
    corpus_finish(&corpus);
    return worst / SEQ;
}

/* Within one row of the share with two sources, and with several as far as the rule can. */
static void every_prefix_of_a_run_keeps_to_the_shares(void **state)
{
    (void)state;
    static const struct {
        size_t sources;
        double weights[MAX_SOURCES];
    } mixes[] = {
        {2, {0.61, 0.39}},
        {2, {0.97, 0.03}},
        {2, {0.001, 0.999}},
        {3, {0.61, 0.3, 0.09}},
        {3, {0.97, 0.02, 0.01}},
        {4, {0.4, 0.3, 0.2, 0.1}},
        {4, {0.002, 0.007, 0.969, 0.022}},
    };
    for (size_t i = 0; i < BT_ARRAY_LEN(mixes); i++) {
        const double behind = check_shares(mixes[i].weights, mixes[i].sources);
        print_message("%zu sources: at most %.3f rows behind\n", mixes[i].sources, behind);
        assert_true(behind > 0.3); /* somebody waits */
    }
}

/* That bound is not far off: rows of one length, the smallest source first. So "within one row" holds for two alone. */
static void three_sources_may_be_more_than_a_row_behind(void **state)
{
    (void)state;
    enum { ROWS = 60 };
    static const double weights[] = {1.0, 880.0, 9.0};
    double tokens[3] = {0}, worst = 0.0;
    struct corpus corpus;
    int32_t ids[ROWS];
    corpus_init(&corpus);
    for (size_t s = 0; s < 3; s++)
        corpus_add_windows(&corpus, weights[s], 4, 5);
    order_of(&corpus, &window_options, 5, ids, ROWS);
    for (size_t r = 0; r < ROWS; r++) {
        tokens[ids[r] / 10000]++;
        const double behind = weights[1] / 890.0 * (double)(r + 1) - tokens[1];
        worst = behind > worst ? behind : worst;
    }
    print_message("%.3f rows behind\n", worst);
    assert_true(worst > 1.4 && worst < 1.5);
    corpus_finish(&corpus);
}

/* The walk that seeking and peeking are compared with: every row, and what it counts. */
enum { WALK_ROWS = 150, WALK_SEQ = 32 };

struct walk {
    struct bt_rows *rows;
    struct bt_batch all, one;
    size_t tokens[WALK_ROWS], labels[WALK_ROWS];
};

static void walk_init(struct walk *walk, const struct corpus *corpus)
{
    struct bt_diag diag = {0};
    walk->rows = corpus_open(corpus, packed_options, WALK_SEQ);
    struct bt_cursor *cursor = open_cursor(walk->rows, 0);
    test_batch_init(&walk->all, WALK_ROWS, WALK_SEQ);
    test_batch_init(&walk->one, 1, WALK_SEQ);
    TEST_OK(bt_cursor_fill(cursor, &walk->all, &diag), diag);
    assert_int_equal(bt_cursor_row(cursor), WALK_ROWS);
    bt_cursor_close(cursor);
    cursor = open_cursor(walk->rows, 0);
    for (size_t r = 0; r < WALK_ROWS; r++) {
        TEST_OK(bt_cursor_fill(cursor, &walk->one, &diag), diag);
        walk->tokens[r] = walk->one.tokens;
        walk->labels[r] = walk->one.label_count;
    }
    bt_cursor_close(cursor);
}

static void walk_finish(struct walk *walk)
{
    test_batch_finish(&walk->all);
    test_batch_finish(&walk->one);
    bt_rows_close(walk->rows);
}

static void check_peek(const struct walk *walk, struct bt_cursor *cursor, size_t row, size_t n)
{
    struct bt_diag diag = {0};
    uint64_t labels, tokens;
    size_t want_labels = 0, want_tokens = 0;
    for (size_t i = row; i < row + n; i++) {
        want_labels += walk->labels[i];
        want_tokens += walk->tokens[i];
    }
    TEST_OK(bt_cursor_peek(cursor, n, &labels, &tokens, &diag), diag);
    assert_int_equal(labels, want_labels);
    assert_int_equal(tokens, want_tokens);
    assert_int_equal(bt_cursor_row(cursor), row);
}

static void check_next(struct walk *walk, struct bt_cursor *cursor, size_t row)
{
    struct bt_diag diag = {0};
    const size_t size = WALK_SEQ * sizeof(int32_t), at = row * WALK_SEQ;
    TEST_OK(bt_cursor_fill(cursor, &walk->one, &diag), diag);
    assert_memory_equal(walk->one.ids, walk->all.ids + at, size);
    assert_memory_equal(walk->one.labels, walk->all.labels + at, size);
    assert_memory_equal(walk->one.position, walk->all.position + at, size);
    assert_memory_equal(walk->one.first, walk->all.first + at, size);
}

/* Over several epochs of three packed_options sources. */
static void seeking_and_peeking_agree_with_walking(void **state)
{
    (void)state;
    struct random_corpus corpus;
    struct walk walk;
    random_corpus_init(&corpus, 3, true, false);
    random_corpus_add(&corpus, 4, true, false);
    random_corpus_add(&corpus, 5, true, false);
    walk_init(&walk, &corpus.files);
    assert_true(2 * bt_rows_count(walk.rows) < WALK_ROWS);
    for (size_t start = 0; start < WALK_ROWS; start += 13) {
        struct bt_cursor *cursor = open_cursor(walk.rows, start);
        for (size_t r = start, ahead = 1; r < WALK_ROWS; r++, ahead = ahead * 5 % 17) {
            check_peek(&walk, cursor, r, ahead < WALK_ROWS - r ? ahead : WALK_ROWS - r);
            check_next(&walk, cursor, r);
        }
        bt_cursor_close(cursor);
    }
    walk_finish(&walk);
    corpus_finish(&corpus.files);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_shuffling_epochs_repeat_the_plan),
        cmocka_unit_test(each_epoch_is_another_permutation),
        cmocka_unit_test(the_permutation_is_keyed_by_stage_source_and_epoch),
        cmocka_unit_test(mixing_by_hand),
        cmocka_unit_test(every_prefix_of_a_run_keeps_to_the_shares),
        cmocka_unit_test(three_sources_may_be_more_than_a_row_behind),
        cmocka_unit_test(seeking_and_peeking_agree_with_walking),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
