#include "io/json.h"

#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/file.h"

/* jansson 2.14 does not survive a failed allocation in the middle of a token: the buffer that collects it stays as it
 * is, the byte is lost, and when that byte is the closing quote the copying of the string runs past both its buffers.
 * So while it parses, a failed allocation does not return: it jumps out of the parser, and what the parser held is
 * given back. */
struct block {                     /* in front of every piece of jansson's memory */
    struct block *previous, *next; /* of the pieces that a parse in progress holds; NULL otherwise */
};

struct parse {
    struct block held; /* the ends of the ring */
    jmp_buf out_of_memory;
};
static _Thread_local struct parse *parsing;

static void *json_memory(size_t size)
{
    struct block *block = size <= SIZE_MAX - sizeof *block ? bt_alloc(sizeof *block + size) : NULL;
    if (!block && parsing)
        longjmp(parsing->out_of_memory, 1);
    if (!block)
        return NULL;
    *block = (struct block){0};
    if (parsing) {
        *block = (struct block){.previous = &parsing->held, .next = parsing->held.next};
        block->next->previous = parsing->held.next = block;
    }
    return block + 1;
}

static void let_go(struct block *block)
{
    if (block->next) {
        block->next->previous = block->previous;
        block->previous->next = block->next;
    }
    *block = (struct block){0};
}

static void json_release(void *p)
{
    struct block *block = p;
    if (!block)
        return;
    let_go(--block);
    bt_free(block);
}

/* Before main, hence before any value exists and before there are threads. */
__attribute__((constructor)) static void use_our_allocator(void)
{
    json_set_alloc_funcs(json_memory, json_release);
}

/* NULL, with *ret_nomem saying whether it was for want of memory. What is returned belongs to no parse any more, so it
 * may be freed wherever and whenever. */
static json_t *parse_text(const char *text, size_t size, size_t flags, json_error_t *error, bool *ret_nomem)
{
    struct parse parse = {.held = {.previous = &parse.held, .next = &parse.held}};
    *ret_nomem = setjmp(parse.out_of_memory) != 0;
    if (*ret_nomem) {
        parsing = NULL;
        while (parse.held.next != &parse.held)
            json_release(parse.held.next + 1);
        return NULL;
    }
    parsing = &parse;
    json_t *value = json_loadb(text, size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | flags, error);
    parsing = NULL;
    while (parse.held.next != &parse.held)
        let_go(parse.held.next);
    return value;
}

static enum bt_err parse_at(const char *text, size_t size, const char *what, uint64_t line, size_t flags,
                            json_t **ret_value, struct bt_diag *diag)
{
    json_error_t error;
    bool nomem;
    json_t *value = parse_text(text, size, flags, &error, &nomem);
    if (nomem)
        return bt_fail_nomem(diag);
    const bool has_null = !value && json_error_code(&error) == json_error_null_character;
    if (!value)
        return bt_fail(diag, BT_EINPUT, "%s: line %llu, column %d: %s%s", what,
                       (unsigned long long)line + (unsigned long long)error.line - 1, error.column,
                       has_null ? "found a \\u0000, expected text without NUL characters" : "not valid JSON: ",
                       has_null ? "" : error.text);
    *ret_value = value;
    return BT_OK;
}

enum bt_err bt_json_parse(const char *text, size_t size, const char *what, json_t **ret_value, struct bt_diag *diag)
{
    return parse_at(text, size, what, 1, 0, ret_value, diag);
}

enum bt_err bt_json_parse_at(const char *text, size_t size, const char *what, uint64_t line, json_t **ret_value,
                             struct bt_diag *diag)
{
    return parse_at(text, size, what, line, JSON_DECODE_INT_AS_REAL, ret_value, diag);
}

static enum bt_err read_file(const char *path, size_t flags, json_t **ret_value, struct bt_diag *diag)
{
    char *text;
    size_t size;
    enum bt_err err = bt_file_read(path, &text, &size, diag);
    if (err)
        return err;
    err = parse_at(text, size, path, 1, flags, ret_value, diag);
    bt_free(text);
    return err;
}

enum bt_err bt_json_read(const char *path, json_t **ret_value, struct bt_diag *diag)
{
    return read_file(path, 0, ret_value, diag);
}

enum bt_err bt_json_read_any(const char *path, json_t **ret_value, struct bt_diag *diag)
{
    const enum bt_err err = read_file(path, 0, ret_value, NULL);
    return err == BT_ENOMEM ? bt_fail_nomem(diag) : BT_OK;
}

enum bt_err bt_json_read_texts(const char *path, json_t **ret_value, struct bt_diag *diag)
{
    return read_file(path, JSON_DECODE_INT_AS_REAL, ret_value, diag);
}

json_t *bt_json_real(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

json_t *bt_json_float(float value)
{
    char digits[32];
    if (!isfinite(value))
        return json_null();
    /* 9 significant digits tell any two float32 apart; most values need fewer */
    for (int precision = 1; precision <= 9; precision++) {
        snprintf(digits, sizeof digits, "%.*g", precision, (double)value);
        if (strtof(digits, NULL) == value)
            break;
    }
    return json_real(strtod(digits, NULL));
}

/* Indented text with a newline at its end, as files have it. */
static char *file_text(const json_t *value, size_t *ret_size)
{
    char *text = bt_json_text(value, JSON_INDENT(2));
    char *lines = text ? bt_sprintf("%s\n", text) : NULL;
    bt_free(text);
    if (lines)
        *ret_size = strlen(lines);
    return lines;
}

enum bt_err bt_json_replace(const char *path, const json_t *value, struct bt_diag *diag)
{
    size_t size = 0;
    char *text = file_text(value, &size);
    if (!text)
        return bt_fail_nomem(diag);
    const enum bt_err err = bt_file_replace(path, text, size, diag);
    bt_free(text);
    return err;
}

enum bt_err bt_json_write(const char *path, const json_t *value, struct bt_diag *diag)
{
    size_t size = 0;
    char *text = file_text(value, &size);
    if (!text)
        return bt_fail_nomem(diag);
    const enum bt_err err = bt_file_write(path, text, size, diag);
    bt_free(text);
    return err;
}
