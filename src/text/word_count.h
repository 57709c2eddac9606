/* text/word_count.h - how often each word occurs in text files, on all processors. Memory grows with the number of
 * different words, not with the files, but for the size of a single document. */
#ifndef BT_TEXT_WORD_COUNT_H
#define BT_TEXT_WORD_COUNT_H

#include "text/documents.h"
#include "text/pre_tokenizer.h"
#include "text/word_table.h"

struct bt_word_count_progress {
    uint64_t position, size; /* bytes of the input files, compressed: read, and of all */
    uint64_t documents, bytes, words;
};

struct bt_word_count_options { /* all borrowed */
    const char *const *inputs;
    size_t input_count;
    const char *key, *separator;        /* text/documents.h */
    const struct bt_pre_tokenizer *pre; /* what a word is */
    size_t longest;                     /* a longer word counts as several, cut between characters; at least 4 */
    bool skip;                          /* leave out what cannot be read, and count it, in place of stopping */
    int threads;
    void (*progress)(void *context, const struct bt_word_count_progress *progress); /* after each batch; may be NULL */
    void *context;
};

struct bt_word_count_report {
    struct bt_word_count_progress done;
    uint64_t skipped;
    char first_skipped[512]; /* why the first of them could not be read, cut */
};

/* Counts into an empty table. The counts do not depend on the number of threads, the numbers of the words do. */
enum bt_err bt_word_count(const struct bt_word_count_options *options, struct bt_word_table *words,
                          struct bt_word_count_report *ret_report, struct bt_diag *diag);

#endif
