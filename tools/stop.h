/* tools/stop.h - SIGINT and SIGTERM as a request to stop.
 *
 * The first signal only leaves a mark, so that the program can finish what it is doing and save. A second one, of
 * either kind, ends the program by that signal at once: whoever waits for it sees what happened. */
#ifndef BT_TOOLS_STOP_H
#define BT_TOOLS_STOP_H

void bt_stop_install(void);
/* The number of the signal that came, 0 while there was none. */
int bt_stop_requested(void);

#endif
