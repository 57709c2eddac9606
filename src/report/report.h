/* report/report.h - the runs that a report is about, and what is known of them together. */
#ifndef BT_REPORT_REPORT_H
#define BT_REPORT_REPORT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "report/run.h"

#define BT_REPORT_NONE SIZE_MAX

struct bt_report { /* zeroed: empty */
    struct bt_report_run *runs;
    const char **labels; /* (run_count) what a run is called: its name, or its path where names repeat; borrowed */
    size_t *twins;       /* (run_count) the run that is its float twin, or BT_REPORT_NONE */
    size_t run_count, room;
    char *sweep;     /* the name of the sweep, where a single one was given; else NULL */
    json_t *pending; /* rows of results.jsonl (docs/sweep.md) of members that have no run folder; or NULL */
};

/* Paths of run folders, and of folders of sweeps, which stand for all their members. */
enum bt_err bt_report_read(const char *const *paths, size_t count, struct bt_report *ret_report, struct bt_diag *diag);
void bt_report_finish(struct bt_report *report);        /* takes a zeroed one */
bool bt_report_goes_on(const struct bt_report *report); /* a run is not finished */

/* The source of the validation text, where all runs that know one know the same; else not known. */
struct bt_report_source bt_report_source(const struct bt_report *report);
/* The last full loss of a run's last stage, so far; NaN where there is none, also for BT_REPORT_NONE. */
double bt_report_loss(const struct bt_report *report, size_t run);
/* That of a run that is finished, which can be compared with others; else NaN. */
double bt_report_end_loss(const struct bt_report *report, size_t run);
/* How far it is above that of the float twin; NaN unless both are finished. */
double bt_report_cost(const struct bt_report *report, size_t run);
/* Is it the float twin of another one? */
bool bt_report_is_twin(const struct bt_report *report, size_t run);
/* All stages of a run: seconds of training, and warnings. */
double bt_report_seconds(const struct bt_report_run *run);
size_t bt_report_warnings(const struct bt_report_run *run);
/* Keys of the configs that are not the same in all runs that have one, `seed` as the last; bt_flat_config_differences.
 * twins: float twins count too. */
enum bt_err bt_report_differences(const struct bt_report *report, bool twins, const char ***ret_keys, size_t *ret_count,
                                  struct bt_diag *diag);

/* The page: one HTML file without script that asks for nothing else. refresh_seconds: it reads itself again after so
 * many; 0: never. For bt_free; NULL when memory is out. */
char *bt_report_page(const struct bt_report *report, const char *version, unsigned refresh_seconds);
/* The essentials for a terminal: a table, and curves of one line each, in UTF-8 or in ASCII. The same. */
char *bt_report_text(const struct bt_report *report, bool utf8);

#endif
