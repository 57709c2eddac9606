#include "data_screen.h"

#include <omp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "train/progress.h"

#define BAR_COLUMNS 30
#define BAR_EVERY   0.1  /* seconds */
#define LINE_EVERY  10.0 /* seconds */

void bt_screen_open(struct bt_screen *screen, const char *style, bool quiet)
{
    const bool terminal = isatty(STDERR_FILENO), automatic = !strcmp(style, "auto");
    *screen = (struct bt_screen){.bar = !quiet && (!strcmp(style, "bar") || (automatic && terminal)),
                                 .lines = !quiet && (!strcmp(style, "lines") || (automatic && !terminal))};
    screen->started = screen->last = omp_get_wtime();
}

/* "[####------]  41% " when it is known how much there is. */
static void draw_bar(uint64_t done, uint64_t all)
{
    char bar[BAR_COLUMNS + 1];
    fputs("\r\033[K", stderr);
    if (!all)
        return;
    const double part = done < all ? (double)done / (double)all : 1.0;
    memset(bar, '-', BAR_COLUMNS);
    memset(bar, '#', (size_t)(part * BAR_COLUMNS));
    bar[BAR_COLUMNS] = '\0';
    fprintf(stderr, "[%s] %3d%% ", bar, (int)(100 * part));
}

bool bt_screen_begin(struct bt_screen *screen, uint64_t done, uint64_t all)
{
    const double now = omp_get_wtime();
    if ((!screen->bar && !screen->lines) || now - screen->last < (screen->bar ? BAR_EVERY : LINE_EVERY))
        return false;
    screen->last = now;
    if (screen->bar)
        draw_bar(done, all);
    return true;
}

void bt_screen_end(struct bt_screen *screen)
{
    if (screen->lines)
        fputc('\n', stderr);
    fflush(stderr);
    screen->bar_shown = screen->bar;
}

void bt_screen_clear(struct bt_screen *screen)
{
    if (screen->bar_shown)
        fputs("\r\033[K", stderr);
    screen->bar_shown = false;
}

double bt_screen_seconds(const struct bt_screen *screen)
{
    const double elapsed = omp_get_wtime() - screen->started;
    return elapsed > 1e-3 ? elapsed : 1e-3;
}

void bt_screen_say_bytes(const struct bt_screen *screen, uint64_t bytes)
{
    char amount[32], rate[32];
    bt_format_bytes(amount, sizeof amount, bytes);
    bt_format_bytes(rate, sizeof rate, (uint64_t)((double)bytes / bt_screen_seconds(screen)));
    fprintf(stderr, "%s, %s/s", amount, rate);
}
