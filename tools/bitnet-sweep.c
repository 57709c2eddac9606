/* bitnet-sweep - many runs, one table. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cpu.h"
#include "base/mem.h"
#include "io/file.h"
#include "options.h"
#include "stop.h"
#include "sweep/forecast.h"
#include "sweep/sweep.h"
#include "sweep/table.h"
#include "sweep/work.h"

struct arguments {
    const char *config;
    struct bt_option_list sets;
    uint64_t index, jobs, threads;
    bool list, dry_run;
};

static void say(void *context, const char *sentence)
{
    const bool *quiet = context;
    if (*quiet)
        return;
    fprintf(stderr, "%s\n", sentence);
    fflush(stderr);
}

static bool stop_requested(void *context)
{
    (void)context;
    return bt_stop_requested() != 0;
}

/* The bitnet-train that was built with this program, wherever both lie. */
static char *find_trainer(struct bt_diag *diag)
{
    char self[4096];
    const ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    if (length < 0) {
        bt_fail(diag, BT_EINPUT, "/proc/self/exe: cannot find out where this program lies");
        return NULL;
    }
    self[length] = '\0';
    char *folder = bt_path_parent(self);
    char *trainer = folder ? bt_path_join(folder, "bitnet-train") : NULL;
    bt_free(folder);
    if (!trainer) {
        bt_fail_nomem(diag);
    } else if (access(trainer, X_OK)) {
        bt_fail(diag, BT_EINPUT, "%s: not a program, expected the bitnet-train that runs the members", trainer);
        bt_free(trainer);
        trainer = NULL;
    }
    return trainer;
}

static enum bt_err print_list(const struct bt_sweep *sweep, struct bt_diag *diag)
{
    enum bt_err err = BT_OK;
    for (size_t i = 0; !err && i < sweep->member_count; i++) {
        struct bt_sweep_outcome outcome;
        err = bt_sweep_look(sweep, &sweep->runs[i], true, &outcome, diag);
        if (err)
            break;
        printf("%4zu  %-11s  %s\n", i + 1, bt_sweep_status_name(outcome.status), sweep->runs[i].path);
        bt_sweep_outcome_finish(&outcome);
    }
    return err;
}

static size_t jobs_of(const struct bt_sweep *sweep, const struct arguments *arguments)
{
    return arguments->jobs ? (size_t)arguments->jobs : (size_t)sweep->file->jobs;
}

static size_t threads_of(const struct bt_sweep *sweep, const struct arguments *arguments)
{
    const size_t threads = arguments->threads ? (size_t)arguments->threads : (size_t)sweep->file->threads;
    return threads ? threads : (size_t)bt_cpu_count();
}

static void print_forecast_run(const struct bt_sweep *sweep, size_t i, const struct bt_forecast_run *run)
{
    char number[24] = "", memory[32] = "-", duration[32] = "-";
    if (i < sweep->member_count)
        snprintf(number, sizeof number, "%zu", i + 1);
    if (!run->finished) {
        bt_format_bytes(memory, sizeof memory, run->memory);
        bt_format_duration(duration, sizeof duration, run->seconds);
    }
    printf("%5s  %9" PRId64 "  %9s  %11s  %s\n", number, run->updates, memory, duration, sweep->runs[i].name);
}

static void print_forecast(const struct bt_sweep *sweep, const struct bt_forecast *forecast, size_t jobs)
{
    char duration[32];
    int64_t updates = 0;
    size_t finished = 0;
    printf("%5s  %9s  %9s  %11s  %s\n", "", "updates", "memory", "about", "run");
    for (size_t i = 0; i < sweep->run_count; i++) {
        print_forecast_run(sweep, i, &forecast->runs[i]);
        updates += forecast->runs[i].updates;
        finished += i < sweep->member_count && forecast->runs[i].finished;
    }
    bt_format_duration(duration, sizeof duration, forecast->seconds);
    printf("\n%zu members, %zu of them finished; %zu runs that they share; %" PRId64 " updates left\n",
           sweep->member_count, finished, sweep->run_count - sweep->member_count, updates);
    printf("about %s with %zu at once, ", duration, jobs);
    if (forecast->rate_runs)
        printf("as fast as the %zu finished runs here were\n", forecast->rate_runs);
    else
        printf("guessed from the speed of a matrix product; better once a run is finished\n");
}

static enum bt_err dry_run(const struct bt_sweep *sweep, const struct arguments *arguments, bool quiet,
                           struct bt_diag *diag)
{
    const size_t jobs = jobs_of(sweep, arguments);
    const struct bt_observer observer = {.context = &quiet, .say = say};
    struct bt_forecast forecast;
    const enum bt_err err = bt_sweep_forecast(sweep, jobs, threads_of(sweep, arguments), &observer, &forecast, diag);
    if (err)
        return err;
    print_forecast(sweep, &forecast, jobs);
    bt_forecast_finish(&forecast);
    return BT_OK;
}

static enum bt_err print_table(const struct bt_sweep *sweep, struct bt_diag *diag)
{
    struct bt_sweep_table table = {0};
    enum bt_err err = bt_sweep_table_make(sweep, true, &table, diag);
    if (err)
        return err;
    char *text = bt_sweep_table_text(&table);
    err = text ? bt_sweep_table_write(&table, diag) : bt_fail_nomem(diag);
    if (text)
        fputs(text, stdout);
    bt_free(text);
    bt_sweep_table_finish(&table);
    return err;
}

static enum bt_err work(const struct bt_sweep *sweep, const struct arguments *arguments, bool quiet,
                        struct bt_diag *diag)
{
    struct bt_diag table_diag = {""};
    struct bt_sweep_work w = {.sweep = sweep,
                              .only = arguments->index ? (size_t)arguments->index - 1 : BT_SWEEP_NONE,
                              .jobs = jobs_of(sweep, arguments),
                              .threads = threads_of(sweep, arguments),
                              .context = &quiet,
                              .say = say,
                              .stop = stop_requested};
    char *trainer = find_trainer(diag);
    if (!trainer)
        return *diag->text ? BT_EINPUT : BT_ENOMEM;
    w.trainer = trainer;
    bt_stop_install();
    const enum bt_err err = bt_sweep_work(&w, diag);
    bt_free(trainer);
    if (err && err != BT_EPARTIAL && err != BT_ESTOPPED)
        return err;
    const enum bt_err table_err = print_table(sweep, &table_diag);
    if (table_err)
        *diag = table_diag;
    return table_err ? table_err : err;
}

static enum bt_err check_numbers(const struct bt_sweep *sweep, const struct arguments *arguments, struct bt_diag *diag)
{
    if (arguments->index > sweep->member_count)
        return bt_fail(diag, BT_EUSAGE, "--index: found %" PRIu64 ", expected a member from 1 to %zu", arguments->index,
                       sweep->member_count);
    if (arguments->threads > BT_THREADS_MAX)
        return bt_fail(diag, BT_EUSAGE, "--threads: found %" PRIu64 ", expected a whole number from 1 to %d",
                       arguments->threads, BT_THREADS_MAX);
    if (arguments->jobs > BT_SWEEP_JOBS_MAX)
        return bt_fail(diag, BT_EUSAGE, "--jobs: found %" PRIu64 ", expected a whole number from 1 to %d",
                       arguments->jobs, BT_SWEEP_JOBS_MAX);
    return BT_OK;
}

static enum bt_err act(const struct bt_sweep *sweep, const struct arguments *arguments, bool quiet,
                       struct bt_diag *diag)
{
    const enum bt_err err = check_numbers(sweep, arguments, diag);
    if (err)
        return err;
    if (sweep->repeated && !quiet)
        fprintf(stderr, "%zu combinations are the same run as an earlier one\n", sweep->repeated);
    if (arguments->list)
        return print_list(sweep, diag);
    return arguments->dry_run ? dry_run(sweep, arguments, quiet, diag) : work(sweep, arguments, quiet, diag);
}

static enum bt_err run(void *request, const struct bt_command_line *line, struct bt_diag *diag)
{
    const struct arguments *arguments = request;
    struct bt_sweep_file *file;
    struct bt_sweep *sweep;
    if (line->operand_count)
        return bt_fail(diag, BT_EUSAGE, "there is no use for the argument \"%s\"", line->operands[0]);
    if (!arguments->config)
        return bt_fail(diag, BT_EUSAGE, "--config FILE is missing; --help says more");
    enum bt_err err = bt_sweep_file_read(arguments->config, &file, diag);
    if (err || (err = bt_sweep_lay_out(file, arguments->sets.values, arguments->sets.count, &sweep, diag)))
        return err;
    err = act(sweep, arguments, line->quiet, diag);
    bt_sweep_destroy(sweep);
    return err;
}

int main(int argc, char **argv)
{
    struct arguments arguments = {0};
    const struct bt_option options[] = {
        {"config", "FILE", BT_OPTION_TEXT, &arguments.config, 0, "the sweep's YAML file"},
        {"set", "KEY=VALUE", BT_OPTION_LIST, &arguments.sets, 0, "override a key of every member's config"},
        {"jobs", "N", BT_OPTION_NUMBER, &arguments.jobs, 1, "members at once, in place of the file's"},
        {"threads", "N", BT_OPTION_NUMBER, &arguments.threads, 1, "of all members together, in place of the file's"},
        {"index", "I", BT_OPTION_NUMBER, &arguments.index, 1, "run this member alone, counted from 1 as --list does"},
        {"dry-run", NULL, BT_OPTION_FLAG, &arguments.dry_run, 0,
         "check all members and their inputs, print updates and the time they may take, run nothing"},
        {"list", NULL, BT_OPTION_FLAG, &arguments.list, 0, "print the members and how far they are, run nothing"},
    };
    const struct bt_program program = {
        .name = "bitnet-sweep",
        .usage = "bitnet-sweep --config sweep.yaml [OPTION]...",
        .purpose = "Runs one config with many values of its keys, or continues where that was interrupted, and prints\n"
                   "one table of the results.",
        .options = options,
        .option_count = sizeof options / sizeof *options};
    arguments.sets.values = bt_zalloc((size_t)argc, sizeof *arguments.sets.values);
    const int status =
        arguments.sets.values ? bt_program_run(&program, argc, argv, run, &arguments) : bt_exit_code(BT_ENOMEM);
    bt_free(arguments.sets.values);
    return status;
}
