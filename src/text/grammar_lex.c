#include "text/grammar_lex.h"

#include <string.h>

#define SHOWN 40 /* bytes of a word that an error repeats */

static void skip_one(struct bt_lex *lex)
{
    lex->first_column = *lex->next == '\n';
    lex->line += *lex->next == '\n';
    lex->next++;
}

static void skip_blanks(struct bt_lex *lex)
{
    bool comment = false;
    while (lex->next < lex->end && (comment || strchr(" \t\r\n#", *lex->next))) {
        if (!*lex->next && !comment) /* strchr finds the terminator too */
            return;
        comment = *lex->next == '#' || (comment && *lex->next != '\n');
        skip_one(lex);
    }
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static void take_while(struct bt_lex *lex, bool name)
{
    const char *first = lex->next;
    while (lex->next < lex->end && (is_digit(*lex->next) || (name ? is_letter(*lex->next) : *lex->next == '.')))
        lex->next++;
    lex->word.kind = name ? BT_LEX_NAME : BT_LEX_NUMBER;
    lex->word.text = (struct bt_grammar_text){first, (size_t)(lex->next - first)};
}

/* The byte that the escape \c stands for, or 0. */
static char unescape(char c)
{
    switch (c) {
    case '"':
    case '\\':
        return c;
    case 'n':
        return '\n';
    case 't':
        return '\t';
    default:
        return 0;
    }
}

static enum bt_err take_text(struct bt_lex *lex, struct bt_diag *diag)
{
    char *out = lex->texts;
    for (lex->next++; lex->next < lex->end && *lex->next != '"'; lex->next++) {
        char c = *lex->next;
        if ((unsigned char)c < ' ')
            break;
        if (c == '\\') {
            c = lex->end - lex->next > 1 ? unescape(*++lex->next) : '\0';
            if (!c)
                return bt_fail(diag, BT_EINPUT, "%s:%u: a backslash in a quoted text is followed by n, t, \" or \\",
                               lex->what, lex->line);
        }
        *out++ = c;
    }
    if (lex->next == lex->end || *lex->next != '"')
        return bt_fail(diag, BT_EINPUT, "%s:%u: a quoted text is not closed on its line", lex->what, lex->line);
    lex->next++;
    lex->word.kind = BT_LEX_TEXT;
    lex->word.text = (struct bt_grammar_text){lex->texts, (size_t)(out - lex->texts)};
    lex->texts = out;
    return BT_OK;
}

enum bt_err bt_lex_next(struct bt_lex *lex, struct bt_diag *diag)
{
    skip_blanks(lex);
    lex->word.line = lex->line;
    lex->word.first_column = lex->first_column;
    lex->word.kind = BT_LEX_END;
    if (lex->next == lex->end)
        return BT_OK;
    lex->first_column = false;
    const char c = *lex->next;
    if (c == '"')
        return take_text(lex, diag);
    if (is_letter(c) || is_digit(c)) {
        take_while(lex, is_letter(c));
        return BT_OK;
    }
    if (!c || !strchr("=|:(),", c))
        return bt_fail(diag, BT_EINPUT,
                       "%s:%u: found the byte 0x%02x, expected a name, a number, a quoted text or = | : ( ,", lex->what,
                       lex->line, (unsigned char)c);
    lex->word.kind = BT_LEX_SIGN;
    lex->word.text = (struct bt_grammar_text){lex->next++, 1};
    return BT_OK;
}

bool bt_lex_is(const struct bt_lex *lex, char sign)
{
    return lex->word.kind == BT_LEX_SIGN && *lex->word.text.data == sign;
}

enum bt_err bt_lex_fail(const struct bt_lex *lex, const char *expected, struct bt_diag *diag)
{
    if (lex->word.kind == BT_LEX_END)
        return bt_fail(diag, BT_EINPUT, "%s:%u: the file ends, expected %s", lex->what, lex->word.line, expected);
    if (lex->word.kind == BT_LEX_TEXT) /* not repeated: it may hold anything */
        return bt_fail(diag, BT_EINPUT, "%s:%u: found a quoted text, expected %s", lex->what, lex->word.line, expected);
    const size_t shown = lex->word.text.size < SHOWN ? lex->word.text.size : SHOWN;
    return bt_fail(diag, BT_EINPUT, "%s:%u: found \"%.*s\"%s, expected %s", lex->what, lex->word.line, (int)shown,
                   lex->word.text.data, lex->word.first_column ? " in the first column" : "", expected);
}
