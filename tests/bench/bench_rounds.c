/* Runs several commands in turns, round after round, and compares what they report: medians and spread, and pair by
 * pair what each is of the first one in the same round. Machines drift; what ran side by side can be compared.
 *
 * A command prints a report of report.h as the last line of its stdout (--json -), or an object that is one row. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/mem.h"
#include "options.h"
#include "report.h"

enum { MAX_ROUNDS = 64, MAX_COLUMNS = 32 };

struct run {
    const char *command;
    char *label;
    json_t *reports; /* of all rounds */
};

struct request {
    const char *metric, *json;
    uint64_t rounds;
    struct run *runs;
    size_t count;
};

/* ---- running ---- */

static char *read_all(FILE *stream)
{
    size_t size = 0, room = 1 << 16;
    char *text = bt_alloc(room);
    while (text) {
        const size_t got = fread(text + size, 1, room - size - 1, stream);
        size += got;
        if (!got)
            break;
        if (size == room - 1) {
            char *more = bt_realloc(text, room *= 2, 1);
            if (!more)
                bt_free(text);
            text = more;
        }
    }
    if (text)
        text[size] = '\0';
    return text;
}

/* An object without rows is one row; what others call their figures becomes what we call them. */
static json_t *as_report(json_t *report)
{
    if (json_object_get(report, "rows"))
        return report;
    json_t *memory = json_object_get(report, "peak_rss_gb"), *name = json_object_get(report, "mode");
    if (memory)
        json_object_set(report, "memory_gb", memory);
    if (name)
        json_object_set(report, "name", name);
    return json_pack("{s:[o]}", "rows", report);
}

static enum bt_err parse_last_line(const char *command, char *text, json_t **ret_report, struct bt_diag *diag)
{
    size_t size = strlen(text);
    while (size && text[size - 1] == '\n')
        text[--size] = '\0';
    const char *newline = strrchr(text, '\n'), *line = newline ? newline + 1 : text;
    json_t *report;
    const enum bt_err err = bt_json_parse(line, strlen(line), command, &report, diag);
    if (err)
        return err;
    *ret_report = as_report(report);
    return *ret_report ? BT_OK : bt_fail(diag, BT_ENOMEM, "out of memory");
}

static enum bt_err run_command(const struct run *run, struct bt_diag *diag)
{
    json_t *report;
    FILE *stream = popen(run->command, "r");
    if (!stream)
        return bt_fail(diag, BT_EIO, "%s: cannot be started", run->command);
    char *text = read_all(stream);
    const int status = pclose(stream);
    enum bt_err err = BT_OK;
    if (!text)
        return bt_fail(diag, BT_ENOMEM, "out of memory");
    if (status)
        err = bt_fail(diag, BT_EINPUT, "%s: ended with exit status %d", run->command,
                      WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
    else if (!(err = parse_last_line(run->command, text, &report, diag)) && json_array_append_new(run->reports, report))
        err = bt_fail(diag, BT_ENOMEM, "out of memory");
    bt_free(text);
    return err;
}

/* Every second round in reverse, so that a machine that slows down steadily is unfair to none. */
static enum bt_err run_rounds(const struct request *r, bool quiet, struct bt_diag *diag)
{
    for (size_t round = 0; round < r->rounds; round++)
        for (size_t i = 0; i < r->count; i++) {
            const struct run *run = &r->runs[round % 2 ? r->count - 1 - i : i];
            if (!quiet)
                fprintf(stderr, "round %zu of %zu: %s\n", round + 1, (size_t)r->rounds, run->label);
            const enum bt_err err = run_command(run, diag);
            if (err)
                return err;
        }
    return BT_OK;
}

/* ---- comparing ---- */

static json_t *row_of(const struct run *run, size_t round, size_t row)
{
    return json_array_get(json_object_get(json_array_get(run->reports, round), "rows"), row);
}

static size_t row_count(const struct run *run)
{
    return json_array_size(json_object_get(json_array_get(run->reports, 0), "rows"));
}

/* Numbers of all rounds; fewer than there are rounds when one of them lacks it. */
static size_t figures(const struct run *run, size_t rounds, size_t row, const char *key, double *values)
{
    size_t count = 0;
    for (size_t round = 0; round < rounds; round++) {
        const json_t *value = json_object_get(row_of(run, round, row), key);
        if (json_is_number(value))
            values[count++] = json_number_value(value);
    }
    return count;
}

static void set_spread(json_t *row, const char *what, double *values, size_t count)
{
    char key[32];
    bench_set(row, what, bench_median(values, count)); /* sorts them */
    snprintf(key, sizeof key, "%s_least", what);
    bench_set(row, key, values[0]);
    snprintf(key, sizeof key, "%s_most", what);
    bench_set(row, key, values[count - 1]);
}

/* The metric of one run, and its ratio to the first run, round by round. */
static void compare(json_t *row, double *own, double *first, size_t rounds)
{
    double ratio[MAX_ROUNDS];
    for (size_t i = 0; i < rounds; i++)
        ratio[i] = own[i] / first[i];
    set_spread(row, "ratio", ratio, rounds);
    set_spread(row, "metric", own, rounds);
}

static json_t *begin_row(const struct run *run, const char *name)
{
    json_t *row = json_object();
    bench_set_text(row, "name", name);
    bench_set_text(row, "run", run->label);
    return row;
}

static void add_row(const struct request *r, const struct run *run, size_t at, const json_t *columns, json_t *rows)
{
    double own[MAX_ROUNDS], first[MAX_ROUNDS];
    json_t *row = begin_row(run, json_string_value(json_object_get(row_of(run, 0, at), "name")));
    if (figures(run, r->rounds, at, r->metric, own) == r->rounds &&
        figures(&r->runs[0], r->rounds, at, r->metric, first) == r->rounds)
        compare(row, own, first, r->rounds);
    for (size_t i = 0; i < json_array_size(columns); i++) {
        const char *key = json_string_value(json_object_get(json_array_get(columns, i), "key"));
        json_t *value = json_object_get(row_of(run, 0, at), key);
        if (strcmp(key, "name") != 0 && strcmp(key, r->metric) != 0) {
            if (json_is_string(value))
                json_object_set(row, key, value);
            else if (figures(run, r->rounds, at, key, own) == r->rounds)
                bench_set(row, key, bench_median(own, r->rounds));
        }
    }
    json_array_append_new(rows, row);
}

static double peak_of(const struct run *run, size_t round, const char *key)
{
    const json_t *peaks = json_object_get(json_array_get(run->reports, round), "peaks");
    return json_number_value(json_object_get(peaks, key));
}

/* What the machine could do in the same processes; nothing for programs that do not measure it. */
static void add_peak(const struct request *r, const char *key, const char *name, json_t *rows)
{
    for (size_t i = 0; i < r->count; i++) {
        double own[MAX_ROUNDS], first[MAX_ROUNDS];
        for (size_t round = 0; round < r->rounds; round++) {
            own[round] = peak_of(&r->runs[i], round, key);
            first[round] = peak_of(&r->runs[0], round, key);
            if (own[round] <= 0.0 || first[round] <= 0.0)
                return;
        }
        json_t *row = begin_row(&r->runs[i], name);
        compare(row, own, first, r->rounds);
        json_array_append_new(rows, row);
    }
}

/* ---- the table ---- */

/* The columns of the first run that says what its own are; NULL: none does. */
static const json_t *shared_columns(const struct request *r)
{
    for (size_t i = 0; i < r->count; i++) {
        const json_t *columns = json_object_get(json_array_get(r->runs[i].reports, 0), "columns");
        if (columns)
            return columns;
    }
    return NULL;
}

static const char *metric_of(const struct request *r)
{
    for (size_t i = 0; i < r->count; i++) {
        const json_t *metric = json_object_get(json_array_get(r->runs[i].reports, 0), "metric");
        if (metric)
            return json_string_value(metric);
    }
    return "tokens_per_second";
}

static json_t *compare_rows(const struct request *r, const json_t *columns)
{
    json_t *rows = json_array();
    size_t most = 0;
    for (size_t i = 0; i < r->count; i++)
        most = row_count(&r->runs[i]) > most ? row_count(&r->runs[i]) : most;
    for (size_t row = 0; row < most; row++)
        for (size_t i = 0; i < r->count; i++)
            if (row < row_count(&r->runs[i]))
                add_row(r, &r->runs[i], row, columns, rows);
    add_peak(r, "float32_gflops", "float32 peak, GFLOP/s", rows);
    add_peak(r, "copy_gbs", "copy, GB/s", rows);
    return rows;
}

/* The title of the metric's column; the key itself where it is none. */
static const char *metric_title(const struct request *r, const json_t *columns)
{
    for (size_t i = 0; i < json_array_size(columns); i++) {
        const json_t *column = json_array_get(columns, i);
        if (!strcmp(json_string_value(json_object_get(column, "key")), r->metric))
            return json_string_value(json_object_get(column, "title"));
    }
    return r->metric;
}

static void print_rows(const struct request *r, const json_t *columns, const json_t *rows)
{
    struct bench_column list[MAX_COLUMNS] = {{"name", "", 0},
                                             {"run", "run", 0},
                                             {"metric", metric_title(r, columns), 1},
                                             {"metric_least", "least", 1},
                                             {"metric_most", "most", 1},
                                             {"ratio", "to the first", 2},
                                             {"ratio_least", "least", 2},
                                             {"ratio_most", "most", 2}};
    size_t count = 8;
    for (size_t i = 0; i < json_array_size(columns) && count < MAX_COLUMNS; i++) {
        const json_t *column = json_array_get(columns, i);
        const char *key = json_string_value(json_object_get(column, "key"));
        if (strcmp(key, "name") != 0 && strcmp(key, r->metric) != 0)
            list[count++] = (struct bench_column){key, json_string_value(json_object_get(column, "title")),
                                                  (int)json_number_value(json_object_get(column, "decimals"))};
    }
    bench_table_print(list, count, rows);
    printf("\nmedians of %zu rounds in turns; ratios are pair by pair, to %s\n", (size_t)r->rounds, r->runs[0].label);
}

static enum bt_err write_json(const struct request *r, json_t *rows, struct bt_diag *diag)
{
    json_t *runs = json_array();
    for (size_t i = 0; i < r->count; i++)
        json_array_append_new(runs, json_pack("{s:s, s:s, s:O}", "label", r->runs[i].label, "command",
                                              r->runs[i].command, "reports", r->runs[i].reports));
    json_t *all = json_pack("{s:s, s:I, s:O, s:o}", "metric", r->metric, "rounds", (json_int_t)r->rounds, "rows", rows,
                            "runs", runs);
    const enum bt_err err = all ? bt_json_replace(r->json, all, diag) : bt_fail(diag, BT_ENOMEM, "out of memory");
    json_decref(all);
    return err;
}

static enum bt_err report(struct request *r, struct bt_diag *diag)
{
    if (!r->metric)
        r->metric = metric_of(r);
    const json_t *columns = shared_columns(r);
    json_t *rows = compare_rows(r, columns);
    print_rows(r, columns, rows);
    const enum bt_err err = r->json ? write_json(r, rows, diag) : BT_OK;
    json_decref(rows);
    return err;
}

static enum bt_err open_runs(struct request *r, const struct bt_command_line *line, struct bt_diag *diag)
{
    if (line->operand_count < 1)
        return bt_fail(diag, BT_EUSAGE, "nothing to run: LABEL=COMMAND is missing; --help says more");
    if (r->rounds > MAX_ROUNDS)
        return bt_fail(diag, BT_EUSAGE, "--rounds: the most is %d", MAX_ROUNDS);
    r->runs = bt_zalloc(line->operand_count, sizeof *r->runs);
    if (!r->runs)
        return bt_fail(diag, BT_ENOMEM, "out of memory");
    for (; r->count < line->operand_count; r->count++) {
        struct run *run = &r->runs[r->count];
        const char *operand = line->operands[r->count], *equals = strchr(operand, '=');
        if (!equals)
            return bt_fail(diag, BT_EUSAGE, "\"%s\": expected LABEL=COMMAND", operand);
        run->command = equals + 1;
        run->label = bt_strndup(operand, (size_t)(equals - operand));
        run->reports = json_array();
        if (!run->label || !run->reports)
            return bt_fail(diag, BT_ENOMEM, "out of memory");
    }
    return BT_OK;
}

static enum bt_err run(void *request, const struct bt_command_line *line, struct bt_diag *diag)
{
    struct request *r = request;
    enum bt_err err;
    if (!(err = open_runs(r, line, diag)) && !(err = run_rounds(r, line->quiet, diag)))
        err = report(r, diag);
    for (size_t i = 0; i < r->count; i++) {
        bt_free(r->runs[i].label);
        json_decref(r->runs[i].reports);
    }
    bt_free(r->runs);
    return err;
}

int main(int argc, char **argv)
{
    struct request r = {.rounds = 3};
    const struct bt_option options[] = {
        {"rounds", "N", BT_OPTION_NUMBER, &r.rounds, 1, "how often each command runs (default: 3)"},
        {"metric", "KEY", BT_OPTION_TEXT, &r.metric, 0,
         "member of a row to compare by (default: what the reports say)"},
        {"json", "FILE", BT_OPTION_TEXT, &r.json, 0, "write all reports and the comparison there"}};
    const struct bt_program program = {"bench_rounds", "bench_rounds [OPTION...] LABEL=COMMAND...",
                                       "Runs commands in turns and compares what they report.", options,
                                       sizeof options / sizeof *options};
    return bt_program_run(&program, argc, argv, run, &r);
}
