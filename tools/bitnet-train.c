/* bitnet-train - the stages of one YAML config, from a pretrained model to a ternary one. */
#include <inttypes.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/cpu.h"
#include "base/mem.h"
#include "options.h"
#include "plan_report.h"
#include "stop.h"
#include "tokenize_screen.h"
#include "train/run.h"

struct arguments {
    const char *config, *resume, *progress;
    struct bt_option_list sets;
    uint64_t threads;
    bool dry_run, print_config;
};

struct screen { /* where progress goes: stderr */
    bool quiet, bar, lines;
    bool bar_shown;
    int64_t log_interval;
    double last_bar;
    const char *style;
    struct bt_screen text; /* while text is tokenized: */
    bool text_begun;       /* and not read to its end */
};

static void clear_bar(struct screen *screen)
{
    if (screen->bar_shown)
        fputs("\r\033[K", stderr);
    screen->bar_shown = false;
    bt_screen_clear(&screen->text);
}

static void say(void *context, const char *sentence)
{
    struct screen *screen = context;
    if (screen->quiet)
        return;
    clear_bar(screen);
    fprintf(stderr, "%s\n", sentence);
    fflush(stderr);
}

static size_t terminal_width(void)
{
    struct winsize size;
    return !ioctl(STDERR_FILENO, TIOCGWINSZ, &size) && size.ws_col ? size.ws_col : 80;
}

/* At most ten times a second, and at the last update. */
static void draw_bar(struct screen *screen, const struct bt_progress *progress)
{
    char text[512];
    const double now = omp_get_wtime();
    if (now - screen->last_bar < 0.1 && progress->step < progress->steps)
        return;
    screen->last_bar = now;
    bt_progress_bar(text, sizeof text, terminal_width(), progress);
    fprintf(stderr, "\r\033[K%s", text);
    fflush(stderr);
    screen->bar_shown = true;
}

static void show_progress(void *context, const struct bt_progress *progress)
{
    struct screen *screen = context;
    char text[512];
    if (screen->bar)
        draw_bar(screen, progress);
    const bool due = progress->step % screen->log_interval == 0 || progress->step == progress->steps;
    if (screen->lines && due) {
        bt_progress_line(text, sizeof text, progress);
        fprintf(stderr, "%s\n", text);
        fflush(stderr);
    }
}

static void show_tokenizing(void *context, const struct bt_tokenize_progress *progress)
{
    struct screen *screen = context;
    if (!screen->text_begun)
        bt_screen_open(&screen->text, screen->style, screen->quiet);
    screen->text_begun = progress->position < progress->size;
    bt_show_tokenizing(&screen->text, progress);
}

static bool stop_requested(void *context)
{
    (void)context;
    return bt_stop_requested() != 0;
}

static void choose_progress(struct screen *screen, const char *style, bool quiet, int64_t log_interval)
{
    const bool terminal = isatty(STDERR_FILENO);
    screen->quiet = quiet;
    screen->style = style;
    screen->log_interval = log_interval > 0 ? log_interval : 1;
    screen->bar = !quiet && (!strcmp(style, "bar") || (!strcmp(style, "auto") && terminal));
    screen->lines = !quiet && (!strcmp(style, "lines") || (!strcmp(style, "auto") && !terminal));
}

static enum bt_resume resume_of(const char *word)
{
    if (!strcmp(word, "never"))
        return BT_RESUME_NEVER;
    return !strcmp(word, "required") ? BT_RESUME_REQUIRED : BT_RESUME_AUTO;
}

static enum bt_err print_config(const struct bt_train_config *config, struct bt_diag *diag)
{
    char *text = bt_train_config_print(config);
    if (!text)
        return bt_fail_nomem(diag);
    fputs(text, stdout);
    bt_free(text);
    return BT_OK;
}

static enum bt_err dry_run(const struct bt_train_config *config, struct screen *screen, struct bt_diag *diag)
{
    struct bt_run_plan plan;
    const struct bt_observer observer = {.context = screen, .say = say, .tokenizing = show_tokenizing};
    const struct bt_run run_of_config = {.config = config, .observer = &observer};
    const enum bt_err err = bt_plan_run(&run_of_config, &plan, diag);
    clear_bar(screen);
    if (!err)
        bt_print_plan(stdout, &plan);
    return err;
}

static enum bt_err train(const struct bt_train_config *config, const struct arguments *arguments, struct screen *screen,
                         struct bt_diag *diag)
{
    const struct bt_observer observer = {.context = screen,
                                         .say = say,
                                         .progress = show_progress,
                                         .tokenizing = show_tokenizing,
                                         .stop = stop_requested};
    const struct bt_run_options options = {.resume = resume_of(arguments->resume), .version = BT_VERSION};
    bt_stop_install();
    const enum bt_err err = bt_run_config(config, &observer, &options, diag);
    clear_bar(screen);
    return err;
}

/* --threads stands in place of the key, also where the config is printed and kept, and has its bounds. */
static enum bt_err set_threads(struct bt_train_config *config, uint64_t threads, struct bt_diag *diag)
{
    const enum bt_err err = bt_check_threads(threads, diag);
    if (err)
        return err;
    if (threads)
        config->compute.threads = config->written->compute.threads = (int64_t)threads;
    omp_set_num_threads(config->compute.threads ? (int)config->compute.threads : bt_cpu_count());
    return BT_OK;
}

static enum bt_err act(const struct bt_train_config *config, const struct arguments *arguments, bool quiet,
                       struct bt_diag *diag)
{
    struct screen screen = {0};
    choose_progress(&screen, arguments->progress, quiet, config->logging.log_interval);
    if (arguments->print_config)
        return print_config(config, diag);
    if (arguments->dry_run)
        return dry_run(config, &screen, diag);
    return train(config, arguments, &screen, diag);
}

static enum bt_err run(const struct arguments *arguments, bool quiet, struct bt_diag *diag)
{
    struct bt_train_config *config = NULL;
    enum bt_err err;
    if (!arguments->config)
        return bt_fail(diag, BT_EUSAGE, "--config FILE is missing; --help says more");
    err = bt_train_config_read(arguments->config, arguments->sets.values, arguments->sets.count, &config, diag);
    if (err)
        return err;
    if (!(err = set_threads(config, arguments->threads, diag)))
        err = act(config, arguments, quiet, diag);
    bt_train_config_destroy(config);
    return err;
}

/* The exit status. */
static int obey(const struct bt_program *program, struct arguments *arguments, int argc, char **argv,
                struct bt_command_line *line)
{
    struct bt_diag diag = {0};
    enum bt_err err = BT_OK;
    if (!line->operands || !arguments->sets.values)
        err = bt_fail_nomem(&diag);
    if (!err)
        err = bt_options_parse(program, argc, argv, line, &diag);
    if (!err && line->help)
        return bt_program_help(program);
    if (!err && line->version)
        return bt_program_version(program);
    if (!err && line->operand_count)
        err = bt_fail(&diag, BT_EUSAGE, "there is no use for the argument \"%s\"", line->operands[0]);
    if (!err)
        err = run(arguments, line->quiet, &diag);
    return bt_program_end(program, err, &diag);
}

int main(int argc, char **argv)
{
    struct arguments arguments = {.resume = "auto", .progress = "auto"};
    const struct bt_option options[] = {
        {"config", "FILE", BT_OPTION_TEXT, &arguments.config, 0, "the run's YAML file"},
        {"set", "KEY=VALUE", BT_OPTION_LIST, &arguments.sets, 0, "override a key, as in stage2.optimizer.lr=3e-4"},
        {"resume", "auto|never|required", BT_OPTION_CHOICE, &arguments.resume, 0,
         "continue the run folder's run (auto), refuse one that has begun, or one that has not"},
        {"threads", "N", BT_OPTION_NUMBER, &arguments.threads, 1, "in place of compute.threads"},
        {"dry-run", NULL, BT_OPTION_FLAG, &arguments.dry_run, 0,
         "check config and inputs, print memory, disk and updates, train nothing"},
        {"print-config", NULL, BT_OPTION_FLAG, &arguments.print_config, 0, "print every key with its value"},
        {"progress", "auto|bar|lines|none", BT_OPTION_CHOICE, &arguments.progress, 0, "how progress is shown"},
    };
    const struct bt_program program = {
        .name = "bitnet-train",
        .usage = "bitnet-train --config run.yaml [OPTION]...",
        .purpose = "Turns a pretrained Hugging Face model into a ternary BitNet model: runs the stages of one config,\n"
                   "or continues them where they were interrupted.",
        .options = options,
        .option_count = sizeof options / sizeof *options};
    struct bt_command_line line = {0};
    line.operands = calloc((size_t)argc + 1, sizeof *line.operands);
    arguments.sets.values = calloc((size_t)argc + 1, sizeof *arguments.sets.values);
    const int status = obey(&program, &arguments, argc, argv, &line);
    free(line.operands);
    free(arguments.sets.values);
    return status;
}
