/* tests/train/corpus.h - shards made for a test, and the sources that read them. Every function fails the test on an
 * error. */
#ifndef BT_TESTS_TRAIN_CORPUS_H
#define BT_TESTS_TRAIN_CORPUS_H

#include "support.h"

#include "train/rows.h"

#define B 1 /* separators of the hand-made shards: before, */
#define A 2 /* after */

enum { MAX_SOURCES = 4 };

struct corpus {
    char *dir;
    struct bt_cfg_source sources[MAX_SOURCES];
    size_t count;
};

void corpus_init(struct corpus *corpus);
void corpus_finish(struct corpus *corpus);
/* A source of its own, whose files are "<index>-*.bin". */
void corpus_add_source(struct corpus *corpus, double weight);
/* A shard of the newest source; shards are in the order of their letters. */
void corpus_add_shard(struct corpus *corpus, char letter, const int32_t *tokens, size_t n, unsigned width);
/* A source of plain windows, whose ids say which source and which row of its plan they are from: 10000 * source + row.
 */
void corpus_add_windows(struct corpus *corpus, double weight, size_t rows, size_t seq);

/* The id of a token of a random corpus tells where it stands: document * DOC_IDS + index in the document, from FIRST_ID
 * on. Separators do not, so the text of a document never holds them. */
enum { DOC_IDS = 1024, FIRST_ID = 1024 };

struct random_corpus {
    struct corpus files;
    size_t tokens, documents, documents_before_a_separator;
};

void random_corpus_init(struct random_corpus *corpus, uint64_t seed, bool before, bool after);
/* One more source of one to three shards; each document has one to sixty tokens besides its separators. */
void random_corpus_add(struct random_corpus *corpus, uint64_t seed, bool before, bool after);

struct token_list {
    int32_t tokens[20000];
    size_t n;
};

void token_list_add(struct token_list *list, int32_t token);

/* Shuffled, of stage 2, of any id: packed by B, or plain windows. */
extern const struct bt_rows_options packed_options, window_options;

struct bt_rows *corpus_open(const struct corpus *corpus, struct bt_rows_options options, size_t seq);

void test_batch_init(struct bt_batch *batch, size_t rows, size_t seq); /* full of nonsense */
void test_batch_finish(struct bt_batch *batch);

#endif
