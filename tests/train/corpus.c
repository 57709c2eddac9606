#include "corpus.h"

#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "io/shard.h"

void corpus_init(struct corpus *corpus)
{
    *corpus = (struct corpus){.dir = test_make_dir()};
}

void corpus_finish(struct corpus *corpus)
{
    for (size_t i = 0; i < corpus->count; i++)
        free(corpus->sources[i].path);
    test_remove_dir(corpus->dir);
}

void corpus_add_source(struct corpus *corpus, double weight)
{
    corpus->sources[corpus->count] = (struct bt_cfg_source){
        .path = strdup(test_format("%s/%zu-*.bin", corpus->dir, corpus->count)), .weight = weight};
    corpus->count++;
}

void corpus_add_shard(struct corpus *corpus, char letter, const int32_t *tokens, size_t n, unsigned width)
{
    struct bt_diag diag = {0};
    const char *path = test_format("%s/%zu-%c.bin", corpus->dir, corpus->count - 1, letter);
    TEST_OK(bt_shard_write(path, tokens, n, width, &diag), diag);
}

const struct bt_rows_options packed_options = {
    .packing = true, .before = B, .after = -1, .shuffle = true, .seed = 42, .stage = "stage2", .vocab_size = 1 << 30};
const struct bt_rows_options window_options = {
    .before = -1, .after = -1, .shuffle = true, .seed = 42, .stage = "stage2", .vocab_size = 1 << 30};

struct bt_rows *corpus_open(const struct corpus *corpus, struct bt_rows_options options, size_t seq)
{
    struct bt_diag diag = {0};
    struct bt_rows *rows = NULL;
    options.seq = seq;
    TEST_OK(bt_rows_open(corpus->sources, corpus->count, &options, &rows, &diag), diag);
    return rows;
}

void test_batch_init(struct bt_batch *batch, size_t rows, size_t seq)
{
    const size_t n = rows * seq;
    int32_t *all = malloc(4 * n * sizeof *all);
    assert_non_null(all);
    memset(all, 0x55, 4 * n * sizeof *all);
    *batch = (struct bt_batch){
        .rows = rows, .seq = seq, .ids = all, .labels = all + n, .position = all + 2 * n, .first = all + 3 * n};
}

void test_batch_finish(struct bt_batch *batch)
{
    free(batch->ids);
}

void token_list_add(struct token_list *list, int32_t token)
{
    assert_true(list->n < BT_ARRAY_LEN(list->tokens));
    list->tokens[list->n++] = token;
}

void corpus_add_windows(struct corpus *corpus, double weight, size_t rows, size_t seq)
{
    static struct token_list list;
    list.n = 0;
    corpus_add_source(corpus, weight);
    for (size_t i = 0; i < rows * seq + 1; i++)
        token_list_add(&list, (int32_t)((corpus->count - 1) * 10000 + i / seq));
    corpus_add_shard(corpus, 'a', list.tokens, list.n, 4);
}

void random_corpus_add(struct random_corpus *corpus, uint64_t seed, bool before, bool after)
{
    static struct token_list list;
    corpus_add_source(&corpus->files, 1.0 + (double)(seed % 3));
    const size_t shards = 1 + bt_rng_below(seed, 0, 3);
    for (size_t s = 0; s < shards; s++) {
        const size_t documents = 1 + bt_rng_below(seed, 1 + s, 40);
        list.n = 0;
        for (size_t d = 0; d < documents; d++) {
            const size_t length = 1 + bt_rng_below(seed, 100 + 50 * s + d, d % 5 ? 12 : 60);
            if (before)
                token_list_add(&list, B);
            for (size_t i = 0; i < length; i++)
                token_list_add(&list, (int32_t)(FIRST_ID + corpus->documents * DOC_IDS + i));
            if (after)
                token_list_add(&list, A);
            corpus->documents++;
        }
        corpus->documents_before_a_separator += before ? documents - 1 : 0;
        corpus->tokens += list.n;
        corpus_add_shard(&corpus->files, (char)('a' + s), list.tokens, list.n, 4);
    }
}

void random_corpus_init(struct random_corpus *corpus, uint64_t seed, bool before, bool after)
{
    *corpus = (struct random_corpus){0};
    corpus_init(&corpus->files);
    random_corpus_add(corpus, seed, before, after);
}
