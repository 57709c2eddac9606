#include "sweep/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/file.h"

enum { CANNOT_START = 127 }; /* as a shell has it */

/* In the child, after fork: nothing but what signal handlers may call, too. */
static void become(const char *const *argv, int log, int claim, pid_t parent)
{
    const int nothing = open("/dev/null", O_RDONLY);
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) /* it died before that was set */
        _exit(CANNOT_START);
    if (nothing >= 0 && dup2(nothing, 0) >= 0 && dup2(log, 1) >= 0 && dup2(log, 2) >= 0 && !fcntl(claim, F_SETFD, 0))
        execv(argv[0], (char *const *)(uintptr_t)argv);
    _exit(CANNOT_START);
}

enum bt_err bt_child_start(const char *const *argv, const char *log, const struct bt_lock *claim,
                           struct bt_child *ret_child, struct bt_diag *diag)
{
    struct stat info;
    const pid_t parent = getpid();
    const int fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (fd < 0 || fstat(fd, &info)) {
        const enum bt_err err = bt_fail(diag, BT_EIO, "%s: cannot open: %s", log, strerror(errno));
        if (fd >= 0)
            close(fd);
        return err;
    }
    const pid_t pid = fork();
    if (pid == 0)
        become(argv, fd, bt_lock_descriptor(claim), parent);
    close(fd);
    if (pid < 0)
        return bt_fail(diag, BT_EIO, "%s: cannot start a process: %s", argv[0], strerror(errno));
    *ret_child = (struct bt_child){.pid = pid, .log_size = info.st_size};
    return BT_OK;
}

bool bt_child_has_ended(const struct bt_child *child, int *ret_status)
{
    return waitpid(child->pid, ret_status, WNOHANG) == child->pid;
}

void bt_child_signal(const struct bt_child *child, int number)
{
    kill(child->pid, number);
}

/* The last line of the text that begins with the program's name, in plain ASCII; NULL when none does. */
static char *last_words(const char *text, const char *program)
{
    const size_t length = strlen(program);
    const char *found = NULL;
    for (const char *line = text; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
        if (!strncmp(line, program, length) && !strncmp(line + length, ": ", 2))
            found = line + length + 2;
    char *words = found ? bt_strndup(found, strcspn(found, "\n")) : NULL;
    for (char *p = words; p && *p; p++)
        if (*p < ' ' || *p > '~')
            *p = '?';
    return words;
}

char *bt_child_error(const struct bt_child *child, int status, const char *program, const char *log)
{
    char *text = NULL, *words = NULL;
    size_t size = 0;
    if (WIFSIGNALED(status))
        return bt_sprintf("ended by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
    if (WEXITSTATUS(status) == CANNOT_START)
        return bt_strdup("bitnet-train could not be started");
    if (!bt_file_read(log, &text, &size, NULL) && (uint64_t)child->log_size <= size)
        words = last_words(text + child->log_size, program);
    bt_free(text);
    return words ? words : bt_sprintf("ended with exit code %d", WEXITSTATUS(status));
}
