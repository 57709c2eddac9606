/* results.csv, spread.csv and the same as JSON lines: bt_sweep_table_write of table.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "config/text_buf.h"
#include "config/yaml_scalar.h"
#include "io/file.h"
#include "io/json.h"
#include "io/lock.h"
#include "sweep/table.h"

/* ---- cells ---- */

static json_t *count_or_null(int64_t value)
{
    return value < 0 ? json_null() : json_integer(value);
}

/* Numbers, bools and null as JSON has them, all else as its text. */
static json_t *scalar_cell(const struct bt_yaml_node *scalar)
{
    errno = 0;
    const long long whole = strtoll(scalar->text, NULL, 10);
    switch (bt_scalar_type(scalar)) {
    case BT_SCALAR_NULL:
        return json_null();
    case BT_SCALAR_BOOL:
        return json_boolean(!strcmp(scalar->text, "true"));
    case BT_SCALAR_INTEGER:
        return errno ? json_string(scalar->text) : json_integer(whole);
    case BT_SCALAR_REAL:
        return bt_json_real(strtod(scalar->text, NULL));
    case BT_SCALAR_STRING:
        break;
    }
    return json_string(scalar->text);
}

static json_t *value_cell(const char *value)
{
    struct bt_yaml yaml = {0};
    struct bt_yaml_node *node = NULL;
    if (!value)
        return json_null();
    const enum bt_err err = bt_yaml_parse(&yaml, value, strlen(value), "value", false, &node, NULL);
    if (err == BT_ENOMEM)
        return NULL;
    json_t *cell = !err && node && node->kind == BT_YAML_SCALAR ? scalar_cell(node) : json_string(value);
    bt_yaml_finish(&yaml);
    return cell;
}

static json_t *text_or_null(const char *text)
{
    return text ? json_string(text) : json_null();
}

/* Every key that varies but for one of them (which may be NULL). */
static bool put_values(json_t *record, const struct bt_sweep *sweep, const struct bt_sweep_run *run, const char *but)
{
    bool fine = true;
    for (size_t k = 0; fine && k < sweep->combinations.key_count; k++)
        if (!but || strcmp(sweep->combinations.keys[k], but))
            fine = !json_object_set_new(record, sweep->combinations.keys[k], value_cell(run->values[k]));
    return fine;
}

static bool put_twins(json_t *record, const struct bt_sweep *sweep, const struct bt_sweep_row *row)
{
    const size_t twin = row->run->twin;
    return !json_object_set_new(record, "is_twin", json_boolean(row->run->is_twin)) &&
           !json_object_set_new(record, "twin", text_or_null(twin == BT_SWEEP_NONE ? NULL : sweep->runs[twin].name)) &&
           !json_object_set_new(record, "cost", bt_json_real(row->cost));
}

/* One row; NULL when memory is out. Its keys are the columns, the same for all rows of a sweep. */
static json_t *record_of(const struct bt_sweep *sweep, const struct bt_sweep_row *row)
{
    const struct bt_sweep_outcome *o = &row->outcome;
    json_t *record = json_pack("{s:s}", "name", row->run->name);
    bool fine = record && put_values(record, sweep, row->run, NULL);
    json_t *rest = json_pack(
        "{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "status", bt_sweep_status_name(o->status), "loss",
        bt_json_real(o->loss), "eval_loss", bt_json_real(o->eval_loss), "perplexity", bt_json_real(o->perplexity),
        "best_eval_loss", bt_json_real(o->best_eval_loss), "best_step", count_or_null(o->best_step), "steps",
        count_or_null(o->steps), "tokens", count_or_null(o->tokens), "tokens_per_second",
        bt_json_real(o->tokens_per_second), "seconds", bt_json_real(o->seconds), "error", text_or_null(o->error));
    fine = fine && rest && !json_object_update(record, rest);
    json_decref(rest);
    if (fine && sweep->file->twins)
        fine = put_twins(record, sweep, row);
    if (fine)
        return record;
    json_decref(record);
    return NULL;
}

/* The same for members that differ in the seed alone. */
static json_t *spread_of(const struct bt_sweep *sweep, const struct bt_spread_line *line)
{
    json_t *record = json_object();
    json_t *rest = json_pack("{s:I, s:I, s:o, s:o, s:o, s:o, s:o}", "members", (json_int_t)line->members, "finished",
                             (json_int_t)line->finished, "eval_loss", bt_json_real(line->mean), "deviation",
                             bt_json_real(line->deviation), "least", bt_json_real(line->least), "most",
                             bt_json_real(line->most), "best_eval_loss", bt_json_real(line->best_mean));
    bool fine = record && rest && put_values(record, sweep, line->run, "seed") && !json_object_update(record, rest);
    json_decref(rest);
    if (fine && sweep->file->twins)
        fine = !json_object_set_new(record, "is_twin", json_boolean(line->run->is_twin)) &&
               !json_object_set_new(record, "cost", bt_json_real(line->cost_mean));
    if (fine)
        return record;
    json_decref(record);
    return NULL;
}

/* ---- files ---- */

/* RFC 4180: quoted where it must be. */
static void add_csv_text(struct bt_text_buf *out, const char *text)
{
    if (!strpbrk(text, ",\"\r\n")) {
        bt_text_add(out, "%s", text);
        return;
    }
    bt_text_add(out, "\"");
    for (; *text; text++)
        bt_text_add(out, *text == '"' ? "\"\"" : "%c", *text);
    bt_text_add(out, "\"");
}

static void add_csv_cell(struct bt_text_buf *out, const json_t *cell)
{
    if (json_is_string(cell)) {
        add_csv_text(out, json_string_value(cell));
    } else if (!json_is_null(cell)) {
        char *text = bt_json_text(cell, JSON_ENCODE_ANY);
        out->failed = out->failed || !text;
        bt_text_add(out, "%s", text ? text : "");
        bt_free(text);
    }
}

static void add_csv_line(struct bt_text_buf *out, json_t *record, bool names)
{
    const char *key, *comma = "";
    json_t *cell;
    json_object_foreach(record, key, cell)
    {
        bt_text_add(out, "%s", comma);
        if (names)
            add_csv_text(out, key);
        else
            add_csv_cell(out, cell);
        comma = ",";
    }
    bt_text_add(out, "\n");
}

struct files { /* two forms of the same */
    struct bt_text_buf csv, jsonl;
};

/* Takes over the record; NULL: memory was out. */
static void add_record(struct files *files, json_t *record)
{
    char *line = record ? bt_json_text(record, 0) : NULL;
    if (record && !files->csv.length)
        add_csv_line(&files->csv, record, true);
    if (record)
        add_csv_line(&files->csv, record, false);
    if (line)
        bt_text_add(&files->jsonl, "%s\n", line);
    files->csv.failed = files->csv.failed || !line;
    bt_free(line);
    json_decref(record);
}

static enum bt_err replace(const struct bt_sweep *sweep, const char *name, struct bt_text_buf *text,
                           struct bt_diag *diag)
{
    const size_t size = text->length;
    char *path = bt_path_join(sweep->folder, name), *data = bt_text_take(text);
    const enum bt_err err = path && data ? bt_file_replace(path, data, size, diag) : bt_fail_nomem(diag);
    bt_free(data);
    bt_free(path);
    return err;
}

/* Two that replace a file at once would write into one file beside it. */
static enum bt_err take_turn(const struct bt_sweep *sweep, struct bt_lock **ret_lock, struct bt_diag *diag)
{
    bool busy = true;
    enum bt_err err = BT_OK;
    char *path = bt_path_join(sweep->folder, "members/results.lock");
    if (!path)
        return bt_fail_nomem(diag);
    while (busy && (err = bt_lock_try(path, &busy, ret_lock, diag)))
        if (busy)
            nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    bt_free(path);
    return err;
}

static enum bt_err write_files(const struct bt_sweep *sweep, const char *name, struct files *files,
                               struct bt_diag *diag)
{
    char csv[32], jsonl[32];
    snprintf(csv, sizeof csv, "%s.csv", name);
    snprintf(jsonl, sizeof jsonl, "%s.jsonl", name);
    const enum bt_err err = replace(sweep, csv, &files->csv, diag);
    return err ? err : replace(sweep, jsonl, &files->jsonl, diag);
}

enum bt_err bt_sweep_table_write(const struct bt_sweep_table *table, struct bt_diag *diag)
{
    struct files results = {0}, spread = {0};
    struct bt_lock *turn = NULL;
    for (size_t i = 0; i < table->count; i++)
        add_record(&results, record_of(table->sweep, &table->rows[i]));
    for (size_t i = 0; i < table->spread_count; i++)
        add_record(&spread, spread_of(table->sweep, &table->spread[i]));
    enum bt_err err = take_turn(table->sweep, &turn, diag);
    if (!err)
        err = write_files(table->sweep, "results", &results, diag);
    if (!err && table->spread_count)
        err = write_files(table->sweep, "spread", &spread, diag);
    bt_lock_release(turn);
    bt_text_finish(&results.csv);
    bt_text_finish(&results.jsonl);
    bt_text_finish(&spread.csv);
    bt_text_finish(&spread.jsonl);
    return err;
}
