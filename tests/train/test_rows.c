#include "corpus.h"

#include <stdlib.h>
#include <string.h>

#include "io/shard.h"
#include "kernels/kernels.h"

#define NO BT_IGNORE_LABEL

/* What one row must hold. */
struct row {
    int32_t ids[8], labels[8], position[8], first[8];
};

/* Opens one source with one shard and compares every row of the plan. */
static void check_rows(const int32_t *tokens, size_t n, const struct bt_rows_options *options, size_t seq,
                       const struct row *want, size_t want_rows)
{
    struct corpus corpus;
    struct bt_batch batch;
    size_t token_count = 0, label_count = 0;
    corpus_init(&corpus);
    corpus_add_source(&corpus, 1.0);
    corpus_add_shard(&corpus, 'a', tokens, n, 2);
    struct bt_rows *rows = corpus_open(&corpus, *options, seq);
    assert_int_equal(bt_rows_count(rows), want_rows);
    test_batch_init(&batch, want_rows, seq);
    for (size_t r = 0; r < want_rows; r++) {
        bt_rows_fill(rows, r, r, &batch);
        assert_memory_equal(batch.ids + r * seq, want[r].ids, seq * sizeof(int32_t));
        assert_memory_equal(batch.labels + r * seq, want[r].labels, seq * sizeof(int32_t));
        assert_memory_equal(batch.position + r * seq, want[r].position, seq * sizeof(int32_t));
        assert_memory_equal(batch.first + r * seq, want[r].first, seq * sizeof(int32_t));
        for (size_t i = 0; i < seq; i++)
            label_count += want[r].labels[i] != NO;
    }
    token_count = options->packing ? n : want_rows * seq;
    assert_int_equal(batch.tokens, token_count);
    assert_int_equal(batch.label_count, label_count);
    assert_int_equal(bt_rows_tokens(rows), token_count);
    test_batch_finish(&batch);
    bt_rows_close(rows);
    corpus_finish(&corpus);
}

static void plain_windows_take_every_t_th_token(void **state)
{
    (void)state;
    static const int32_t tokens[] = {10, 11, 12, 13, 14, 15, 16, 17, 18};
    static const struct row want[] = {{{10, 11, 12, 13}, {11, 12, 13, 14}, {0, 1, 2, 3}, {0}},
                                      {{14, 15, 16, 17}, {15, 16, 17, 18}, {0, 1, 2, 3}, {0}}};
    check_rows(tokens, 9, &window_options, 4, want, 2); /* floor((9 - 1) / 4) */
    check_rows(tokens, 8, &window_options, 4, want, 1); /* the last token has no label */
    check_rows(tokens, 5, &window_options, 4, want, 1);
}

/* Documents of 3, 5 and 2 tokens: 5 opens row 0, 3 fills it, 2 opens row 1. A document's last label is the next one's
 * separator, but for the end of the shard. */
static void before_separators_by_hand(void **state)
{
    (void)state;
    static const int32_t tokens[] = {B, 10, 11, B, 20, 21, 22, 23, B, 30};
    static const struct row want[] = {
        {{B, 20, 21, 22, 23, B, 10, 11},
         {20, 21, 22, 23, B, 10, 11, B},
         {0, 1, 2, 3, 4, 0, 1, 2},
         {0, 0, 0, 0, 0, 5, 5, 5}},
        {{B, 30, 0, 0, 0, 0, 0, 0}, {30, NO, NO, NO, NO, NO, NO, NO}, {0, 1}, {0, 0, 2, 3, 4, 5, 6, 7}}};
    check_rows(tokens, BT_ARRAY_LEN(tokens), &packed_options, 8, want, 2);
}

/* The last token of a document, its `after`, has no label: what follows belongs to another document. */
static void after_separators_by_hand(void **state)
{
    (void)state;
    static const int32_t tokens[] = {10, 11, A, 20, 21, 22, 23, A, 30};
    static const struct row want[] = {
        {{20, 21, 22, 23, A, 10, 11, A},
         {21, 22, 23, A, NO, 11, A, NO},
         {0, 1, 2, 3, 4, 0, 1, 2},
         {0, 0, 0, 0, 0, 5, 5, 5}},
        {{30, 0, 0, 0, 0, 0, 0, 0}, {NO, NO, NO, NO, NO, NO, NO, NO}, {0}, {0, 1, 2, 3, 4, 5, 6, 7}}};
    struct bt_rows_options options = packed_options;
    options.before = -1;
    options.after = A;
    check_rows(tokens, BT_ARRAY_LEN(tokens), &options, 8, want, 2);
}

/* B a A B c: the `after` is followed by a `before`, which is its label. Text before the first B, and after the last A,
 * is a document too. */
static void both_separators_by_hand(void **state)
{
    (void)state;
    static const int32_t tokens[] = {5, B, 10, 11, A, B, 20, A, 6, 7};
    static const struct row want[] = {
        {{B, 10, 11, A, B, 20, A, 5}, {10, 11, A, B, 20, A, NO, B}, {0, 1, 2, 3, 0, 1, 2, 0}, {0, 0, 0, 0, 4, 4, 4, 7}},
        {{6, 7, 0, 0, 0, 0, 0, 0}, {7, NO, NO, NO, NO, NO, NO, NO}, {0, 1}, {0, 0, 2, 3, 4, 5, 6, 7}}};
    struct bt_rows_options options = packed_options;
    options.after = A;
    check_rows(tokens, BT_ARRAY_LEN(tokens), &options, 8, want, 2);
}

/* Documents longer than a row are cut; a piece's last label is the document's next token, and positions start again. */
static void long_documents_are_cut_into_pieces(void **state)
{
    (void)state;
    static const int32_t tokens[] = {B, 10, 11, 12, 13, 14, 15, 16, 17, 18, B, 20};
    static const struct row want[] = {{{B, 10, 11, 12}, {10, 11, 12, 13}, {0, 1, 2, 3}, {0}},
                                      {{13, 14, 15, 16}, {14, 15, 16, 17}, {0, 1, 2, 3}, {0}},
                                      {{17, 18, B, 20}, {18, B, 20, NO}, {0, 1, 0, 1}, {0, 0, 2, 2}}};
    check_rows(tokens, BT_ARRAY_LEN(tokens), &packed_options, 4, want, 3);
}

/* One id for both would leave documents of nothing but a separator: it begins documents. */
static void one_id_for_both_separators_begins_documents(void **state)
{
    (void)state;
    static const int32_t tokens[] = {10, 11, B, 20, 21, 22, B};
    static const struct row want[] = {{{B, 20, 21, 22, 10, 11, B, 0},
                                       {20, 21, 22, B, 11, B, NO, NO},
                                       {0, 1, 2, 3, 0, 1, 0, 0},
                                       {0, 0, 0, 0, 4, 4, 6, 7}}};
    struct bt_rows_options options = packed_options;
    options.after = B;
    check_rows(tokens, BT_ARRAY_LEN(tokens), &options, 8, want, 1);
}

static void separators_in_a_row_make_documents_of_one_token(void **state)
{
    (void)state;
    static const int32_t tokens[] = {B, B, B, 10};
    static const struct row want[] = {{{B, 10, B, B}, {10, NO, B, B}, {0, 1, 0, 0}, {0, 0, 2, 3}}};
    check_rows(tokens, BT_ARRAY_LEN(tokens), &packed_options, 4, want, 1);
}

/* What follows in the next shard is neither a label nor part of a document or window. */
static void documents_and_windows_end_with_their_shard(void **state)
{
    (void)state;
    static const int32_t first[] = {B, 10, 11}, second[] = {20, 21, B, 30, 31};
    struct corpus corpus;
    struct bt_batch batch;
    corpus_init(&corpus);
    corpus_add_source(&corpus, 1.0);
    corpus_add_shard(&corpus, 'a', first, 3, 2);
    corpus_add_shard(&corpus, 'b', second, 5, 4); /* widths may differ */
    test_batch_init(&batch, 3, 3);
    struct bt_rows *rows = corpus_open(&corpus, packed_options, 3);
    static const int32_t ids[] = {B, 10, 11, B, 30, 31, 20, 21, 0};
    static const int32_t labels[] = {10, 11, NO, 30, 31, NO, 21, B, NO};
    assert_int_equal(bt_rows_count(rows), 3);
    for (size_t r = 0; r < 3; r++)
        bt_rows_fill(rows, r, r, &batch);
    assert_memory_equal(batch.ids, ids, sizeof ids);
    assert_memory_equal(batch.labels, labels, sizeof labels);
    bt_rows_close(rows);
    rows = corpus_open(&corpus, window_options, 2);
    static const int32_t window_ids[] = {B, 10, 20, 21, B, 30};
    batch.seq = 2;
    assert_int_equal(bt_rows_count(rows), 3); /* (3 - 1) / 2 and (5 - 1) / 2 */
    for (size_t r = 0; r < 3; r++)
        bt_rows_fill(rows, r, r, &batch);
    assert_memory_equal(batch.ids, window_ids, sizeof window_ids);
    assert_int_equal(batch.labels[1], 11);
    assert_int_equal(batch.labels[5], 31);
    bt_rows_close(rows);
    test_batch_finish(&batch);
    corpus_finish(&corpus);
}

static void nanogpt_shards_are_read_and_files_counted(void **state)
{
    (void)state;
    static const uint16_t raw[] = {10, 11, 12, 13, 60000};
    struct corpus corpus;
    struct bt_batch batch;
    struct bt_diag diag = {0};
    uint64_t size, hash, again, other_size, other;
    corpus_init(&corpus);
    corpus_add_source(&corpus, 1.0);
    corpus.sources[0].format = BT_CFG_NANOGPT;
    test_write_file(test_format("%s/0-a.bin", corpus.dir), raw, sizeof raw);
    corpus_add_source(&corpus, 1.0);
    corpus_add_shard(&corpus, 'a', (const int32_t[]){7, 8, 9, 10, 11}, 5, 2);
    corpus_add_shard(&corpus, 'b', (const int32_t[]){7, 8, 9, 10, 12}, 5, 2);
    struct bt_rows *rows = corpus_open(&corpus, window_options, 4);
    test_batch_init(&batch, 1, 4);
    bt_rows_fill(rows, 0, 0, &batch);
    assert_int_equal(batch.ids[3], 13);
    assert_int_equal(batch.labels[3], 60000);
    assert_int_equal(bt_rows_files(rows), 3);
    assert_non_null(strstr(bt_rows_file(rows, 0), "0-a.bin"));
    assert_non_null(strstr(bt_rows_file(rows, 2), "1-b.bin"));
    TEST_OK(bt_rows_file_hash(rows, 0, &size, &hash, &diag), diag);
    assert_int_equal(size, sizeof raw);
    TEST_OK(bt_file_hash(bt_rows_file(rows, 0), &again, &size, &diag), diag);
    assert_true(hash == again);
    TEST_OK(bt_rows_file_hash(rows, 1, &size, &hash, &diag), diag);
    TEST_OK(bt_rows_file_hash(rows, 2, &other_size, &other, &diag), diag);
    assert_int_equal(size, other_size);
    assert_true(hash != other);
    test_batch_finish(&batch);
    bt_rows_close(rows);
    corpus_finish(&corpus);
}

/* The document that the tokens first .. i of a row belong to; every piece holds some text, or is a lone separator: -1.
 */
static int32_t document_of(const int32_t *ids, size_t first, size_t end)
{
    for (size_t i = first; i < end; i++) {
        if (ids[i] >= FIRST_ID)
            return ids[i] / DOC_IDS;
    }
    return -1;
}

struct tally {
    size_t tokens, labels, separators;
    uint8_t *seen; /* by id */
};

/* Every token of the row: seen for the first time, in its place, and only trained to predict what follows it. */
static void check_row(const struct bt_batch *batch, size_t tokens, struct tally *tally)
{
    const int32_t *ids = batch->ids;
    for (size_t i = 0, end; i < tokens; i = end) {
        for (end = i + 1; end < tokens && batch->first[end] == (int32_t)i; end++)
            assert_int_equal(batch->position[end], end - i);
        assert_int_equal(batch->first[i], i);
        assert_int_equal(batch->position[i], 0);
        const int32_t document = document_of(ids, i, end);
        for (size_t j = i; j < end; j++) {
            const int32_t label = batch->labels[j];
            tally->tokens++;
            tally->labels += label != NO;
            tally->separators += ids[j] < FIRST_ID;
            if (ids[j] >= FIRST_ID) {
                assert_int_equal(ids[j] / DOC_IDS, document);
                assert_false(tally->seen[ids[j]]++);
            }
            if (j + 1 < end)
                assert_int_equal(label, ids[j + 1]);
            else if (label >= FIRST_ID)
                assert_int_equal(label / DOC_IDS, document >= 0 ? document : label / DOC_IDS);
            if (label >= FIRST_ID && ids[j] >= FIRST_ID)
                assert_int_equal(label, ids[j] + 1);
        }
    }
    for (size_t i = tokens; i < batch->seq; i++) {
        assert_int_equal(ids[i], 0);
        assert_int_equal(batch->labels[i], NO);
        assert_int_equal(batch->position[i], 0);
        assert_int_equal(batch->first[i], i);
    }
}

static void check_random(uint64_t seed, bool before, bool after, size_t seq)
{
    struct random_corpus corpus;
    struct bt_batch batch;
    struct tally tally = {0};
    struct bt_rows_options options = packed_options;
    options.before = before ? B : -1;
    options.after = after ? A : -1;
    random_corpus_init(&corpus, seed, before, after);
    struct bt_rows *rows = corpus_open(&corpus.files, options, seq);
    tally.seen = calloc(FIRST_ID + (corpus.documents + 1) * DOC_IDS, 1);
    assert_non_null(tally.seen);
    test_batch_init(&batch, 1, seq);
    for (size_t r = 0; r < bt_rows_count(rows); r++) {
        const size_t labels = tally.labels;
        bt_batch_begin(&batch);
        bt_rows_fill(rows, r, 0, &batch);
        check_row(&batch, batch.tokens, &tally);
        assert_int_equal(batch.label_count, tally.labels - labels);
    }
    assert_int_equal(tally.tokens, corpus.tokens);
    assert_int_equal(bt_rows_tokens(rows), corpus.tokens);
    assert_int_equal(tally.separators, corpus.documents * ((before ? 1 : 0) + (after ? 1 : 0)));
    /* Every token has a label but the last one of a document that no `before` follows. */
    assert_int_equal(tally.labels, corpus.tokens - corpus.documents + corpus.documents_before_a_separator);
    free(tally.seen);
    test_batch_finish(&batch);
    bt_rows_close(rows);
    corpus_finish(&corpus.files);
}

static void every_token_of_random_corpora_appears_once_and_leaks_nowhere(void **state)
{
    (void)state;
    static const size_t seqs[] = {1, 2, 3, 16, 50, 64, 65, 200};
    for (uint64_t seed = 1; seed <= 60; seed++) {
        const size_t seq = seqs[seed % BT_ARRAY_LEN(seqs)];
        check_random(seed, true, false, seq);
        check_random(seed, false, true, seq);
        check_random(seed, true, true, seq);
    }
}

/* Whatever the sizes: a row was only opened because no other one had room. */
static void no_two_rows_of_a_plan_could_be_one(void **state)
{
    (void)state;
    struct random_corpus corpus;
    struct bt_batch batch;
    random_corpus_init(&corpus, 5, true, false);
    struct bt_rows *rows = corpus_open(&corpus.files, packed_options, 64);
    size_t least = 64, second = 64;
    test_batch_init(&batch, 1, 64);
    for (size_t r = 0; r < bt_rows_count(rows); r++) {
        bt_batch_begin(&batch);
        bt_rows_fill(rows, r, 0, &batch);
        if (batch.tokens < least) {
            second = least;
            least = batch.tokens;
        } else if (batch.tokens < second) {
            second = batch.tokens;
        }
    }
    assert_true(bt_rows_count(rows) > 2);
    assert_true(least + second > 64);
    test_batch_finish(&batch);
    bt_rows_close(rows);
    corpus_finish(&corpus.files);
}

static void plan_order_goes_through_the_sources_one_after_the_other(void **state)
{
    (void)state;
    struct corpus corpus;
    struct bt_batch batch;
    corpus_init(&corpus);
    corpus_add_windows(&corpus, 1.0, 2, 3);
    corpus_add_windows(&corpus, 9.0, 3, 3);
    struct bt_rows *rows = corpus_open(&corpus, window_options, 3);
    static const int32_t want[] = {0, 1, 10000, 10001, 10002};
    assert_int_equal(bt_rows_count(rows), 5);
    assert_int_equal(bt_rows_tokens(rows), 15);
    test_batch_init(&batch, 5, 3);
    bt_batch_begin(&batch);
    for (size_t r = 0; r < 5; r++) {
        bt_rows_fill(rows, r, r, &batch);
        assert_int_equal(batch.ids[3 * r], want[r]);
        assert_int_equal(batch.tokens, 3 * (r + 1)); /* added up */
    }
    bt_rows_close(rows);
    test_batch_finish(&batch);
    corpus_finish(&corpus);
}

static void calibration_takes_plain_windows_and_passes_over_short_sources(void **state)
{
    (void)state;
    static const int32_t tokens[] = {B, 10, 11};
    struct corpus corpus;
    struct bt_diag diag = {0};
    struct bt_rows *rows = NULL;
    struct bt_batch batch;
    struct bt_rows_options options = packed_options; /* of which calibration takes length and vocabulary */
    options.seq = 3;
    options.vocab_size = 20000;
    corpus_init(&corpus);
    corpus_add_source(&corpus, 1.0);
    corpus_add_shard(&corpus, 'a', tokens, 3, 2);
    corpus_add_windows(&corpus, 9.0, 2, 3);
    test_batch_init(&batch, 1, 3);
    TEST_OK(bt_rows_open_calibration(corpus.sources, 2, &options, &rows, &diag), diag);
    assert_int_equal(bt_rows_count(rows), 2);
    bt_rows_fill(rows, 1, 0, &batch);
    assert_int_equal(batch.ids[0], 10001);
    bt_rows_close(rows);
    rows = NULL;
    options.seq = 7;
    assert_int_equal(bt_rows_open_calibration(corpus.sources, 2, &options, &rows, &diag), BT_EINPUT);
    assert_non_null(strstr(diag.text, corpus.sources[0].path));
    assert_null(rows);
    test_batch_finish(&batch);
    corpus_finish(&corpus);
}

/* Opening must fail as an input error whose sentence holds both words. */
static void check_refused(const struct corpus *corpus, struct bt_rows_options options, const char *a, const char *b)
{
    struct bt_diag diag = {0};
    struct bt_rows *rows = NULL;
    const long live = bt_alloc_live();
    options.seq = 4;
    assert_int_equal(bt_rows_open(corpus->sources, corpus->count, &options, &rows, &diag), BT_EINPUT);
    assert_null(rows);
    assert_int_equal(bt_alloc_live(), live);
    if (!strstr(diag.text, a) || !strstr(diag.text, b))
        fail_msg("\"%s\" does not say \"%s\" and \"%s\"", diag.text, a, b);
}

static void errors_name_the_source_and_what_is_wrong(void **state)
{
    (void)state;
    static const int32_t tokens[] = {10, 11, 12, 13, 14, 15};
    struct corpus corpus;
    struct bt_rows_options options = window_options;
    corpus_init(&corpus);
    corpus_add_windows(&corpus, 1.0, 5, 4);
    corpus_add_source(&corpus, 1.0);
    check_refused(&corpus, window_options, "1-*.bin", "");
    test_write_file(test_format("%s/1-a.bin", corpus.dir), "not a shard", 11);
    check_refused(&corpus, window_options, "1-a.bin", "header");
    corpus_add_shard(&corpus, 'a', tokens, 4, 2);
    check_refused(&corpus, window_options, "1-*.bin", "no row of 4 tokens");
    corpus_add_shard(&corpus, 'a', tokens, 6, 2);
    options.vocab_size = 15;
    check_refused(&corpus, options, "1-a.bin", "15");
    options = packed_options;
    options.before = 0;
    check_refused(&corpus, options, "1-*.bin", "no separator (before 0, after -1");
    options.before = -1;
    check_refused(&corpus, options, "0-*.bin", "data.separators");
    corpus_finish(&corpus);
}

struct attempt {
    const struct corpus *corpus;
    const struct bt_rows_options *options;
};

static enum bt_err use_rows(void *context)
{
    const struct attempt *attempt = context;
    struct bt_rows_options options = *attempt->options;
    struct bt_rows *rows = NULL;
    struct bt_cursor *cursor = NULL;
    uint64_t labels, tokens;
    options.seq = 16;
    enum bt_err err = bt_rows_open(attempt->corpus->sources, attempt->corpus->count, &options, &rows, NULL);
    if (!err)
        err = bt_cursor_open(rows, 40, &cursor, NULL);
    if (!err)
        err = bt_cursor_peek(cursor, 4, &labels, &tokens, NULL);
    if (!err)
        err = bt_cursor_peek(cursor, 9, &labels, &tokens, NULL);
    bt_cursor_close(cursor);
    bt_rows_close(rows);
    return err;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    struct random_corpus corpus;
    random_corpus_init(&corpus, 8, true, false);
    random_corpus_add(&corpus, 9, true, false);
    struct attempt attempt = {&corpus.files, &packed_options};
    test_every_allocation_fails(use_rows, &attempt);
    attempt.options = &window_options;
    test_every_allocation_fails(use_rows, &attempt);
    corpus_finish(&corpus.files);
}

/* Real text: stories with a BOS in front of each. */
static void a_real_shard_is_packed_without_loss_or_leak(void **state)
{
    (void)state;
    const char *path = test_shared("data/shards/tinystories-stories260K-train.bin");
    struct corpus corpus = {.count = 1};
    struct bt_diag diag = {0};
    struct bt_shard shard;
    struct bt_batch batch;
    struct bt_rows_options options = packed_options;
    char *name = strdup(path);
    size_t labels = 0, tokens = 0, stories = 0;
    int64_t sum = 0;
    corpus.sources[0] = (struct bt_cfg_source){.path = name, .weight = 1.0};
    options.vocab_size = 512;
    TEST_OK(bt_shard_open(path, BT_SHARD_LLMC, &shard, &diag), diag);
    struct bt_rows *rows = corpus_open(&corpus, options, 256);
    test_batch_init(&batch, 1, 256);
    for (size_t r = 0; r < bt_rows_count(rows); r++) {
        bt_batch_begin(&batch);
        bt_rows_fill(rows, r, 0, &batch);
        tokens += batch.tokens;
        labels += batch.label_count;
        for (size_t i = 0; i < batch.tokens; i++) {
            sum += batch.ids[i];
            stories += batch.ids[i] == B;
            assert_true(batch.ids[i] != B || batch.position[i] == 0);
        }
    }
    for (size_t i = 0; i < shard.count; i++) {
        int32_t id;
        bt_shard_read(&shard, i, 1, &id);
        sum -= id;
        stories -= id == B;
    }
    assert_int_equal(sum, 0);
    assert_int_equal(stories, 0);
    assert_int_equal(tokens, shard.count);
    assert_int_equal(labels, shard.count - 1);
    assert_true(bt_rows_count(rows) <= shard.count / 256 * 102 / 100 + 1); /* within 2 % of full */
    test_batch_finish(&batch);
    bt_rows_close(rows);
    bt_shard_close(&shard);
    free(name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_windows_take_every_t_th_token),
        cmocka_unit_test(before_separators_by_hand),
        cmocka_unit_test(after_separators_by_hand),
        cmocka_unit_test(both_separators_by_hand),
        cmocka_unit_test(long_documents_are_cut_into_pieces),
        cmocka_unit_test(one_id_for_both_separators_begins_documents),
        cmocka_unit_test(separators_in_a_row_make_documents_of_one_token),
        cmocka_unit_test(documents_and_windows_end_with_their_shard),
        cmocka_unit_test(nanogpt_shards_are_read_and_files_counted),
        cmocka_unit_test(every_token_of_random_corpora_appears_once_and_leaks_nowhere),
        cmocka_unit_test(no_two_rows_of_a_plan_could_be_one),
        cmocka_unit_test(plan_order_goes_through_the_sources_one_after_the_other),
        cmocka_unit_test(calibration_takes_plain_windows_and_passes_over_short_sources),
        cmocka_unit_test(errors_name_the_source_and_what_is_wrong),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(a_real_shard_is_packed_without_loss_or_leak),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
