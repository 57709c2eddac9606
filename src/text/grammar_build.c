#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "text/grammar_graph.h"

/* Bounds on what a file can grow to: parameters and repetition multiply. */
#define MAX_NODES      8192u
#define MAX_PARTS      (1u << 18)
#define MAX_TEXT_BYTES (1u << 20)
#define MAX_STEPS      (1u << 20)

enum mark { UNSEEN, OPEN, DONE };

/* What a node was made from: entry i belongs to node i. Those of one rule form a list. */
struct instance {
    struct bt_grammar_text argument[BT_GRAMMAR_MAX_PARAMETERS];
    uint32_t older; /* the one before it of the same rule, plus 1; 0: none */
};

struct builder {
    const struct bt_ast *ast;
    struct bt_grammar *grammar;
    struct bt_diag *diag;
    struct instance *instances;
    uint32_t instance_room;
    uint32_t *newest; /* a rule: its last instance, plus 1 */
};

/* Visits the rules below one that is still UNSEEN. The recursion is as deep as there are rules at most. */
static enum bt_err check_rule(const struct bt_ast *ast, enum mark *marks, uint32_t index, struct bt_diag *diag)
{
    const struct bt_ast_rule *rule = &ast->rules[index];
    const struct bt_ast_choice *first = &ast->choices[rule->first_choice], *last = first + rule->choices - 1;
    marks[index] = OPEN;
    for (uint32_t i = first->first_part; i < last->first_part + last->parts; i++) {
        const struct bt_ast_part *part = &ast->parts[i];
        if (part->kind != BT_AST_RULE || marks[part->index] == DONE)
            continue;
        if (marks[part->index] == OPEN)
            return bt_fail(diag, BT_EINPUT, "%s:%u: the rule \"%.*s\" contains itself, but a grammar must be finite",
                           ast->what, part->line, (int)part->text.size, part->text.data);
        const enum bt_err err = check_rule(ast, marks, part->index, diag);
        if (err)
            return err;
    }
    marks[index] = DONE;
    return BT_OK;
}

static enum bt_err check_rules(const struct bt_ast *ast, struct bt_diag *diag)
{
    enum mark *marks = bt_zalloc(ast->rule_count, sizeof *marks);
    if (!marks)
        return bt_fail_nomem(diag);
    enum bt_err err = check_rule(ast, marks, 0, diag);
    for (uint32_t i = 0; !err && i < ast->rule_count; i++)
        if (marks[i] == UNSEEN)
            err = bt_fail(diag, BT_EINPUT, "%s:%u: the rule \"%.*s\" is never used from \"%.*s\", the first one",
                          ast->what, ast->rules[i].line, (int)ast->rules[i].name.size, ast->rules[i].name.data,
                          (int)ast->rules[0].name.size, ast->rules[0].name.data);
    bt_free(marks);
    return err;
}

static bool same_text(struct bt_grammar_text a, struct bt_grammar_text b)
{
    return a.size == b.size && !memcmp(a.data, b.data, a.size);
}

/* The node of that rule with these arguments, plus 1; 0 when there is none yet. */
static uint32_t find_node(const struct builder *b, uint32_t rule, const struct bt_grammar_text *arguments)
{
    uint32_t found = b->newest[rule];
    for (; found; found = b->instances[found - 1].older) {
        uint32_t same = 0;
        while (same < b->ast->rules[rule].parameters &&
               same_text(b->instances[found - 1].argument[same], arguments[same]))
            same++;
        if (same == b->ast->rules[rule].parameters)
            break;
    }
    return found;
}

/* The arguments of a part, with the parameters of the rule around it filled in. */
static void fill_arguments(const struct bt_ast *ast, const struct bt_ast_part *part,
                           const struct bt_grammar_text *outer, struct bt_grammar_text *inner)
{
    for (uint32_t i = 0; i < part->arguments; i++) {
        const struct bt_ast_part *argument = &ast->arguments[part->first_argument + i];
        inner[i] = argument->kind == BT_AST_TEXT ? argument->text : outer[argument->index];
    }
}

static enum bt_err too_large(const struct builder *b, const char *what, unsigned most)
{
    return bt_fail(b->diag, BT_EINPUT, "%s: with its parameters filled in, the grammar has more than %u %s",
                   b->ast->what, most, what);
}

/* Adds a choice whose nodes all exist. */
static enum bt_err add_choice(struct builder *b, const struct bt_ast_choice *choice, double total,
                              const struct bt_grammar_text *arguments)
{
    struct bt_grammar *g = b->grammar;
    if (g->part_count > MAX_PARTS - choice->parts)
        return too_large(b, "parts", MAX_PARTS);
    if (!bt_grammar_reserve(&g->choices, &g->choice_room, g->choice_count, sizeof *g->choices))
        return bt_fail_nomem(b->diag);
    const double probability = choice->weight / total;
    g->choices[g->choice_count++] =
        (struct bt_grammar_choice){probability, log(probability), g->part_count, choice->parts, choice->line};
    for (uint32_t i = 0; i < choice->parts; i++) {
        const struct bt_ast_part *part = &b->ast->parts[choice->first_part + i];
        struct bt_grammar_text inner[BT_GRAMMAR_MAX_PARAMETERS];
        struct bt_grammar_part filled = {.is_node = part->kind == BT_AST_RULE, .text = part->text};
        fill_arguments(b->ast, part, arguments, inner);
        if (filled.is_node)
            filled.node = find_node(b, part->index, inner) - 1;
        else if (part->kind == BT_AST_PARAMETER)
            filled.text = arguments[part->index];
        if (!bt_grammar_reserve(&g->parts, &g->part_room, g->part_count, sizeof *g->parts))
            return bt_fail_nomem(b->diag);
        g->parts[g->part_count++] = filled;
    }
    return BT_OK;
}

static enum bt_err add_node(struct builder *b, uint32_t index, const struct bt_grammar_text *arguments)
{
    struct bt_grammar *g = b->grammar;
    const struct bt_ast_rule *rule = &b->ast->rules[index];
    const struct bt_ast_choice *choices = &b->ast->choices[rule->first_choice];
    double total = 0.0;
    if (g->node_count == MAX_NODES)
        return too_large(b, "rules", MAX_NODES);
    if (!bt_grammar_reserve(&g->nodes, &g->node_room, g->node_count, sizeof *g->nodes) ||
        !bt_grammar_reserve(&b->instances, &b->instance_room, g->node_count, sizeof *b->instances))
        return bt_fail_nomem(b->diag);
    struct instance *instance = &b->instances[g->node_count];
    memcpy(instance->argument, arguments, rule->parameters * sizeof *arguments);
    instance->older = b->newest[index];
    b->newest[index] = g->node_count + 1;
    g->nodes[g->node_count++] = (struct bt_grammar_node){.first_choice = g->choice_count, .choices = rule->choices};
    for (uint32_t i = 0; i < rule->choices; i++)
        total += choices[i].weight;
    for (uint32_t i = 0; i < rule->choices; i++) {
        const enum bt_err err = add_choice(b, &choices[i], total, arguments);
        if (err)
            return err;
    }
    return BT_OK;
}

/* The nodes inside first, so that they have lower indices. Recursion: no deeper than there are rules. */
static enum bt_err instantiate(struct builder *b, uint32_t index, const struct bt_grammar_text *arguments)
{
    const struct bt_ast_rule *rule = &b->ast->rules[index];
    const struct bt_ast_choice *first = &b->ast->choices[rule->first_choice], *last = first + rule->choices - 1;
    for (uint32_t i = first->first_part; i < last->first_part + last->parts; i++) {
        const struct bt_ast_part *part = &b->ast->parts[i];
        struct bt_grammar_text inner[BT_GRAMMAR_MAX_PARAMETERS];
        if (part->kind != BT_AST_RULE)
            continue;
        fill_arguments(b->ast, part, arguments, inner);
        const enum bt_err err = find_node(b, part->index, inner) ? BT_OK : instantiate(b, part->index, inner);
        if (err)
            return err;
    }
    return add_node(b, index, arguments);
}

/* Sums over a choice's parts; false when one of the lengths leaves its bound. */
static bool measure_choice(const struct bt_grammar *g, const struct bt_grammar_choice *choice,
                           struct bt_grammar_node *sum)
{
    *sum = (struct bt_grammar_node){0};
    for (uint32_t i = choice->first_part; i < choice->first_part + choice->parts; i++) {
        const struct bt_grammar_part *part = &g->parts[i];
        const struct bt_grammar_node text = {.shortest = (uint32_t)part->text.size,
                                             .longest = (uint32_t)part->text.size,
                                             .mean_length = (double)part->text.size};
        const struct bt_grammar_node *child = part->is_node ? &g->nodes[part->node] : &text;
        sum->shortest += child->shortest;
        sum->longest += child->longest;
        sum->most_steps += child->most_steps;
        sum->mean_length += child->mean_length;
        sum->entropy += child->entropy;
        if (sum->longest > MAX_TEXT_BYTES || sum->most_steps >= MAX_STEPS)
            return false;
    }
    return true;
}

/* H(node) = sum over its choices of p (-log p + the entropies inside): exact when no text has two derivations. */
static bool measure_node(const struct bt_grammar *g, struct bt_grammar_node *node)
{
    node->shortest = UINT32_MAX;
    for (uint32_t i = node->first_choice; i < node->first_choice + node->choices; i++) {
        const struct bt_grammar_choice *choice = &g->choices[i];
        struct bt_grammar_node sum;
        if (!measure_choice(g, choice, &sum))
            return false;
        node->shortest = sum.shortest < node->shortest ? sum.shortest : node->shortest;
        node->longest = sum.longest > node->longest ? sum.longest : node->longest;
        node->most_steps = sum.most_steps + 1 > node->most_steps ? sum.most_steps + 1 : node->most_steps;
        node->mean_length += choice->probability * sum.mean_length;
        node->entropy += choice->probability * (sum.entropy - choice->log_probability);
    }
    return true;
}

enum bt_err bt_grammar_build(struct bt_ast *ast, struct bt_grammar *grammar, struct bt_diag *diag)
{
    struct builder b = {.ast = ast, .grammar = grammar, .diag = diag};
    enum bt_err err;
    grammar->texts = ast->texts;
    ast->texts = NULL;
    if ((err = check_rules(ast, diag)))
        return err;
    if (ast->rules[0].parameters)
        return bt_fail(diag, BT_EINPUT, "%s:%u: the first rule is the source of all texts and takes no parameters",
                       ast->what, ast->rules[0].line);
    b.newest = bt_zalloc(ast->rule_count, sizeof *b.newest);
    err = b.newest ? instantiate(&b, 0, (const struct bt_grammar_text[BT_GRAMMAR_MAX_PARAMETERS]){{NULL, 0}})
                   : bt_fail_nomem(diag);
    bt_free(b.newest);
    bt_free(b.instances);
    for (uint32_t i = 0; !err && i < grammar->node_count; i++)
        if (!measure_node(grammar, &grammar->nodes[i]))
            err = bt_fail(diag, BT_EINPUT, "%s: a text can be longer than %u bytes or take more than %u steps to make",
                          ast->what, MAX_TEXT_BYTES, MAX_STEPS);
    return err;
}
