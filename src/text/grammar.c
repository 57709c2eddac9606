#include "text/grammar.h"

#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "io/file.h"
#include "text/grammar_graph.h"

enum bt_err bt_grammar_parse(const char *text, size_t size, const char *what, struct bt_grammar **ret_grammar,
                             struct bt_diag *diag)
{
    struct bt_ast ast;
    enum bt_err err = bt_ast_parse(text, size, what, &ast, diag);
    if (err)
        return err;
    struct bt_grammar *grammar = bt_zalloc(1, sizeof *grammar);
    err = grammar ? bt_grammar_build(&ast, grammar, diag) : bt_fail_nomem(diag);
    bt_ast_finish(&ast);
    if (!err)
        err = bt_grammar_check_prefixes(grammar, what, diag);
    if (err)
        bt_grammar_destroy(grammar);
    else
        *ret_grammar = grammar;
    return err;
}

enum bt_err bt_grammar_read(const char *path, struct bt_grammar **ret_grammar, struct bt_diag *diag)
{
    struct bt_map map;
    enum bt_err err = bt_map_open(path, &map, diag);
    if (err)
        return err;
    err = bt_grammar_parse((const char *)map.data, map.size, path, ret_grammar, diag);
    bt_map_close(&map);
    return err;
}

void bt_grammar_destroy(struct bt_grammar *grammar)
{
    if (!grammar)
        return;
    bt_free(grammar->texts);
    bt_free(grammar->nodes);
    bt_free(grammar->choices);
    bt_free(grammar->parts);
    bt_free(grammar);
}

static const struct bt_grammar_node *source(const struct bt_grammar *grammar)
{
    return &grammar->nodes[grammar->node_count - 1];
}

double bt_grammar_entropy(const struct bt_grammar *grammar)
{
    return source(grammar)->entropy;
}

double bt_grammar_mean_length(const struct bt_grammar *grammar)
{
    return source(grammar)->mean_length;
}

size_t bt_grammar_shortest(const struct bt_grammar *grammar)
{
    return source(grammar)->shortest;
}

size_t bt_grammar_longest(const struct bt_grammar *grammar)
{
    return source(grammar)->longest;
}

struct writer {
    const struct bt_grammar *g;
    uint64_t key;   /* of the document */
    uint64_t draws; /* choices made so far */
    char *text;     /* room for the longest text */
    size_t size;
    double log_probability;
};

static const struct bt_grammar_choice *draw(struct writer *w, const struct bt_grammar_node *node)
{
    const struct bt_grammar_choice *choice = &w->g->choices[node->first_choice], *last = choice + node->choices - 1;
    if (choice == last)
        return choice;
    double left = bt_rng_uniform(w->key, w->draws++);
    while (choice < last && left >= choice->probability)
        left -= choice++->probability;
    return choice;
}

static void write_node(struct writer *w, const struct bt_grammar_node *node)
{
    const struct bt_grammar_choice *choice = draw(w, node);
    w->log_probability += choice->log_probability;
    for (uint32_t i = choice->first_part; i < choice->first_part + choice->parts; i++) {
        const struct bt_grammar_part *part = &w->g->parts[i];
        if (part->is_node) {
            write_node(w, &w->g->nodes[part->node]);
        } else {
            memcpy(w->text + w->size, part->text.data, part->text.size);
            w->size += part->text.size;
        }
    }
}

enum bt_err bt_grammar_derive(const struct bt_grammar *grammar, uint64_t seed, uint64_t index, char **ret_text,
                              size_t *ret_size, double *ret_log_probability, struct bt_diag *diag)
{
    struct writer w = {.g = grammar, .key = bt_rng_u64(bt_rng_key(seed, "grammar/document"), index)};
    if (!(w.text = bt_alloc(source(grammar)->longest + 1)))
        return bt_fail_nomem(diag);
    write_node(&w, source(grammar));
    w.text[w.size] = '\0';
    *ret_text = w.text;
    *ret_size = w.size;
    *ret_log_probability = w.log_probability;
    return BT_OK;
}

enum bt_err bt_grammar_generate(const struct bt_grammar *grammar, uint64_t seed, uint64_t index, char **ret_text,
                                size_t *ret_size, struct bt_diag *diag)
{
    double log_probability;
    return bt_grammar_derive(grammar, seed, index, ret_text, ret_size, &log_probability, diag);
}
