/* text/corpus.h - documents drawn from a grammar: as texts, as a token stream, and what is to be known about them. */
#ifndef BT_TEXT_CORPUS_H
#define BT_TEXT_CORPUS_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "text/grammar.h"

struct bt_corpus {
    char *text;   /* the documents without anything between them */
    size_t *ends; /* document i is text[ends[i]] .. text[ends[i + 1] - 1]; documents + 1 entries, the first one 0 */
    size_t documents;
};

/* Documents first .. first + documents - 1 of the source under seed. */
enum bt_err bt_corpus_generate(const struct bt_grammar *grammar, uint64_t seed, uint64_t first, size_t documents,
                               struct bt_corpus *corpus, struct bt_diag *diag);
/* Cuts a text where a line says "<|eos|>", the form in which bt_corpus_readable writes documents. */
enum bt_err bt_corpus_split(const char *text, size_t size, struct bt_corpus *corpus, struct bt_diag *diag);
void bt_corpus_finish(struct bt_corpus *corpus); /* takes a zeroed one */

size_t bt_corpus_bytes(const struct bt_corpus *corpus);
const char *bt_corpus_document(const struct bt_corpus *corpus, size_t i, size_t *ret_size);

/* BOS, bytes, EOS of one document after the other: bytes + 2 * documents ids. Free with bt_free. */
enum bt_err bt_corpus_tokens(const struct bt_corpus *corpus, int32_t **ret_tokens, size_t *ret_count,
                             struct bt_diag *diag);
/* Each document and a newline, with a line "<|eos|>" after it. Free with bt_free. */
enum bt_err bt_corpus_readable(const struct bt_corpus *corpus, char **ret_text, size_t *ret_size, struct bt_diag *diag);
/* Sum of log P over the documents; -INFINITY when the grammar does not make one of them. */
enum bt_err bt_corpus_log_probability(const struct bt_corpus *corpus, const struct bt_grammar *grammar,
                                      double *ret_log_probability, struct bt_diag *diag);
/* How many documents of `corpus` stand in `other` too, byte for byte. */
enum bt_err bt_corpus_repeated(const struct bt_corpus *corpus, const struct bt_corpus *other, size_t *ret_count,
                               struct bt_diag *diag);

#endif
