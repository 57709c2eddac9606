/* text/grammar_graph.h - a grammar with its parameters filled in. Used by grammar*.c and their tests.
 *
 * A node is a rule together with its arguments; a choice is a sequence of parts; a part is a text or another node.
 * Parts point only to nodes of lower index, so a loop over the nodes in order meets children before parents. The last
 * node is the source. Nodes are nested no deeper than the file has rules, which bounds the recursion of every walk. */
#ifndef BT_TEXT_GRAMMAR_GRAPH_H
#define BT_TEXT_GRAMMAR_GRAPH_H

#include <stdbool.h>

#include "text/grammar.h"
#include "text/grammar_ast.h"

struct bt_grammar_part {
    bool is_node;
    uint32_t node;
    struct bt_grammar_text text; /* borrowed from the grammar's texts */
};

struct bt_grammar_choice {
    double probability, log_probability;
    uint32_t first_part, parts;
    unsigned line;
};

struct bt_grammar_node {
    uint32_t first_choice, choices;
    uint32_t shortest, longest; /* bytes */
    uint32_t most_steps;        /* nodes entered while making one text, itself included */
    double entropy, mean_length;
};

struct bt_grammar {
    char *texts;
    struct bt_grammar_node *nodes;
    struct bt_grammar_choice *choices;
    struct bt_grammar_part *parts;
    uint32_t node_count, choice_count, part_count;
    uint32_t node_room, choice_room, part_room;
};

/* Fills in the parameters. Takes the texts over from ast, also on failure. Refuses recursion, rules that are never
 * used, and what grows out of bounds. On failure grammar is to be finished by the caller. */
enum bt_err bt_grammar_build(struct bt_ast *ast, struct bt_grammar *grammar, struct bt_diag *diag);

/* BT_EINPUT when a text of one alternative is the beginning of, or equal to, a text of another alternative of the same
 * rule. Where that never happens, reading from the left leaves one alternative at every choice: at most one derivation
 * of a node makes a beginning of a given text. So no text has two derivations, and none is the beginning of another. */
enum bt_err bt_grammar_check_prefixes(const struct bt_grammar *grammar, const char *what, struct bt_diag *diag);

/* bt_grammar_generate, and the log probability of the choices it made. */
enum bt_err bt_grammar_derive(const struct bt_grammar *grammar, uint64_t seed, uint64_t index, char **ret_text,
                              size_t *ret_size, double *ret_log_probability, struct bt_diag *diag);

#endif
