/* train/rows with label masks: what is left out is no label, documents are where the mask says so, and the counts that
 * an update is divided by are those of what is left. */
#include "corpus.h"

#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "io/mask.h"
#include "kernels/kernels.h"

#define NO BT_IGNORE_LABEL

/* The one source of the corpus, its shard 'a', and a mask for it: '#' a label, '.' none, a capital for each where a
 * document begins ('X' and 'O'). */
static void add_masked(struct corpus *corpus, char letter, const int32_t *tokens, const char *mask)
{
    const size_t n = strlen(mask);
    struct bt_mask_out out = {0};
    struct bt_diag diag = {""};
    uint64_t hash, size;
    corpus_add_shard(corpus, letter, tokens, n, 2);
    for (size_t i = 0; i < n; i++) {
        const unsigned char label = mask[i] == '#' || mask[i] == 'X';
        assert_true(bt_mask_out_append(&out, &label, 1, mask[i] == 'X' || mask[i] == 'O'));
    }
    char *shard = strdup(test_format("%s/%zu-%c.bin", corpus->dir, corpus->count - 1, letter));
    char *path = bt_mask_path(shard);
    TEST_OK(bt_file_hash(shard, &hash, &size, &diag), diag);
    TEST_OK(bt_mask_out_write(&out, path, hash, &hash, &diag), diag);
    bt_mask_out_finish(&out);
    bt_free(path);
    free(shard);
}

static void open_one(struct corpus *corpus, const int32_t *tokens, const char *mask)
{
    corpus_init(corpus);
    corpus_add_source(corpus, 1.0);
    add_masked(corpus, 'a', tokens, mask);
}

/* Both separators occur inside of documents here, as they do in chat formats. */
static const int32_t tokens[] = {B, 10, 11, A, B, 12, A, B, 20, A, 21, A};
static const char mask[] = "O..#.##O..##";

static void packed_documents_by_hand(void **state)
{
    static const int32_t ids[] = {B, 10, 11, A, B, 12, A, 0, B, 20, A, 21, A, 0, 0, 0};
    static const int32_t labels[] = {NO, NO, A, NO, 12, A, NO, NO, NO, NO, 21, A, NO, NO, NO, NO};
    static const int32_t first[] = {0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 5, 6, 7};
    struct corpus corpus;
    struct bt_batch batch;
    (void)state;
    open_one(&corpus, tokens, mask);
    struct bt_rows *rows = corpus_open(&corpus, packed_options, 8);
    assert_int_equal(bt_rows_count(rows), 2);
    test_batch_init(&batch, 2, 8);
    for (size_t r = 0; r < 2; r++)
        bt_rows_fill(rows, r, r, &batch);
    assert_memory_equal(batch.ids, ids, sizeof ids);
    assert_memory_equal(batch.labels, labels, sizeof labels);
    assert_memory_equal(batch.first, first, sizeof first);
    assert_int_equal(batch.tokens, 12);
    assert_int_equal(batch.label_count, 5);
    test_batch_finish(&batch);
    bt_rows_close(rows);
    corpus_finish(&corpus);
}

/* The pieces of a document that was cut in two: the label of the first one's last token is in the second. */
static void a_document_longer_than_a_row(void **state)
{
    static const int32_t labels[] = {NO, NO, A, NO, 12, A, NO, NO};
    struct corpus corpus;
    struct bt_batch batch;
    (void)state;
    open_one(&corpus, tokens, "O..#.##");
    struct bt_rows *rows = corpus_open(&corpus, packed_options, 4);
    test_batch_init(&batch, 2, 4);
    for (size_t r = 0; r < 2; r++)
        bt_rows_fill(rows, r, r, &batch);
    assert_memory_equal(batch.labels, labels, sizeof labels);
    assert_int_equal(batch.label_count, 3);
    test_batch_finish(&batch);
    bt_rows_close(rows);
    corpus_finish(&corpus);
}

static void windows_by_hand(void **state)
{
    static const int32_t labels[] = {NO, NO, A, NO, 12, A, NO, NO, NO, 21};
    struct corpus corpus;
    struct bt_batch batch;
    struct bt_diag diag = {""};
    struct bt_rows *rows;
    (void)state;
    open_one(&corpus, tokens, mask);
    rows = corpus_open(&corpus, window_options, 5);
    test_batch_init(&batch, 2, 5);
    for (size_t r = 0; r < 2; r++)
        bt_rows_fill(rows, r, r, &batch);
    assert_memory_equal(batch.labels, labels, sizeof labels);
    assert_int_equal(batch.label_count, 4);
    bt_rows_close(rows);
    struct bt_rows_options options = window_options;
    options.seq = 5;
    TEST_OK(bt_rows_open_calibration(corpus.sources, 1, &options, &rows, &diag), diag); /* takes everything */
    bt_batch_begin(&batch);
    for (size_t r = 0; r < 2; r++)
        bt_rows_fill(rows, r, r, &batch);
    assert_memory_equal(batch.labels, tokens + 1, 10 * sizeof *tokens);
    assert_int_equal(batch.label_count, 10);
    assert_int_equal(bt_rows_files(rows), 1);
    bt_rows_close(rows);
    test_batch_finish(&batch);
    corpus_finish(&corpus);
}

/* A cursor's counts are known before its rows are filled, and are the same. */
static void counts_are_known_in_advance(void **state)
{
    static const int32_t all[] = {B, 10, 11, 12, 13, 14, 15, B, 20, 21, B, 30, 31, 32};
    struct corpus corpus;
    struct bt_batch batch;
    struct bt_cursor *cursor;
    struct bt_diag diag = {""};
    uint64_t labels, token_count;
    (void)state;
    open_one(&corpus, all, "O#.#..#X##O...");
    add_masked(&corpus, 'b', all, "X..#..#O.#X#.#");
    corpus_add_shard(&corpus, 'c', all, BT_ARRAY_LEN(all), 2); /* one without a mask among them */
    struct bt_rows *rows = corpus_open(&corpus, packed_options, 7);
    TEST_OK(bt_cursor_open(rows, 0, &cursor, &diag), diag);
    test_batch_init(&batch, 1, 7);
    for (int i = 0; i < 40; i++) {
        size_t counted = 0;
        TEST_OK(bt_cursor_peek(cursor, 1, &labels, &token_count, &diag), diag);
        TEST_OK(bt_cursor_fill(cursor, &batch, &diag), diag);
        for (size_t t = 0; t < 7; t++)
            counted += batch.labels[t] != NO;
        assert_int_equal(labels, counted);
        assert_int_equal(batch.label_count, counted);
        assert_int_equal(token_count, batch.tokens);
    }
    bt_cursor_close(cursor);
    test_batch_finish(&batch);
    bt_rows_close(rows);
    corpus_finish(&corpus);
}

/* What was trained on is shard and mask. */
static void masks_are_data_files(void **state)
{
    struct corpus corpus;
    struct bt_diag diag = {""};
    uint64_t size, hash, file_hash, file_size;
    (void)state;
    open_one(&corpus, tokens, mask);
    corpus_add_shard(&corpus, 'b', tokens, BT_ARRAY_LEN(tokens), 2);
    struct bt_rows *rows = corpus_open(&corpus, packed_options, 8);
    static const char *const names[] = {"0-a.bin", "0-a.mask", "0-b.bin"};
    assert_int_equal(bt_rows_files(rows), 3);
    for (size_t i = 0; i < 3; i++) {
        assert_non_null(strstr(bt_rows_file(rows, i), names[i]));
        TEST_OK(bt_rows_file_hash(rows, i, &size, &hash, &diag), diag);
        TEST_OK(bt_file_hash(bt_rows_file(rows, i), &file_hash, &file_size, &diag), diag);
        assert_true(hash == file_hash && size == file_size);
    }
    bt_rows_close(rows);
    corpus_finish(&corpus);
}

static void refuse(const struct corpus *corpus, size_t seq, int64_t before, const char *part)
{
    struct bt_rows_options options = packed_options;
    struct bt_rows *rows;
    struct bt_diag diag = {""};
    options.seq = seq;
    options.before = before;
    assert_int_equal(bt_rows_open(corpus->sources, corpus->count, &options, &rows, &diag), BT_EINPUT);
    if (!strstr(diag.text, part))
        fail_msg("expected '%s' in: %s", part, diag.text);
}

static void what_does_not_fit_is_refused(void **state)
{
    struct corpus corpus;
    (void)state;
    open_one(&corpus, tokens, mask);
    char *path = strdup(test_format("%s/0-a.mask", corpus.dir));
    corpus_add_shard(&corpus, 'a', tokens, 5, 2); /* another shard in its place */
    refuse(&corpus, 8, B, "0-a.mask: byte 16: a mask of 12 tokens, but ");
    test_write_file(path, "", 0);
    refuse(&corpus, 8, B, "0-a.mask: the file has 0 bytes");
    free(path);
    corpus_finish(&corpus);

    open_one(&corpus, tokens, "O.....O....."); /* nothing to learn */
    refuse(&corpus, 8, B, "leave no label in rows of 8 tokens");
    corpus_finish(&corpus);

    open_one(&corpus, tokens, "#...........");
    refuse(&corpus, 8, B, "no separator"); /* no document begins */
    corpus_finish(&corpus);

    open_one(&corpus, tokens, mask); /* the mask knows; a shard without one has to be told */
    struct bt_rows_options options = packed_options;
    options.before = -1;
    bt_rows_close(corpus_open(&corpus, options, 8));
    corpus_add_shard(&corpus, 'b', tokens, BT_ARRAY_LEN(tokens), 2);
    refuse(&corpus, 8, -1, "data.separators is not set");
    corpus_finish(&corpus);
}

static struct corpus memory_corpus;

static enum bt_err open_and_close(void *context)
{
    struct bt_rows_options options = packed_options;
    struct bt_rows *rows;
    struct bt_diag diag = {""};
    (void)context;
    options.seq = 8;
    const enum bt_err err = bt_rows_open(memory_corpus.sources, 1, &options, &rows, &diag);
    if (!err)
        bt_rows_close(rows);
    return err;
}

static void memory_runs_out(void **state)
{
    (void)state;
    open_one(&memory_corpus, tokens, mask);
    test_every_allocation_fails(open_and_close, NULL);
    corpus_finish(&memory_corpus);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packed_documents_by_hand),
        cmocka_unit_test(a_document_longer_than_a_row),
        cmocka_unit_test(windows_by_hand),
        cmocka_unit_test(counts_are_known_in_advance),
        cmocka_unit_test(masks_are_data_files),
        cmocka_unit_test(memory_runs_out),
        cmocka_unit_test(what_does_not_fit_is_refused),
    };
    return cmocka_run_group_tests_name("train/rows_masks", tests, NULL, NULL);
}
