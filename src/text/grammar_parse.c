#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "text/grammar_ast.h"
#include "text/grammar_lex.h"

/* Far above any grammar a person writes; they keep the work on a hostile file small. */
#define MAX_FILE_BYTES (1u << 20)
#define MAX_RULES      1024u
#define MAX_NUMBER     30 /* characters of a weight */

struct parser {
    struct bt_lex lex;
    struct bt_ast *ast;
    struct bt_diag *diag;
};

bool bt_grammar_reserve(void *array, uint32_t *room, uint32_t count, size_t size)
{
    if (count < *room)
        return true;
    void *old;
    memcpy(&old, array, sizeof old); /* whatever it points to, a pointer is copied as bytes */
    const uint32_t wider = *room ? 2 * *room : 16;
    void *moved = bt_realloc(old, wider, size);
    if (!moved)
        return false;
    memcpy(array, &moved, sizeof moved);
    *room = wider;
    return true;
}

static enum bt_err next(struct parser *p)
{
    return bt_lex_next(&p->lex, p->diag);
}

static enum bt_err expect(struct parser *p, char sign, const char *expected)
{
    return bt_lex_is(&p->lex, sign) ? next(p) : bt_lex_fail(&p->lex, expected, p->diag);
}

/* A text, or a name that is a parameter of the rule or (where `rules` says so) the name of a rule. */
static enum bt_err parse_word(struct parser *p, const struct bt_ast_rule *rule, bool rules, struct bt_ast_part *part)
{
    *part = (struct bt_ast_part){.kind = BT_AST_TEXT, .text = p->lex.word.text, .line = p->lex.word.line};
    if (p->lex.word.kind == BT_LEX_TEXT)
        return next(p);
    if (p->lex.word.kind != BT_LEX_NAME || p->lex.word.first_column)
        return bt_lex_fail(&p->lex, rules ? "a quoted text, a parameter or a rule" : "a quoted text or a parameter",
                           p->diag);
    part->kind = BT_AST_RULE;
    for (uint32_t i = 0; i < rule->parameters; i++)
        if (rule->parameter[i].size == part->text.size &&
            !memcmp(rule->parameter[i].data, part->text.data, part->text.size)) {
            part->kind = BT_AST_PARAMETER;
            part->index = i;
        }
    if (part->kind == BT_AST_RULE && !rules)
        return bt_lex_fail(&p->lex, "a quoted text or a parameter of the rule", p->diag);
    return next(p);
}

static enum bt_err parse_arguments(struct parser *p, const struct bt_ast_rule *rule, struct bt_ast_part *part)
{
    struct bt_ast *ast = p->ast;
    enum bt_err err;
    part->first_argument = ast->argument_count;
    if (part->kind != BT_AST_RULE || !bt_lex_is(&p->lex, '('))
        return BT_OK;
    do {
        if ((err = next(p))) /* the parenthesis or comma */
            return err;
        if (part->arguments == BT_GRAMMAR_MAX_PARAMETERS)
            return bt_lex_fail(&p->lex, "at most 8 arguments", p->diag);
        if (!bt_grammar_reserve(&ast->arguments, &ast->argument_room, ast->argument_count, sizeof *ast->arguments))
            return bt_fail_nomem(p->diag);
        if ((err = parse_word(p, rule, false, &ast->arguments[ast->argument_count])))
            return err;
        ast->argument_count++;
        part->arguments++;
    } while (bt_lex_is(&p->lex, ','));
    return expect(p, ')', "\",\" or \")\" after an argument");
}

static enum bt_err parse_weight(struct parser *p, double *ret_weight)
{
    char digits[MAX_NUMBER + 1], *end = digits;
    const struct bt_grammar_text text = p->lex.word.text;
    if (text.size <= MAX_NUMBER) {
        memcpy(digits, text.data, text.size);
        digits[text.size] = '\0';
        *ret_weight = strtod(digits, &end);
    }
    if (end == digits || *end || !(*ret_weight > 0.0) || !isfinite(*ret_weight))
        return bt_lex_fail(&p->lex, "a weight: a decimal number above 0", p->diag);
    const enum bt_err err = next(p);
    return err ? err : expect(p, ':', "\":\" after a weight");
}

/* Whether the word can be a part of the alternative being read. */
static bool begins_part(const struct bt_lex *lex)
{
    return !lex->word.first_column && (lex->word.kind == BT_LEX_TEXT || lex->word.kind == BT_LEX_NAME);
}

static enum bt_err parse_choice(struct parser *p, const struct bt_ast_rule *rule)
{
    struct bt_ast *ast = p->ast;
    struct bt_ast_choice choice = {.weight = 1.0, .first_part = ast->part_count, .line = p->lex.word.line};
    enum bt_err err;
    if (p->lex.word.kind == BT_LEX_NUMBER && !p->lex.word.first_column && (err = parse_weight(p, &choice.weight)))
        return err;
    do {
        struct bt_ast_part part;
        if ((err = parse_word(p, rule, true, &part)) || (err = parse_arguments(p, rule, &part)))
            return err;
        if (!bt_grammar_reserve(&ast->parts, &ast->part_room, ast->part_count, sizeof *ast->parts))
            return bt_fail_nomem(p->diag);
        ast->parts[ast->part_count++] = part;
        choice.parts++;
    } while (begins_part(&p->lex));
    if (!bt_grammar_reserve(&ast->choices, &ast->choice_room, ast->choice_count, sizeof *ast->choices))
        return bt_fail_nomem(p->diag);
    ast->choices[ast->choice_count++] = choice;
    return BT_OK;
}

static enum bt_err parse_parameters(struct parser *p, struct bt_ast_rule *rule)
{
    enum bt_err err;
    if (!bt_lex_is(&p->lex, '('))
        return BT_OK;
    do {
        if ((err = next(p))) /* the parenthesis or comma */
            return err;
        if (p->lex.word.kind != BT_LEX_NAME || rule->parameters == BT_GRAMMAR_MAX_PARAMETERS)
            return bt_lex_fail(&p->lex, "the name of a parameter, at most 8 a rule", p->diag);
        rule->parameter[rule->parameters++] = p->lex.word.text;
        if ((err = next(p)))
            return err;
    } while (bt_lex_is(&p->lex, ','));
    return expect(p, ')', "\",\" or \")\" after a parameter");
}

static enum bt_err parse_rule(struct parser *p)
{
    struct bt_ast *ast = p->ast;
    struct bt_ast_rule rule = {.name = p->lex.word.text, .line = p->lex.word.line, .first_choice = ast->choice_count};
    enum bt_err err;
    if (p->lex.word.kind != BT_LEX_NAME || !p->lex.word.first_column)
        return bt_lex_fail(&p->lex, "a rule, whose name begins in the first column", p->diag);
    if (ast->rule_count == MAX_RULES)
        return bt_lex_fail(&p->lex, "at most 1024 rules", p->diag);
    if ((err = next(p)) || (err = parse_parameters(p, &rule)))
        return err;
    if (!bt_lex_is(&p->lex, '='))
        return bt_lex_fail(&p->lex, "\"=\" after the name of a rule", p->diag);
    do {
        if ((err = next(p)) || (err = parse_choice(p, &rule))) /* after the equals sign or bar */
            return err;
        rule.choices++;
    } while (bt_lex_is(&p->lex, '|'));
    if (!p->lex.word.first_column && p->lex.word.kind != BT_LEX_END)
        return bt_lex_fail(&p->lex, "\"|\", another part, or a rule in the first column", p->diag);
    if (!bt_grammar_reserve(&ast->rules, &ast->rule_room, ast->rule_count, sizeof *ast->rules))
        return bt_fail_nomem(p->diag);
    ast->rules[ast->rule_count++] = rule;
    return BT_OK;
}

/* The index of the first rule of that name; rule_count when there is none. */
static uint32_t find_rule(const struct bt_ast *ast, struct bt_grammar_text name)
{
    uint32_t i = 0;
    while (i < ast->rule_count &&
           (ast->rules[i].name.size != name.size || memcmp(ast->rules[i].name.data, name.data, name.size) != 0))
        i++;
    return i;
}

static enum bt_err resolve(struct bt_ast *ast, struct bt_diag *diag)
{
    for (uint32_t i = 0; i < ast->rule_count; i++) {
        const struct bt_ast_rule *rule = &ast->rules[i];
        const uint32_t first = find_rule(ast, rule->name);
        if (first != i)
            return bt_fail(diag, BT_EINPUT, "%s:%u: the rule \"%.*s\" stands already on line %u", ast->what, rule->line,
                           (int)rule->name.size, rule->name.data, ast->rules[first].line);
    }
    for (uint32_t i = 0; i < ast->part_count; i++) {
        struct bt_ast_part *part = &ast->parts[i];
        if (part->kind != BT_AST_RULE)
            continue;
        part->index = find_rule(ast, part->text);
        if (part->index == ast->rule_count)
            return bt_fail(diag, BT_EINPUT, "%s:%u: \"%.*s\" is neither a rule nor a parameter", ast->what, part->line,
                           (int)part->text.size, part->text.data);
        const struct bt_ast_rule *rule = &ast->rules[part->index];
        if (part->arguments != rule->parameters)
            return bt_fail(diag, BT_EINPUT, "%s:%u: \"%.*s\" is given %u arguments, but line %u gives it %u parameters",
                           ast->what, part->line, (int)part->text.size, part->text.data, part->arguments, rule->line,
                           rule->parameters);
    }
    return BT_OK;
}

enum bt_err bt_ast_parse(const char *text, size_t size, const char *what, struct bt_ast *ast, struct bt_diag *diag)
{
    enum bt_err err;
    *ast = (struct bt_ast){.what = what};
    if (size > MAX_FILE_BYTES)
        return bt_fail(diag, BT_EINPUT, "%s: the file has %zu bytes, a grammar has at most %u", what, size,
                       MAX_FILE_BYTES);
    if (!(ast->texts = bt_alloc(size)))
        return bt_fail_nomem(diag);
    struct parser p = {.ast = ast, .diag = diag};
    p.lex = (struct bt_lex){what, text, text + size, 1, true, ast->texts, {0}};
    err = next(&p);
    do
        err = err ? err : parse_rule(&p);
    while (!err && p.lex.word.kind != BT_LEX_END);
    if (!err)
        err = resolve(ast, diag);
    if (err)
        bt_ast_finish(ast);
    return err;
}

void bt_ast_finish(struct bt_ast *ast)
{
    bt_free(ast->texts);
    bt_free(ast->rules);
    bt_free(ast->choices);
    bt_free(ast->parts);
    bt_free(ast->arguments);
    *ast = (struct bt_ast){0};
}
