/* tests/bench/report.h - what a benchmark prints: one table for a page and one JSON object for a program.
 *
 *   {"benchmark", "title", "metric", "columns": [{"key", "title", "decimals"}, ...],
 *    "machine": {"processor", "kernels", "threads", "load"}, "peaks": {"float32_gflops", "copy_gbs"},
 *    "rows": [{key: number or text, ...}, ...]}
 *
 * Memory is out of the question here: what cannot be allocated ends the program with exit status 5. */
#ifndef BT_BENCH_REPORT_H
#define BT_BENCH_REPORT_H

#include <stdbool.h>
#include <stddef.h>

#include "io/json.h"

struct bench_column {
    const char *key;   /* of a row's member: a number or a text; a row may lack it */
    const char *title; /* of the column */
    int decimals;
};

/* Measures the peaks. metric: the key by which two runs are compared; more is better. */
json_t *bench_report(const char *benchmark, const char *title, const char *metric, const struct bench_column *columns,
                     size_t column_count, int threads);
double bench_report_peak(const json_t *report, const char *name); /* of "peaks" */
void bench_report_add(json_t *report, json_t *row);               /* takes the row over */

/* Where a report goes: NULL prints it to stdout; "-" prints the JSON there and no table; anything else is a file for
 * the JSON beside the printed table. Releases the report. */
enum bt_err bench_report_end(json_t *report, const char *json, struct bt_diag *diag);
/* Whether tables are printed at all. */
bool bench_prints(const char *json);

/* A Markdown table: names and texts to the left, numbers to the right. */
void bench_table_print(const struct bench_column *columns, size_t column_count, const json_t *rows);

/* Set a member; NULL and what is not finite become null. */
void bench_set(json_t *row, const char *key, double value);
void bench_set_text(json_t *row, const char *key, const char *text);

/* Of count numbers; sorts them. */
double bench_median(double *values, size_t count);

/* The most memory that this process held since the last reset, in bytes. */
void bench_memory_reset(void);
double bench_memory_peak(void);

#endif
