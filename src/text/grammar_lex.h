/* text/grammar_lex.h - the words of a grammar file. Used by grammar_parse.c alone. */
#ifndef BT_TEXT_GRAMMAR_LEX_H
#define BT_TEXT_GRAMMAR_LEX_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "text/grammar_ast.h"

enum bt_lex_kind { BT_LEX_END, BT_LEX_NAME, BT_LEX_NUMBER, BT_LEX_TEXT, BT_LEX_SIGN };

struct bt_lex {
    const char *what; /* names the file in errors */
    const char *next, *end;
    unsigned line;     /* of `next` */
    bool first_column; /* `next` stands there */
    char *texts;       /* where the next quoted text goes; room for as many bytes as the file has */

    struct { /* the word read last */
        enum bt_lex_kind kind;
        struct bt_grammar_text text; /* as written; of a quoted text, what it means */
        unsigned line;
        bool first_column;
    } word;
};

/* Reads the next word into lex->word. BT_EINPUT: a byte that begins no word, or a quoted text that is not closed. */
enum bt_err bt_lex_next(struct bt_lex *lex, struct bt_diag *diag);
/* Whether the word is this punctuation mark. */
bool bt_lex_is(const struct bt_lex *lex, char sign);
/* BT_EINPUT: "<file>:<line>: found <the word>, expected <expected>". */
enum bt_err bt_lex_fail(const struct bt_lex *lex, const char *expected, struct bt_diag *diag);

#endif
