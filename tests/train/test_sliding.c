/* Sliding windows: every token but a shard's first is a label once, behind as many tokens as its window has. */
#include "support.h"

#include <stdlib.h>
#include <string.h>

#include "corpus.h"
#include "kernels/kernels.h"
#include "train/sliding.h"

static void check(size_t tokens, size_t seq, size_t stride)
{
    int32_t ids[100], used[2];
    struct corpus corpus;
    struct bt_sliding *sliding = NULL;
    struct bt_batch batch;
    struct bt_diag diag = {0};
    size_t next = 1; /* the label that comes next */
    corpus_init(&corpus);
    corpus_add_source(&corpus, 1.0);
    for (size_t i = 0; i < tokens; i++)
        ids[i] = (int32_t)(500 + i);
    corpus_add_shard(&corpus, 'a', ids, 1, 2); /* too short for any label */
    corpus_add_shard(&corpus, 'b', ids, tokens, 2);
    TEST_OK(bt_sliding_open(corpus.sources, corpus.count, seq, stride, 1000, &sliding, &diag), diag);
    test_batch_init(&batch, 2, seq);
    batch.used = used;
    for (size_t row = 0; row < bt_sliding_rows(sliding); row++) {
        const size_t labels_before = next;
        bt_batch_begin(&batch);
        bt_sliding_fill(sliding, row, 1, &batch);
        for (size_t j = 0; j < seq; j++) {
            const size_t at = seq + j;
            if (j >= (size_t)batch.used[1]) {
                assert_int_equal(batch.ids[at], 0);
                assert_int_equal(batch.first[at], j);
                assert_int_equal(batch.labels[at], BT_IGNORE_LABEL);
                continue;
            }
            assert_int_equal(batch.ids[at], 500 + row * stride + j);
            assert_int_equal(batch.position[at], j);
            assert_int_equal(batch.first[at], 0);
            if (batch.labels[at] == BT_IGNORE_LABEL)
                continue;
            assert_int_equal(batch.labels[at], 500 + next);
            assert_int_equal(batch.labels[at], batch.ids[at] + 1);
            next++;
        }
        assert_int_equal(batch.label_count, next - labels_before);
        assert_int_equal(batch.tokens, batch.used[1]);
        assert_true(next > labels_before);
    }
    assert_int_equal(next, tokens);
    batch.used = NULL;
    test_batch_finish(&batch);
    bt_sliding_close(sliding);
    corpus_finish(&corpus);
}

static void every_token_is_a_label_once(void **state)
{
    (void)state;
    for (size_t tokens = 2; tokens < 40; tokens++)
        for (size_t stride = 1; stride <= 8; stride++)
            check(tokens, 8, stride);
}

static void files_that_do_not_do(void **state)
{
    static const int32_t ids[] = {1, 2, 3};
    struct corpus corpus;
    struct bt_sliding *sliding = NULL;
    struct bt_diag diag = {0};
    (void)state;
    corpus_init(&corpus);
    corpus_add_source(&corpus, 1.0);
    corpus_add_shard(&corpus, 'a', ids, 1, 2);
    assert_int_equal(bt_sliding_open(corpus.sources, 1, 8, 8, 1000, &sliding, &diag), BT_EINPUT);
    assert_non_null(strstr(diag.text, "two tokens"));
    corpus_add_shard(&corpus, 'b', ids, 3, 2);
    assert_int_equal(bt_sliding_open(corpus.sources, 1, 8, 8, 3, &sliding, &diag), BT_EINPUT);
    corpus_finish(&corpus);
}

static enum bt_err open_and_close(void *context)
{
    const struct corpus *corpus = context;
    struct bt_sliding *sliding = NULL;
    struct bt_diag diag = {0};
    const enum bt_err err = bt_sliding_open(corpus->sources, corpus->count, 8, 4, 1000, &sliding, &diag);
    bt_sliding_close(sliding);
    return err;
}

static void every_allocation_fails(void **state)
{
    static const int32_t ids[20] = {1};
    struct corpus corpus;
    (void)state;
    corpus_init(&corpus);
    corpus_add_source(&corpus, 1.0);
    corpus_add_shard(&corpus, 'a', ids, 20, 2);
    corpus_add_shard(&corpus, 'b', ids, 10, 2);
    test_every_allocation_fails(open_and_close, &corpus);
    corpus_finish(&corpus);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_token_is_a_label_once),
        cmocka_unit_test(files_that_do_not_do),
        cmocka_unit_test(every_allocation_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
