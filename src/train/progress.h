/* train/progress.h - a run's progress as text for people. Only formats: who writes it where is the tool's business.
 * Plain ASCII. Every function writes at most `size` bytes with the NUL, cuts what is longer and returns the length. */
#ifndef BT_TRAIN_PROGRESS_H
#define BT_TRAIN_PROGRESS_H

#include <stddef.h>
#include <stdint.h>

struct bt_progress {
    const char *stage;   /* "stage2" */
    int64_t step, steps; /* update n of N */
    double loss;         /* not finite: left out, as are the ones below */
    double tokens_per_second;
    double lambda, lr;
    double seconds_left;
};

/* "stage2 120/1000  loss 3.2104  812 tokens/s  lambda 0.238  lr 2.00e-05  1 h 02 m left" */
size_t bt_progress_line(char *buf, size_t size, const struct bt_progress *progress);
/* "stage2 [####------]  12% 120/1000  loss ..." for a terminal of `width` columns: parts that do not fit are left out
 * from the right, and the bar takes up to 30 columns. Never longer than width - 1, so that no terminal wraps the line.
 */
size_t bt_progress_bar(char *buf, size_t size, size_t width, const struct bt_progress *progress);

size_t bt_format_duration(char *buf, size_t size, double seconds); /* "8 s", "3 m 05 s", "1 h 02 m", "2 d 03 h" */
size_t bt_format_bytes(char *buf, size_t size, uint64_t bytes);    /* "512 B", "1.2 GB"; powers of 1000 */
size_t bt_format_rate(char *buf, size_t size, double per_second);  /* "0.52", "8.1", "812", "12.3k", "1.20M" */

#endif
