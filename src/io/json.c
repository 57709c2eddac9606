#include "io/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/file.h"

/* jansson does not say for sure that memory ran out: while it reads a string, a failed allocation looks like an invalid
 * token. So the allocator keeps the fact itself. */
static _Thread_local bool memory_ran_out;

static void *json_memory(size_t size)
{
    void *p = bt_alloc(size);
    if (!p)
        memory_ran_out = true;
    return p;
}

/* Before main, hence before any value exists and before there are threads. */
__attribute__((constructor)) static void use_our_allocator(void)
{
    json_set_alloc_funcs(json_memory, bt_free);
}

enum bt_err bt_json_parse(const char *text, size_t size, const char *what, json_t **ret_value, struct bt_diag *diag)
{
    json_error_t error;
    memory_ran_out = false;
    json_t *value = json_loadb(text, size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (memory_ran_out) {
        json_decref(value);
        return bt_fail_nomem(diag);
    }
    if (!value)
        return bt_fail(diag, BT_EINPUT, "%s: line %d, column %d: not valid JSON: %s", what, error.line, error.column,
                       error.text);
    *ret_value = value;
    return BT_OK;
}

enum bt_err bt_json_read(const char *path, json_t **ret_value, struct bt_diag *diag)
{
    char *text;
    size_t size;
    enum bt_err err = bt_file_read(path, &text, &size, diag);
    if (err)
        return err;
    err = bt_json_parse(text, size, path, ret_value, diag);
    bt_free(text);
    return err;
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
