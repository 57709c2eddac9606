/* tools/data_screen.h - how far a program has come with files: a bar on a terminal, else lines, on stderr. */
#ifndef BT_TOOLS_DATA_SCREEN_H
#define BT_TOOLS_DATA_SCREEN_H

#include <stdbool.h>
#include <stdint.h>

struct bt_screen {
    bool bar, lines, bar_shown;
    double started, last; /* seconds of omp_get_wtime */
};

/* style: "auto", "bar", "lines" or "none". */
void bt_screen_open(struct bt_screen *screen, const char *style, bool quiet);
/* Whether it is time to show something again. If so, what is written to stderr between this and the next call becomes
 * one line; a bar for `done` of `all` (0: not known) stands in front of it. */
bool bt_screen_begin(struct bt_screen *screen, uint64_t done, uint64_t all);
void bt_screen_end(struct bt_screen *screen);
void bt_screen_clear(struct bt_screen *screen); /* wipes a bar */

double bt_screen_seconds(const struct bt_screen *screen); /* since it was opened; never 0 */
/* "1.2 GB, 35.1 MB/s", to stderr. */
void bt_screen_say_bytes(const struct bt_screen *screen, uint64_t bytes);

#endif
