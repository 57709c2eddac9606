/* tests/report/report_world.h - run folders made by hand, and what is counted in a page. */
#ifndef BT_TESTS_REPORT_WORLD_H
#define BT_TESTS_REPORT_WORLD_H

#include "support.h"

struct run_given { /* what is written; absent where NULL or 0 */
    const char *config, *metrics, *conversion;
    bool finished; /* stage2/model is there */
};
/* folder/name; the path is one of test_format's. */
const char *write_run(const char *folder, const char *name, const struct run_given *given);

/* A stage 2 of as many updates, a validation at every tenth, telemetry of two layers at every twentieth and before the
 * first, lambda full from the second half on. malloc. */
char *stage2_metrics(size_t updates);
extern const char stage2_config[]; /* that goes with it */

/* Occurrences of a text. */
size_t count_of(const char *text, const char *what);
/* Points of the path data at `d`, up to its quote: one for each M and each relative line. */
size_t points_of(const char *d);

/* A curve of a page. */
struct curve {
    size_t promised; /* its data-points */
    size_t drawn;    /* points of its line and crosses */
};
/* The next curve of a page from *at on, which moves behind it; false when there is none. Fails the test where dots and
 * line disagree. */
bool next_curve(const char **at, struct curve *curve);
/* The same for a group of a heat map: cells in place of points. */
bool next_cells(const char **at, struct curve *cells);

#endif
