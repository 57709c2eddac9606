/* bitnet-report - a page about runs, or their essentials on the terminal. */
#include <langinfo.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "io/file.h"
#include "options.h"
#include "report/report.h"
#include "stop.h"

struct request {
    const char *out;
    bool text, watch;
    uint64_t every; /* seconds */
};

static enum bt_err print_text(const struct bt_report *report, struct bt_diag *diag)
{
    setlocale(LC_CTYPE, ""); /* what the terminal shows; numbers stay in the C locale */
    char *text = bt_report_text(report, !strcmp(nl_langinfo(CODESET), "UTF-8"));
    if (!text)
        return bt_fail_nomem(diag);
    fputs(text, stdout);
    bt_free(text);
    return BT_OK;
}

static enum bt_err write_page(const struct request *r, const struct bt_report *report, struct bt_diag *diag)
{
    const bool again = r->watch && bt_report_goes_on(report);
    char *page = bt_report_page(report, BT_VERSION, again ? (unsigned)r->every : 0);
    if (!page)
        return bt_fail_nomem(diag);
    const enum bt_err err = bt_file_replace(r->out, page, strlen(page), diag);
    bt_free(page);
    return err;
}

/* Sleeps in short pieces, so that a signal is seen soon. */
static bool wait_to_write_again(uint64_t seconds)
{
    const struct timespec piece = {.tv_nsec = 100000000};
    for (uint64_t i = 0; i < 10 * seconds && !bt_stop_requested(); i++)
        nanosleep(&piece, NULL);
    return !bt_stop_requested();
}

/* One reading and what is made of it. */
static enum bt_err make_report(const struct request *r, const struct bt_command_line *line, bool *ret_goes_on,
                               struct bt_diag *diag)
{
    struct bt_report report;
    enum bt_err err = bt_report_read(line->operands, line->operand_count, &report, diag);
    if (err)
        return err;
    *ret_goes_on = bt_report_goes_on(&report);
    err = r->text ? print_text(&report, diag) : write_page(r, &report, diag);
    bt_report_finish(&report);
    return err;
}

static enum bt_err watch(const struct request *r, const struct bt_command_line *line, struct bt_diag *diag)
{
    bool goes_on = true;
    bt_stop_install();
    while (goes_on) {
        const enum bt_err err = make_report(r, line, &goes_on, diag);
        if (err)
            return err;
        if (goes_on && !wait_to_write_again(r->every))
            return bt_fail(diag, BT_ESTOPPED, "stopped; %s is as the runs were then", r->out);
    }
    return BT_OK;
}

static enum bt_err run(void *context, const struct bt_command_line *line, struct bt_diag *diag)
{
    const struct request *r = context;
    bool goes_on;
    if (!line->operand_count)
        return bt_fail(diag, BT_EUSAGE, "a run folder is missing, such as runs/quickstart");
    if (r->watch && r->text)
        return bt_fail(diag, BT_EUSAGE, "--watch: writes a page again and again, which does not go with --text");
    const enum bt_err err = r->watch ? watch(r, line, diag) : make_report(r, line, &goes_on, diag);
    if (!err && !r->text && !line->quiet)
        printf("%s\n", r->out);
    return err;
}

int main(int argc, char **argv)
{
    struct request request = {.out = "report.html", .every = 10};
    const struct bt_option options[] = {
        {"out", "FILE", BT_OPTION_TEXT, &request.out, 0, "the page (default: report.html)"},
        {"text", NULL, BT_OPTION_FLAG, &request.text, 0, "the essentials on the terminal in place of a page"},
        {"watch", NULL, BT_OPTION_FLAG, &request.watch, 0,
         "write the page again, and let it reload itself, until all runs are finished"},
        {"every", "SECONDS", BT_OPTION_NUMBER, &request.every, 1, "with --watch (default: 10)"},
    };
    const struct bt_program program = {
        .name = "bitnet-report",
        .usage = "bitnet-report [OPTION]... RUN...",
        .purpose =
            "Writes a page about one or more run folders: losses, schedules, telemetry, samples, configs and where\n"
            "they differ. One HTML file that needs no network and no script.",
        .options = options,
        .option_count = sizeof options / sizeof options[0],
    };
    return bt_program_run(&program, argc, argv, run, &request);
}
