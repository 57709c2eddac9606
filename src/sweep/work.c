#include "sweep/work.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "io/file.h"
#include "sweep/child.h"
#include "sweep/outcome.h"
#include "sweep/take_over.h"
#include "train/progress.h"

enum { POLL_MS = 20 };
static const double LOOK_AGAIN_S = 0.3; /* at what another process holds */

enum task_state { TASK_WAITING, TASK_RUNNING, TASK_FINISHED, TASK_FAILED, TASK_INTERRUPTED };

struct task { /* one for each run of the sweep */
    enum task_state state;
    bool busy;             /* waiting: another process has it ... */
    double look_again;     /* ... and may have let go of it by then */
    int64_t failures;      /* of starts before this sweep's: one more, and another sweep has just tried it */
    struct bt_child child; /* running: */
    struct bt_lock *claim;
    size_t threads;
    double begun;
};

struct worker {
    const struct bt_sweep_work *work;
    const struct bt_sweep *sweep;
    struct task *tasks;
    size_t running;
    long threads_free; /* below 0 with more jobs than threads: each has one */
    bool changed;      /* something may be ready that was not when it was last looked for */
    bool stopping;
    struct bt_diag *diag;
};

static bool is_wanted(const struct worker *w, size_t member)
{
    return w->work->only == BT_SWEEP_NONE || w->work->only == member;
}

static size_t count_wanted(const struct worker *w)
{
    return w->work->only == BT_SWEEP_NONE ? w->sweep->member_count : 1;
}

static size_t count_state(const struct worker *w, enum task_state state)
{
    size_t count = 0;
    for (size_t i = 0; i < w->sweep->member_count; i++)
        count += is_wanted(w, i) && w->tasks[i].state == state;
    return count;
}

static void say(const struct worker *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(const struct worker *w, const char *format, ...)
{
    char sentence[4096];
    va_list args;
    if (!w->work->say)
        return;
    const int used = snprintf(sentence, sizeof sentence, "[%zu/%zu] ", count_state(w, TASK_FINISHED), count_wanted(w));
    va_start(args, format);
    vsnprintf(sentence + used, sizeof sentence - (size_t)used, format, args);
    va_end(args);
    w->work->say(w->work->context, sentence);
}

/* ---- how a task ends ---- */

/* Takes over the sentence; NULL: memory was out. Its claim is held. */
static enum bt_err fail_task(struct worker *w, size_t i, int exit_code, char *error)
{
    const struct bt_sweep_run *run = &w->sweep->runs[i];
    if (!error)
        return bt_fail_nomem(w->diag);
    w->tasks[i].state = TASK_FAILED;
    say(w, "%s: failed: %s", run->name, error);
    const enum bt_err err = bt_sweep_note_failure(w->sweep, run, exit_code, error, w->diag);
    bt_free(error);
    return err;
}

static void say_finished(const struct worker *w, size_t i)
{
    struct bt_sweep_outcome outcome;
    char duration[32], loss[48] = "";
    const struct bt_sweep_run *run = &w->sweep->runs[i];
    bt_format_duration(duration, sizeof duration, bt_clock_seconds() - w->tasks[i].begun);
    if (bt_sweep_look(w->sweep, run, false, &outcome, NULL))
        return;
    if (outcome.eval_loss == outcome.eval_loss)
        snprintf(loss, sizeof loss, "validation loss %.4f, ", outcome.eval_loss);
    bt_sweep_outcome_finish(&outcome);
    say(w, "%s: finished, %s%s", run->name, loss, duration);
}

static enum bt_err judge(struct worker *w, size_t i, int status)
{
    struct task *task = &w->tasks[i];
    const struct bt_sweep_run *run = &w->sweep->runs[i];
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0 && bt_sweep_is_finished(run)) {
        task->state = TASK_FINISHED;
        say_finished(w, i);
        return BT_OK;
    }
    const bool asked = WIFSIGNALED(status) && w->stopping; /* before it could save anything */
    if (asked || (WIFEXITED(status) && WEXITSTATUS(status) == bt_exit_code(BT_ESTOPPED))) {
        task->state = TASK_INTERRUPTED;
        say(w, "%s: stopped", run->name);
        return BT_OK;
    }
    char *log = bt_sweep_member_path(w->sweep, run, ".log");
    char *error = log ? bt_child_error(&task->child, status, "bitnet-train", log) : NULL;
    bt_free(log);
    return fail_task(w, i, WIFEXITED(status) ? WEXITSTATUS(status) : -1, error);
}

static void release(struct task *task)
{
    bt_lock_release(task->claim);
    task->claim = NULL;
}

static enum bt_err end_task(struct worker *w, size_t i, int status)
{
    struct task *task = &w->tasks[i];
    w->running--;
    w->threads_free += (long)task->threads;
    w->changed = true;
    const enum bt_err err = judge(w, i, status);
    release(task);
    return err;
}

static enum bt_err reap(struct worker *w)
{
    enum bt_err err = BT_OK;
    int status;
    for (size_t i = 0; i < w->sweep->run_count; i++)
        if (w->tasks[i].state == TASK_RUNNING && bt_child_has_ended(&w->tasks[i].child, &status)) {
            const enum bt_err ended = end_task(w, i, status);
            err = err ? err : ended;
        }
    return err;
}

/* ---- how a task begins ---- */

/* False when another process has it; says so once. */
static enum bt_err claim(struct worker *w, size_t i, bool *ret_claimed)
{
    struct task *task = &w->tasks[i];
    const struct bt_sweep_run *run = &w->sweep->runs[i];
    char *path = bt_sweep_member_path(w->sweep, run, ".lock");
    struct bt_diag why = {""};
    bool busy = false;
    if (!path)
        return bt_fail_nomem(w->diag);
    const enum bt_err err = bt_lock_try(path, &busy, &task->claim, &why);
    *ret_claimed = !err;
    w->changed = w->changed || busy; /* there is room for another one */
    if (busy && !task->busy)
        say(w, "waiting: %s", why.text);
    task->busy = busy;
    task->look_again = bt_clock_seconds() + LOOK_AGAIN_S;
    bt_free(path);
    return err && !busy ? bt_fail(w->diag, err, "%s", why.text) : BT_OK;
}

static enum bt_err write_config(const struct worker *w, const struct bt_sweep_run *run, const char *path)
{
    char *text = bt_train_config_print(run->config);
    const enum bt_err err = text ? bt_file_replace(path, text, strlen(text), w->diag) : bt_fail_nomem(w->diag);
    bt_free(text);
    return err;
}

static enum bt_err start_child(struct worker *w, size_t i, const char *config, const char *log)
{
    struct task *task = &w->tasks[i];
    char threads[32];
    snprintf(threads, sizeof threads, "%zu", task->threads);
    const char *const argv[] = {w->work->trainer, "--config",   config,  "--threads",
                                threads,          "--progress", "lines", NULL};
    const enum bt_err err = bt_child_start(argv, log, task->claim, &task->child, w->diag);
    if (err)
        return err;
    task->state = TASK_RUNNING;
    task->begun = bt_clock_seconds();
    w->running++;
    w->threads_free -= (long)task->threads;
    return BT_OK;
}

/* With its claim held. */
static enum bt_err prepare(struct worker *w, size_t i)
{
    const struct bt_sweep_run *run = &w->sweep->runs[i];
    const bool begun = bt_file_exists(run->path);
    enum bt_err err = bt_sweep_forget_error(w->sweep, run, w->diag);
    if (!err && run->parent != BT_SWEEP_NONE && !begun)
        err = bt_sweep_take_over(run, &w->sweep->runs[run->parent], w->diag);
    char *config = bt_sweep_member_path(w->sweep, run, ".yaml");
    char *log = bt_sweep_member_path(w->sweep, run, ".log");
    if (!err && (!config || !log))
        err = bt_fail_nomem(w->diag);
    if (!err)
        err = write_config(w, run, config);
    if (!err)
        err = start_child(w, i, config, log);
    if (!err)
        say(w, "%s: %s with %zu thread%s", run->name, begun ? "goes on" : "begins", w->tasks[i].threads,
            w->tasks[i].threads == 1 ? "" : "s");
    bt_free(config);
    bt_free(log);
    return err;
}

/* Has another process finished it, or failed at it, since it was last looked at? Or has it diverged? */
static bool is_settled(struct worker *w, size_t i)
{
    struct task *task = &w->tasks[i];
    const struct bt_sweep_run *run = &w->sweep->runs[i];
    if (bt_sweep_is_finished(run)) {
        task->state = TASK_FINISHED;
        return true;
    }
    const struct bt_sweep_failures failures = bt_sweep_failures(w->sweep, run);
    const bool failed = failures.diverged || failures.count > task->failures;
    if (failed)
        task->state = TASK_FAILED;
    return failed;
}

static enum bt_err start(struct worker *w, size_t i, size_t threads)
{
    struct task *task = &w->tasks[i];
    bool claimed = false;
    enum bt_err err = claim(w, i, &claimed);
    if (err || !claimed)
        return err;
    task->threads = threads;
    if (is_settled(w, i))
        w->changed = true;
    else
        err = prepare(w, i);
    if (task->state != TASK_RUNNING)
        release(task);
    return err;
}

/* ---- what is ready ---- */

/* A member whose shared stages have failed has failed as well. */
static enum bt_err fail_with_parent(struct worker *w, size_t i)
{
    const struct bt_sweep_run *run = &w->sweep->runs[i], *parent = &w->sweep->runs[run->parent];
    struct bt_sweep_outcome outcome;
    bool claimed = false;
    enum bt_err err = claim(w, i, &claimed);
    if (err || !claimed)
        return err;
    err = bt_sweep_look(w->sweep, parent, false, &outcome, w->diag);
    if (!err) {
        err = fail_task(w, i, -1, bt_sprintf("%s: %s", parent->name, outcome.error ? outcome.error : "failed"));
        bt_sweep_outcome_finish(&outcome);
    }
    release(&w->tasks[i]);
    return err;
}

/* The run to start so that run i gets further: itself, or what it takes over from; BT_SWEEP_NONE when that is running,
 * held by another process, or there is nothing left to do. */
static enum bt_err next_step(struct worker *w, size_t i, size_t *ret_step)
{
    struct task *task = &w->tasks[i];
    const struct bt_sweep_run *run = &w->sweep->runs[i];
    *ret_step = BT_SWEEP_NONE;
    if (task->state != TASK_WAITING || (task->busy && bt_clock_seconds() < task->look_again) || is_settled(w, i))
        return BT_OK;
    if (run->parent == BT_SWEEP_NONE || bt_file_exists(run->path)) {
        *ret_step = i;
        return BT_OK;
    }
    const enum bt_err err = next_step(w, run->parent, ret_step);
    if (err || *ret_step != BT_SWEEP_NONE)
        return err;
    switch (w->tasks[run->parent].state) {
    case TASK_FINISHED:
        *ret_step = i;
        break;
    case TASK_FAILED:
        return fail_with_parent(w, i);
    case TASK_INTERRUPTED:
        task->state = TASK_INTERRUPTED;
        break;
    case TASK_WAITING:
    case TASK_RUNNING:
        break;
    }
    return BT_OK;
}

static bool is_among(const size_t *list, size_t count, size_t value)
{
    for (size_t i = 0; i < count; i++)
        if (list[i] == value)
            return true;
    return false;
}

/* Up to `room` different runs that can start now. */
static enum bt_err collect_ready(struct worker *w, size_t *ready, size_t room, size_t *ret_count)
{
    enum bt_err err = BT_OK;
    size_t count = 0, step;
    for (size_t i = 0; !err && i < w->sweep->member_count && count < room; i++) {
        if (!is_wanted(w, i))
            continue;
        err = next_step(w, i, &step);
        if (!err && step != BT_SWEEP_NONE && !is_among(ready, count, step))
            ready[count++] = step;
    }
    *ret_count = count;
    return err;
}

/* The threads that are free are shared out among those that can start: the last one of a sweep has them all. */
static enum bt_err fill_slots(struct worker *w)
{
    size_t count;
    const size_t room = w->work->jobs - w->running;
    size_t *ready = bt_alloc(room * sizeof *ready);
    if (!ready)
        return bt_fail_nomem(w->diag);
    w->changed = false;
    enum bt_err err = collect_ready(w, ready, room, &count);
    for (size_t k = 0; !err && k < count; k++) {
        const long share = w->threads_free / (long)(count - k);
        err = start(w, ready[k], share > 0 ? (size_t)share : 1);
    }
    bt_free(ready);
    return err;
}

/* Is there anything that another process may have let go of by now? */
static bool is_due(const struct worker *w)
{
    const double now = bt_clock_seconds();
    for (size_t i = 0; i < w->sweep->run_count; i++)
        if (w->tasks[i].state == TASK_WAITING && w->tasks[i].busy && now >= w->tasks[i].look_again)
            return true;
    return false;
}

/* ---- from beginning to end ---- */

static void stop_all(struct worker *w)
{
    if (w->stopping)
        return;
    w->stopping = true;
    if (w->running)
        say(w, "stopping: %zu run%s to save", w->running, w->running == 1 ? "" : "s");
    for (size_t i = 0; i < w->sweep->run_count; i++)
        if (w->tasks[i].state == TASK_RUNNING)
            bt_child_signal(&w->tasks[i].child, SIGTERM);
}

static bool stop_requested(const struct worker *w)
{
    return w->work->stop && w->work->stop(w->work->context);
}

static void pause_a_moment(void)
{
    nanosleep(&(struct timespec){.tv_nsec = POLL_MS * 1000000L}, NULL);
}

/* After an error of our own: what runs is stopped and waited for. */
static enum bt_err run_all(struct worker *w)
{
    enum bt_err err = BT_OK;
    for (;;) {
        const enum bt_err ended = reap(w);
        err = err ? err : ended;
        if (err || stop_requested(w))
            stop_all(w);
        if (!w->stopping && w->running < w->work->jobs && (w->changed || is_due(w)))
            err = fill_slots(w);
        if (!w->running && (w->stopping || !count_state(w, TASK_WAITING)))
            return err;
        pause_a_moment();
    }
}

static enum bt_err conclude(const struct worker *w)
{
    const size_t failed = count_state(w, TASK_FAILED);
    if (w->stopping || (!failed && count_state(w, TASK_INTERRUPTED)))
        return bt_fail(w->diag, BT_ESTOPPED, "stopped with %zu of %zu members finished; the same command continues",
                       count_state(w, TASK_FINISHED), count_wanted(w));
    if (failed)
        return bt_fail(w->diag, BT_EPARTIAL, "%zu of %zu members failed; the table says which", failed,
                       count_wanted(w));
    return BT_OK;
}

static void finish_tasks(struct worker *w)
{
    for (size_t i = 0; w->tasks && i < w->sweep->run_count; i++)
        release(&w->tasks[i]);
    bt_free(w->tasks);
}

static enum bt_err make_folder(const struct bt_sweep *sweep, struct bt_diag *diag)
{
    char *path = bt_path_join(sweep->folder, "members");
    const enum bt_err err = path ? bt_dir_make(path, diag) : bt_fail_nomem(diag);
    bt_free(path);
    return err;
}

enum bt_err bt_sweep_work(const struct bt_sweep_work *work, struct bt_diag *diag)
{
    struct worker w = {
        .work = work, .sweep = work->sweep, .threads_free = (long)work->threads, .changed = true, .diag = diag};
    enum bt_err err = make_folder(work->sweep, diag);
    if (err)
        return err;
    w.tasks = bt_zalloc(work->sweep->run_count, sizeof *w.tasks);
    for (size_t i = 0; w.tasks && i < work->sweep->run_count; i++)
        w.tasks[i].failures = bt_sweep_failures(work->sweep, &work->sweep->runs[i]).count;
    err = w.tasks ? run_all(&w) : bt_fail_nomem(diag);
    if (!err)
        err = conclude(&w);
    finish_tasks(&w);
    return err;
}
