/* text/grammar.h - the embedded default: a small probabilistic grammar of simple stories.
 *
 * The grammar is finite (no recursion) and unambiguous, so the entropy of the source and the probability of any text
 * are exact: sums over the one derivation, computed in double. Unambiguous by a check of every rule when it is read: no
 * text of one alternative begins with a text of another. It follows that no text of the source is the beginning of
 * another, so where a document ends is certain too. What a grammar file looks like: text/grammar_ast.h,
 * data/stories.grammar. */
#ifndef BT_TEXT_GRAMMAR_H
#define BT_TEXT_GRAMMAR_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct bt_grammar;
/* Parses a grammar text; `what` names it in errors (file, line). Recursion, an undefined or unused rule, weights that
 * are not positive, alternatives that cannot be told apart from the left: BT_EINPUT. */
enum bt_err bt_grammar_parse(const char *text, size_t size, const char *what, struct bt_grammar **ret_grammar,
                             struct bt_diag *diag);
enum bt_err bt_grammar_read(const char *path, struct bt_grammar **ret_grammar, struct bt_diag *diag);
void bt_grammar_destroy(struct bt_grammar *grammar); /* takes NULL */

/* Document `index` of the source under `seed`; a pure function of both. Free with bt_free. */
enum bt_err bt_grammar_generate(const struct bt_grammar *grammar, uint64_t seed, uint64_t index, char **ret_text,
                                size_t *ret_size, struct bt_diag *diag);
double bt_grammar_entropy(const struct bt_grammar *grammar);     /* nats a document, exact */
double bt_grammar_mean_length(const struct bt_grammar *grammar); /* bytes a document, exact */
size_t bt_grammar_shortest(const struct bt_grammar *grammar);    /* bytes of the shortest and the longest document */
size_t bt_grammar_longest(const struct bt_grammar *grammar);
/* log P(text) in nats, -INFINITY when the grammar does not make it. */
enum bt_err bt_grammar_log_probability(const struct bt_grammar *grammar, const char *text, size_t size,
                                       double *ret_log_probability, struct bt_diag *diag);

#endif
