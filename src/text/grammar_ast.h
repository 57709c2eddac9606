/* text/grammar_ast.h - a grammar file as it is written, before parameters are filled in. Used by grammar_*.c alone.
 *
 *     story = tale("Tom", "He") | tale("Ann", "She")
 *     tale(name, he) =
 *         name " ran. " he " was " feeling "."
 *     feeling = 3: "glad" | "sad"                     # a comment reaches to the end of its line
 *
 * A rule begins in the first column; the lines that go on with it are indented. The first rule is the source. An
 * alternative may have a weight (1 where none is written) and is a sequence of parts: a quoted text, a parameter, or a
 * rule with its arguments, each a quoted text or a parameter. In texts \" \\ \n \t are escapes. */
#ifndef BT_TEXT_GRAMMAR_AST_H
#define BT_TEXT_GRAMMAR_AST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define BT_GRAMMAR_MAX_PARAMETERS 8

struct bt_grammar_text { /* borrowed bytes, not terminated */
    const char *data;
    size_t size;
};

enum bt_ast_kind { BT_AST_TEXT, BT_AST_PARAMETER, BT_AST_RULE };

struct bt_ast_part {
    enum bt_ast_kind kind;
    struct bt_grammar_text text; /* the text, or the name as written */
    uint32_t index;              /* of the parameter or of the rule */
    uint32_t first_argument, arguments;
    unsigned line;
};

struct bt_ast_choice {
    double weight;
    uint32_t first_part, parts;
    unsigned line;
};

struct bt_ast_rule {
    struct bt_grammar_text name;
    struct bt_grammar_text parameter[BT_GRAMMAR_MAX_PARAMETERS];
    uint32_t parameters;
    uint32_t first_choice, choices;
    unsigned line;
};

struct bt_ast {
    const char *what; /* names the file in errors; borrowed */
    char *texts;      /* the quoted texts without their escapes: at most as many bytes as the file */
    struct bt_ast_rule *rules;
    struct bt_ast_choice *choices;
    struct bt_ast_part *parts;
    struct bt_ast_part *arguments; /* texts and parameters */
    uint32_t rule_count, choice_count, part_count, argument_count;
    uint32_t rule_room, choice_room, part_room, argument_room;
};

/* Names are resolved when it returns: every part has its index, and as many arguments as the rule has parameters. The
 * names borrow from `text`. On failure ast is finished. */
enum bt_err bt_ast_parse(const char *text, size_t size, const char *what, struct bt_ast *ast, struct bt_diag *diag);
void bt_ast_finish(struct bt_ast *ast); /* takes a zeroed one */

/* Makes room for one more entry of `size` bytes in a growing array; false when memory is out. */
bool bt_grammar_reserve(void *array, uint32_t *room, uint32_t count, size_t size);

#endif
