#include "stop.h"

#include <signal.h>
#include <stddef.h>

static volatile sig_atomic_t requested;

/* The signal stays blocked while its handler runs, so what is raised here arrives when the handler returns, and finds
 * the default action. */
static void on_signal(int number)
{
    if (requested) {
        signal(number, SIG_DFL);
        raise(number);
    } else {
        requested = number;
    }
}

void bt_stop_install(void)
{
    /* Each handler holds back both signals; a call that it interrupts goes on afterwards. Installed also where the
     * signal was ignored: a shell without job control starts its background programs with SIGINT ignored, and a request
     * to stop must reach those too. */
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaddset(&action.sa_mask, SIGINT);
    sigaddset(&action.sa_mask, SIGTERM);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

int bt_stop_requested(void)
{
    return requested;
}
