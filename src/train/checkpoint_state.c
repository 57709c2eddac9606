#include "train/checkpoint_state.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include <xxhash.h>

#include "base/mem.h"
#include "io/file.h"
#include "io/json.h"

#define FORMAT_NAME "bitnet-train checkpoint 1"
#define TAIL_FORMAT ",\n  \"checksum\": \"%016" PRIx64 "\"\n}\n"
#define TAIL_SIZE   (sizeof ",\n  \"checksum\": \"0123456789abcdef\"\n}\n" - 1)

enum kind { INT, UINT, REAL, TEXT };

/* One table for writing and reading, in the order of the file. */
#define PLACE(member) offsetof(struct bt_train_state, member), sizeof(((struct bt_train_state *)NULL)->member)
/* clang-format off */
#define FIELD(kind, name)         {#name, kind, PLACE(name), false}
#define LATER(kind, name, member) {name, kind, PLACE(member), true}
/* clang-format on */
static const struct field {
    const char *name;
    enum kind kind;
    size_t offset, size;
    bool later; /* older files lack it: -1, 0 (UINT) or NaN */
} fields[] = {
    FIELD(INT, step),
    FIELD(INT, applied),
    FIELD(INT, skipped),
    FIELD(INT, skipped_in_a_row),
    FIELD(UINT, row),
    FIELD(UINT, tokens),
    FIELD(UINT, labels),
    FIELD(REAL, elapsed_s),
    FIELD(REAL, data_wait_s),
    FIELD(REAL, best_loss),
    FIELD(INT, best_step),
    FIELD(REAL, last_loss),
    FIELD(REAL, last_eval_loss),
    FIELD(INT, last_eval_step),
    FIELD(REAL, first_eval_loss),
    FIELD(UINT, metrics_bytes),
    FIELD(TEXT, matmul),
    FIELD(TEXT, kernels),
    FIELD(TEXT, codes),
    FIELD(TEXT, gradient),
    LATER(REAL, "balance_logits", balance[BT_TERM_LOGITS]),
    LATER(REAL, "balance_hidden", balance[BT_TERM_HIDDEN]),
    LATER(REAL, "balance_attention_relation", balance[BT_TERM_RELATION]),
    LATER(INT, "zclip_norms", zclip.norms),
    LATER(REAL, "zclip_mean", zclip.mean),
    LATER(REAL, "zclip_variance", zclip.variance),
    LATER(REAL, "early_stopping_best", early_stopping.best),
    LATER(INT, "early_stopping_best_step", early_stopping.best_step),
    LATER(INT, "early_stopping_stalled", early_stopping.stalled),
    LATER(INT, "telemetry_step", telemetry.step),
    LATER(REAL, "telemetry_s", telemetry.seconds),
    LATER(UINT, "telemetry_warned", telemetry.warned),
    LATER(INT, "telemetry_flip_span", telemetry.flip_span),
    LATER(REAL, "telemetry_calmest_q_proj", telemetry.calmest[0]),
    LATER(REAL, "telemetry_calmest_k_proj", telemetry.calmest[1]),
    LATER(REAL, "telemetry_calmest_v_proj", telemetry.calmest[2]),
    LATER(REAL, "telemetry_calmest_o_proj", telemetry.calmest[3]),
    LATER(REAL, "telemetry_calmest_gate_proj", telemetry.calmest[4]),
    LATER(REAL, "telemetry_calmest_up_proj", telemetry.calmest[5]),
    LATER(REAL, "telemetry_calmest_down_proj", telemetry.calmest[6]),
    LATER(INT, "telemetry_rising_q_proj", telemetry.rising[0]),
    LATER(INT, "telemetry_rising_k_proj", telemetry.rising[1]),
    LATER(INT, "telemetry_rising_v_proj", telemetry.rising[2]),
    LATER(INT, "telemetry_rising_o_proj", telemetry.rising[3]),
    LATER(INT, "telemetry_rising_gate_proj", telemetry.rising[4]),
    LATER(INT, "telemetry_rising_up_proj", telemetry.rising[5]),
    LATER(INT, "telemetry_rising_down_proj", telemetry.rising[6]),
};
#define FIELD_COUNT (sizeof fields / sizeof fields[0])

void bt_data_files_free(struct bt_data_file *files, size_t count)
{
    for (size_t i = 0; files && i < count; i++)
        bt_free(files[i].path);
    bt_free(files);
}

void bt_checkpoint_state_finish(struct bt_checkpoint_state *content)
{
    bt_data_files_free(content->data, content->data_count);
    bt_data_files_free(content->files, content->file_count);
    *content = (struct bt_checkpoint_state){0};
}

/* Writing. A NULL from here on means that memory is out. */

static json_t *uint_text(uint64_t value, const char *format)
{
    char text[32];
    snprintf(text, sizeof text, format, value);
    return json_string(text);
}

static json_t *field_to_json(const struct field *field, const struct bt_train_state *state)
{
    const char *at = (const char *)state + field->offset;
    int64_t integer;
    uint64_t count;
    double real;
    switch (field->kind) {
    case INT:
        memcpy(&integer, at, sizeof integer);
        return json_integer(integer);
    case UINT:
        memcpy(&count, at, sizeof count);
        return uint_text(count, "%" PRIu64);
    case REAL:
        memcpy(&real, at, sizeof real);
        return bt_json_real(real);
    case TEXT:
        break;
    }
    return json_stringn(at, strnlen(at, field->size));
}

static json_t *state_to_json(const struct bt_train_state *state)
{
    json_t *object = json_object();
    for (size_t i = 0; object && i < FIELD_COUNT; i++) {
        if (json_object_set_new(object, fields[i].name, field_to_json(&fields[i], state))) {
            json_decref(object);
            object = NULL;
        }
    }
    return object;
}

/* A file name is any bytes, JSON wants UTF-8: what is not plain ASCII is written as %XX, and so is the percent sign. */
static json_t *path_to_json(const char *path)
{
    char *text = bt_alloc(3 * strlen(path) + 1), *at = text;
    if (!text)
        return NULL;
    for (; *path; path++) {
        const unsigned char c = (unsigned char)*path;
        if (c >= ' ' && c < 0x7f && c != '%')
            *at++ = *path;
        else
            at += sprintf(at, "%%%02X", c);
    }
    *at = '\0';
    json_t *value = json_string(text);
    bt_free(text);
    return value;
}

static json_t *files_to_json(const struct bt_data_file *files, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < count; i++) {
        json_t *entry = json_object();
        const bool bad = json_object_set_new(entry, "path", path_to_json(files[i].path)) ||
                         json_object_set_new(entry, "size", uint_text(files[i].size, "%" PRIu64)) ||
                         json_object_set_new(entry, "xxh3_64", uint_text(files[i].hash, "%016" PRIx64));
        if (json_array_append_new(list, bad ? (json_decref(entry), NULL) : entry)) {
            json_decref(list);
            list = NULL;
        }
    }
    return list;
}

/* The text of state.json up to the checksum, without the closing brace. */
static char *state_body(const struct bt_checkpoint_state *content, size_t *ret_size)
{
    char *text = NULL;
    json_t *root = json_object();
    if (!json_object_set_new(root, "format", json_string(FORMAT_NAME)) &&
        !json_object_set_new(root, "state", state_to_json(&content->state)) &&
        !json_object_set_new(root, "data", files_to_json(content->data, content->data_count)) &&
        !json_object_set_new(root, "files", files_to_json(content->files, content->file_count)))
        text = bt_json_text(root, JSON_INDENT(2));
    json_decref(root);
    if (text)
        *ret_size = (size_t)(strrchr(text, '\n') - text);
    return text;
}

enum bt_err bt_checkpoint_state_write(const char *folder, const struct bt_checkpoint_state *content,
                                      struct bt_diag *diag)
{
    enum bt_err err;
    size_t size = 0;
    char tail[TAIL_SIZE + 1];
    struct bt_out *out = NULL;
    char *path = bt_path_join(folder, BT_CHECKPOINT_STATE_FILE);
    char *body = state_body(content, &size);
    if (!path || !body) {
        err = bt_fail_nomem(diag);
        goto done;
    }
    snprintf(tail, sizeof tail, TAIL_FORMAT, (uint64_t)XXH3_64bits(body, size));
    if ((err = bt_out_open(path, &out, diag)))
        goto done;
    if ((err = bt_out_write(out, body, size, diag)) || (err = bt_out_write(out, tail, TAIL_SIZE, diag)))
        bt_out_abandon(out);
    else
        err = bt_out_close(out, diag);
done:
    bt_free(body);
    bt_free(path);
    return err;
}

/* Reading. */

/* Digits of one number and nothing else, so that every number has one spelling. */
static bool parse_uint(const json_t *value, int base, uint64_t *ret_value)
{
    static const char digits[] = "0123456789abcdef";
    const char *text = json_string_value(value);
    uint64_t number = 0;
    if (!text || !*text)
        return false;
    for (; *text; text++) {
        const char *digit = memchr(digits, *text, (size_t)base);
        if (!digit || __builtin_mul_overflow(number, (uint64_t)base, &number) ||
            __builtin_add_overflow(number, (uint64_t)(digit - digits), &number))
            return false;
    }
    *ret_value = number;
    return true;
}

static void field_absent(const struct field *field, struct bt_train_state *state)
{
    char *at = (char *)state + field->offset;
    if (field->kind == INT)
        memcpy(at, &(int64_t){-1}, sizeof(int64_t));
    else if (field->kind == UINT)
        memset(at, 0, sizeof(uint64_t));
    else
        memcpy(at, &(double){(double)NAN}, sizeof(double));
}

static bool field_from_json(const struct field *field, const json_t *value, struct bt_train_state *state)
{
    char *at = (char *)state + field->offset;
    uint64_t count;
    if (!value && field->later) {
        field_absent(field, state);
        return true;
    }
    switch (field->kind) {
    case INT:
        if (json_is_integer(value))
            memcpy(at, &(int64_t){json_integer_value(value)}, sizeof(int64_t));
        return json_is_integer(value);
    case UINT:
        if (!parse_uint(value, 10, &count))
            return false;
        memcpy(at, &count, sizeof count);
        return true;
    case REAL:
        if (!json_is_number(value) && !json_is_null(value))
            return false;
        memcpy(at, &(double){json_is_null(value) ? (double)NAN : json_number_value(value)}, sizeof(double));
        return true;
    case TEXT:
        break;
    }
    if (!json_is_string(value) || json_string_length(value) >= field->size)
        return false;
    memcpy(at, json_string_value(value), json_string_length(value) + 1);
    return true;
}

static enum bt_err state_from_json(const json_t *object, const char *path, struct bt_train_state *state,
                                   struct bt_diag *diag)
{
    for (size_t i = 0; i < FIELD_COUNT; i++)
        if (!field_from_json(&fields[i], json_object_get(object, fields[i].name), state))
            return bt_fail(diag, BT_EINPUT, "%s: state.%s is missing or not of its type", path, fields[i].name);
    return BT_OK;
}

/* NULL when memory is out. What path_to_json did not write stays as it is. */
static char *path_from_json(const char *text)
{
    unsigned byte;
    char *path = bt_alloc(strlen(text) + 1), *at = path;
    while (path && *text) {
        if (*text == '%' && sscanf(text + 1, "%2X", &byte) == 1 && byte > 0 && strlen(text) > 2) {
            *at++ = (char)byte;
            text += 3;
        } else {
            *at++ = *text++;
        }
    }
    if (path)
        *at = '\0';
    return path;
}

static enum bt_err files_from_json(const json_t *list, const char *path, const char *key,
                                   struct bt_data_file **ret_files, size_t *ret_count, struct bt_diag *diag)
{
    if (!json_is_array(list))
        return bt_fail(diag, BT_EINPUT, "%s: %s is not a list", path, key);
    const size_t count = json_array_size(list);
    struct bt_data_file *files = bt_zalloc(count, sizeof *files);
    if (!files)
        return bt_fail_nomem(diag);
    enum bt_err err = BT_OK;
    for (size_t i = 0; i < count && !err; i++) {
        const json_t *entry = json_array_get(list, i);
        const char *name = json_string_value(json_object_get(entry, "path"));
        if (!name || !parse_uint(json_object_get(entry, "size"), 10, &files[i].size) ||
            !parse_uint(json_object_get(entry, "xxh3_64"), 16, &files[i].hash))
            err = bt_fail(diag, BT_EINPUT, "%s: %s[%zu] lacks a path, a size or a hash", path, key, i);
        else if (!(files[i].path = path_from_json(name)))
            err = bt_fail_nomem(diag);
    }
    if (err) {
        bt_data_files_free(files, count);
        return err;
    }
    *ret_files = files;
    *ret_count = count;
    return BT_OK;
}

/* The names are joined to the folder and opened, so they must stay inside it. */
static enum bt_err check_names(const struct bt_checkpoint_state *content, const char *path, struct bt_diag *diag)
{
    for (size_t i = 0; i < content->file_count; i++) {
        const char *name = content->files[i].path;
        if (!*name || strchr(name, '/') || !strcmp(name, ".") || !strcmp(name, ".."))
            return bt_fail(diag, BT_EINPUT, "%s: files[%zu] is \"%s\", expected a name inside the folder", path, i,
                           name);
    }
    return BT_OK;
}

/* Compares the end of the text with the one that belongs to the bytes before it. */
static enum bt_err check_tail(const struct bt_map *map, const char *path, struct bt_diag *diag)
{
    char tail[TAIL_SIZE + 1];
    if (map->size < TAIL_SIZE)
        return bt_fail(diag, BT_EINPUT, "%s: %zu bytes are too few for a checkpoint's state", path, map->size);
    const size_t body = map->size - TAIL_SIZE;
    snprintf(tail, sizeof tail, TAIL_FORMAT, (uint64_t)XXH3_64bits(map->data, body));
    if (memcmp(map->data + body, tail, TAIL_SIZE) != 0)
        return bt_fail(diag, BT_EINPUT, "%s: its checksum does not fit its content", path);
    return BT_OK;
}

static enum bt_err content_from_json(const json_t *root, const char *path, struct bt_checkpoint_state *content,
                                     struct bt_diag *diag)
{
    enum bt_err err;
    const char *format = json_string_value(json_object_get(root, "format"));
    if (!format || strcmp(format, FORMAT_NAME) != 0)
        return bt_fail(diag, BT_EINPUT, "%s: format is \"%s\", expected \"%s\"", path, format ? format : "",
                       FORMAT_NAME);
    if ((err = state_from_json(json_object_get(root, "state"), path, &content->state, diag)) ||
        (err = files_from_json(json_object_get(root, "data"), path, "data", &content->data, &content->data_count,
                               diag)) ||
        (err = files_from_json(json_object_get(root, "files"), path, "files", &content->files, &content->file_count,
                               diag)))
        return err;
    return check_names(content, path, diag);
}

enum bt_err bt_checkpoint_state_read(const char *folder, struct bt_checkpoint_state *ret_content, struct bt_diag *diag)
{
    enum bt_err err;
    struct bt_checkpoint_state content = {0};
    struct bt_map map = {0};
    json_t *root = NULL;
    char *path = bt_path_join(folder, BT_CHECKPOINT_STATE_FILE);
    if (!path)
        return bt_fail_nomem(diag);
    if ((err = bt_map_open(path, &map, diag)) || (err = check_tail(&map, path, diag)) ||
        (err = bt_json_parse((const char *)map.data, map.size, path, &root, diag)) ||
        (err = content_from_json(root, path, &content, diag)))
        goto done;
    *ret_content = content;
    content = (struct bt_checkpoint_state){0};
done:
    bt_checkpoint_state_finish(&content);
    json_decref(root);
    bt_map_close(&map);
    bt_free(path);
    return err;
}
