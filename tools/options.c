#include "options.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "config/nearest.h"
#include "config/train_config.h"

/* The options that every program has, in the order of flag_target. */
static const struct bt_option common[] = {
    {.name = "help", .help = "print this and exit"},
    {.name = "version", .help = "print the version and exit"},
    {.name = "quiet", .help = "say nothing on stderr but errors"},
};
#define COMMON_COUNT (sizeof common / sizeof common[0])

static size_t all_count(const struct bt_program *program)
{
    return program->option_count + COMMON_COUNT;
}

static const struct bt_option *option_at(const struct bt_program *program, size_t i)
{
    return i < program->option_count ? &program->options[i] : &common[i - program->option_count];
}

static enum bt_err unknown(const struct bt_program *program, const char *name, int length, struct bt_diag *diag)
{
    char word[64];
    snprintf(word, sizeof word, "%.*s", length, name);
    const struct bt_option *nearest = option_at(program, 0);
    for (size_t i = 1; i < all_count(program); i++)
        if (bt_edit_distance(word, option_at(program, i)->name) < bt_edit_distance(word, nearest->name))
            nearest = option_at(program, i);
    if (bt_is_near(word, nearest->name))
        return bt_fail(diag, BT_EUSAGE, "unknown option \"--%.*s\"; did you mean \"--%s\"?", length, name,
                       nearest->name);
    return bt_fail(diag, BT_EUSAGE, "unknown option \"--%.*s\"; --help lists them all", length, name);
}

static const struct bt_option *find_option(const struct bt_program *program, const char *name, size_t length)
{
    for (size_t i = 0; i < all_count(program); i++) {
        const struct bt_option *option = option_at(program, i);
        if (strlen(option->name) == length && !strncmp(option->name, name, length))
            return option;
    }
    return NULL;
}

/* Whether value is one of the words between the bars. */
static bool is_choice(const char *words, const char *value)
{
    const size_t length = strlen(value);
    for (const char *word = words; word; word = strchr(word, '|') ? strchr(word, '|') + 1 : NULL)
        if (strcspn(word, "|") == length && !strncmp(word, value, length))
            return true;
    return false;
}

static enum bt_err take_number(const struct bt_option *option, const char *value, struct bt_diag *diag)
{
    char *end;
    errno = 0;
    const unsigned long long number = strtoull(value, &end, 10);
    if (!*value || strspn(value, "0123456789") != strlen(value) || errno || number < option->least)
        return bt_fail(diag, BT_EUSAGE, "--%s: found \"%s\", expected a whole number of at least %llu", option->name,
                       value, (unsigned long long)option->least);
    *(uint64_t *)option->target = number;
    return BT_OK;
}

static enum bt_err take_real(const struct bt_option *option, const char *value, struct bt_diag *diag)
{
    char *end;
    const double number = strtod(value, &end);
    if (!*value || *end || strspn(value, "0123456789.eE+-") != strlen(value) || !isfinite(number))
        return bt_fail(diag, BT_EUSAGE, "--%s: found \"%s\", expected a number", option->name, value);
    *(double *)option->target = number;
    return BT_OK;
}

static enum bt_err take_value(const struct bt_option *option, const char *value, struct bt_diag *diag)
{
    struct bt_option_list *list;
    switch (option->kind) {
    case BT_OPTION_FLAG:
        break;
    case BT_OPTION_NUMBER:
        return take_number(option, value, diag);
    case BT_OPTION_REAL:
        return take_real(option, value, diag);
    case BT_OPTION_CHOICE:
        if (!is_choice(option->value, value))
            return bt_fail(diag, BT_EUSAGE, "--%s: found \"%s\", expected one of %s", option->name, value,
                           option->value);
        *(const char **)option->target = value;
        break;
    case BT_OPTION_TEXT:
        *(const char **)option->target = value;
        break;
    case BT_OPTION_LIST:
        list = option->target;
        list->values[list->count++] = value;
        break;
    }
    return BT_OK;
}

static bool *flag_target(const struct bt_option *option, struct bt_command_line *line)
{
    bool *const targets[COMMON_COUNT] = {&line->help, &line->version, &line->quiet};
    for (size_t i = 0; i < COMMON_COUNT; i++)
        if (option == &common[i])
            return targets[i];
    return option->target;
}

/* argv[*i] is an option; *i moves on to its value when that is an argument of its own. */
static enum bt_err take_option(const struct bt_program *program, int argc, char **argv, int *i,
                               struct bt_command_line *line, struct bt_diag *diag)
{
    const char *name = argv[*i] + 2;
    const size_t length = strcspn(name, "=");
    const struct bt_option *option = find_option(program, name, length);
    const bool joined = name[length] == '=';
    if (!option)
        return unknown(program, name, (int)length, diag);
    if (option->kind == BT_OPTION_FLAG) {
        if (joined)
            return bt_fail(diag, BT_EUSAGE, "--%s takes no value", option->name);
        *flag_target(option, line) = true;
        return BT_OK;
    }
    if (!joined && *i + 1 >= argc)
        return bt_fail(diag, BT_EUSAGE, "--%s needs a value: %s", option->name, option->value);
    return take_value(option, joined ? name + length + 1 : argv[++*i], diag);
}

enum bt_err bt_options_parse(const struct bt_program *program, int argc, char **argv, struct bt_command_line *line,
                             struct bt_diag *diag)
{
    bool options = true;
    for (int i = 1; i < argc && !line->help && !line->version; i++) {
        if (options && !strcmp(argv[i], "--")) {
            options = false;
        } else if (options && !strncmp(argv[i], "--", 2)) {
            const enum bt_err err = take_option(program, argc, argv, &i, line, diag);
            if (err)
                return err;
        } else if (options && argv[i][0] == '-' && argv[i][1]) {
            return bt_fail(diag, BT_EUSAGE, "unknown option \"%s\"; options are long, --help lists them all", argv[i]);
        } else {
            line->operands[line->operand_count++] = argv[i];
        }
    }
    return BT_OK;
}

static int flush_stdout(const struct bt_program *program)
{
    if (!fflush(stdout) && !ferror(stdout))
        return 0;
    fprintf(stderr, "%s: standard output: %s\n", program->name, strerror(errno));
    return bt_exit_code(BT_EIO);
}

enum bt_err bt_check_threads(uint64_t threads, struct bt_diag *diag)
{
    if (threads > BT_THREADS_MAX)
        return bt_fail(diag, BT_EUSAGE, "--threads: found %" PRIu64 ", expected a whole number from 1 to %d", threads,
                       BT_THREADS_MAX);
    return BT_OK;
}

int bt_program_help(const struct bt_program *program)
{
    printf("usage: %s\n\n%s\n\n", program->usage, program->purpose);
    for (size_t i = 0; i < all_count(program); i++) {
        const struct bt_option *option = option_at(program, i);
        char left[80];
        snprintf(left, sizeof left, "--%s%s%s", option->name, option->value ? " " : "",
                 option->value ? option->value : "");
        if (strlen(left) > 24)
            printf("  %s\n  %-24s  %s\n", left, "", option->help);
        else
            printf("  %-24s  %s\n", left, option->help);
    }
    return flush_stdout(program);
}

int bt_program_version(const struct bt_program *program)
{
    printf("%s %s\n", program->name, BT_VERSION);
    return flush_stdout(program);
}

int bt_program_end(const struct bt_program *program, enum bt_err err, struct bt_diag *diag)
{
    const int failed_output = flush_stdout(program);
    if (!err)
        return failed_output;
    fprintf(stderr, "%s: %s\n", program->name, diag->text);
    return bt_exit_code(err);
}

int bt_program_run(const struct bt_program *program, int argc, char **argv,
                   enum bt_err (*run)(void *request, const struct bt_command_line *line, struct bt_diag *diag),
                   void *request)
{
    struct bt_diag diag = {""};
    struct bt_command_line line = {.operands = bt_zalloc((size_t)argc, sizeof *line.operands)};
    enum bt_err err = line.operands ? bt_options_parse(program, argc, argv, &line, &diag) : bt_fail_nomem(&diag);
    int status;
    if (!err && line.help)
        status = bt_program_help(program);
    else if (!err && line.version)
        status = bt_program_version(program);
    else
        status = bt_program_end(program, err ? err : run(request, &line, &diag), &diag);
    bt_free(line.operands);
    return status;
}
