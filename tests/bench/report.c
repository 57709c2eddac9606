#include "report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "base/mem.h"
#include "peak.h"

static _Noreturn void no_memory(void)
{
    fputs("benchmark: memory is out\n", stderr);
    exit(5);
}

void bench_set(json_t *row, const char *key, double value)
{
    if (json_object_set_new(row, key, bt_json_real(value)))
        no_memory();
}

void bench_set_text(json_t *row, const char *key, const char *text)
{
    if (json_object_set_new(row, key, text ? json_string(text) : json_null()))
        no_memory();
}

/* "model name : AMD EPYC" of /proc/cpuinfo. */
static void processor_name(char *name, size_t size)
{
    char line[256];
    FILE *file = fopen("/proc/cpuinfo", "r");
    snprintf(name, size, "unknown");
    while (file && fgets(line, sizeof line, file)) {
        const char *colon = strchr(line, ':');
        if (!strncmp(line, "model name", 10) && colon) {
            snprintf(name, size, "%.*s", (int)strcspn(colon + 2, "\n"), colon + 2);
            break;
        }
    }
    if (file)
        fclose(file);
}

static json_t *machine(int threads)
{
    char name[128];
    double load = 0.0;
    json_t *facts = json_object();
    processor_name(name, sizeof name);
    bench_set_text(facts, "processor", name);
    bench_set_text(facts, "kernels", bt_cpu_level_name(bt_cpu_level()));
    bench_set(facts, "threads", threads);
    if (getloadavg(&load, 1) == 1) /* before the benchmark itself: work of others */
        bench_set(facts, "load", load);
    return facts;
}

static json_t *column_list(const struct bench_column *columns, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        json_t *column = json_object();
        bench_set_text(column, "key", columns[i].key);
        bench_set_text(column, "title", columns[i].title);
        bench_set(column, "decimals", columns[i].decimals);
        if (json_array_append_new(list, column))
            no_memory();
    }
    return list;
}

json_t *bench_report(const char *benchmark, const char *title, const char *metric, const struct bench_column *columns,
                     size_t column_count, int threads)
{
    json_t *report = json_object(), *facts = machine(threads), *peaks = json_object();
    bench_set_text(report, "benchmark", benchmark);
    bench_set_text(report, "title", title);
    bench_set_text(report, "metric", metric);
    bench_set(peaks, "float32_gflops", bench_float32_peak(threads));
    bench_set(peaks, "copy_gbs", bench_copy_peak(threads));
    if (json_object_set_new(report, "columns", column_list(columns, column_count)) ||
        json_object_set_new(report, "machine", facts) || json_object_set_new(report, "peaks", peaks) ||
        json_object_set_new(report, "rows", json_array()))
        no_memory();
    return report;
}

double bench_report_peak(const json_t *report, const char *name)
{
    return json_number_value(json_object_get(json_object_get(report, "peaks"), name));
}

void bench_report_add(json_t *report, json_t *row)
{
    if (json_array_append_new(json_object_get(report, "rows"), row))
        no_memory();
}

/* ---- tables ---- */

struct cell {
    char text[96];
    bool number;
};

static struct cell cell_of(const struct bench_column *column, const json_t *row)
{
    const json_t *value = json_object_get(row, column->key);
    struct cell cell = {.number = json_is_number(value)};
    if (cell.number)
        snprintf(cell.text, sizeof cell.text, "%.*f", column->decimals, json_number_value(value));
    else if (json_is_string(value))
        snprintf(cell.text, sizeof cell.text, "%s", json_string_value(value));
    return cell;
}

static void print_rule(const int *width, const bool *right, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        putchar('|');
        for (int k = 0; k < width[i] + 1; k++)
            putchar('-');
        putchar(right[i] ? ':' : '-');
    }
    puts("|");
}

void bench_table_print(const struct bench_column *columns, size_t count, const json_t *rows)
{
    int *width = bt_zalloc(count, sizeof *width);
    bool *right = bt_zalloc(count, sizeof *right);
    if (!width || !right)
        no_memory();
    for (size_t i = 0; i < count; i++) {
        width[i] = (int)strlen(columns[i].title);
        for (size_t r = 0; r < json_array_size(rows); r++) {
            const struct cell cell = cell_of(&columns[i], json_array_get(rows, r));
            width[i] = (int)strlen(cell.text) > width[i] ? (int)strlen(cell.text) : width[i];
            right[i] |= cell.number;
        }
    }
    for (size_t i = 0; i < count; i++)
        printf("%s%*s", i ? " | " : "| ", right[i] ? width[i] : -width[i], columns[i].title);
    puts(" |");
    print_rule(width, right, count);
    for (size_t r = 0; r < json_array_size(rows); r++) {
        for (size_t i = 0; i < count; i++) {
            const struct cell cell = cell_of(&columns[i], json_array_get(rows, r));
            printf("%s%*s", i ? " | " : "| ", right[i] ? width[i] : -width[i], cell.text);
        }
        puts(" |");
    }
    bt_free(width);
    bt_free(right);
}

bool bench_prints(const char *json)
{
    return !json || strcmp(json, "-") != 0;
}

static void print_report(const json_t *report)
{
    enum { MOST = 32 };
    struct bench_column columns[MOST];
    const json_t *list = json_object_get(report, "columns"), *facts = json_object_get(report, "machine");
    const size_t count = json_array_size(list) < MOST ? json_array_size(list) : MOST;
    for (size_t i = 0; i < count; i++) {
        const json_t *column = json_array_get(list, i);
        columns[i] = (struct bench_column){json_string_value(json_object_get(column, "key")),
                                           json_string_value(json_object_get(column, "title")),
                                           (int)json_number_value(json_object_get(column, "decimals"))};
    }
    printf("%s\n\n", json_string_value(json_object_get(report, "title")));
    bench_table_print(columns, count, json_object_get(report, "rows"));
    printf("\n%s, kernels up to %s, %.0f threads; float32 peak %.1f GFLOP/s, copy %.1f GB/s; load %.1f at the start\n",
           json_string_value(json_object_get(facts, "processor")), json_string_value(json_object_get(facts, "kernels")),
           json_number_value(json_object_get(facts, "threads")), bench_report_peak(report, "float32_gflops"),
           bench_report_peak(report, "copy_gbs"), json_number_value(json_object_get(facts, "load")));
}

enum bt_err bench_report_end(json_t *report, const char *json, struct bt_diag *diag)
{
    enum bt_err err = BT_OK;
    if (bench_prints(json)) {
        print_report(report);
        err = json ? bt_json_replace(json, report, diag) : BT_OK;
    } else {
        char *text = bt_json_text(report, 0);
        if (!text)
            no_memory();
        puts(text);
        bt_free(text);
    }
    json_decref(report);
    return err;
}

/* ---- figures ---- */

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double bench_median(double *values, size_t count)
{
    qsort(values, count, sizeof *values, by_size);
    return count % 2 ? values[count / 2] : 0.5 * (values[count / 2 - 1] + values[count / 2]);
}

/* Linux keeps the peak for each process, and forgets it when a 5 is written here. */
void bench_memory_reset(void)
{
    FILE *file = fopen("/proc/self/clear_refs", "w");
    if (file) {
        fputs("5", file);
        fclose(file);
    }
}

double bench_memory_peak(void)
{
    char line[256];
    double bytes = 0.0;
    FILE *file = fopen("/proc/self/status", "r");
    while (file && fgets(line, sizeof line, file))
        if (!strncmp(line, "VmHWM:", 6))
            bytes = 1024.0 * strtod(line + 6, NULL);
    if (file)
        fclose(file);
    return bytes;
}
