/* tools/options.h - the command line of a program: one table makes the parsing, the errors and the help.
 *
 * Options are long, "--name=value" or "--name value"; "--" ends them. Every program has --help, --version and --quiet
 * besides its own. The last of a repeated option counts, but for BT_OPTION_LIST, which keeps them all. */
#ifndef BT_TOOLS_OPTIONS_H
#define BT_TOOLS_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum bt_option_kind {
    BT_OPTION_FLAG,   /* bool: no value */
    BT_OPTION_TEXT,   /* const char *: borrowed from argv */
    BT_OPTION_CHOICE, /* const char *: one of the words in `value`, which are separated by bars */
    BT_OPTION_NUMBER, /* uint64_t: decimal digits, at least `least` */
    BT_OPTION_REAL,   /* double: a decimal number, "0.7" or "1e-3" */
    BT_OPTION_LIST,   /* struct bt_option_list: every value given, in order */
};

struct bt_option_list {
    const char **values; /* borrowed from argv; the caller gives room for argc of them */
    size_t count;
};

struct bt_option {
    const char *name;  /* without the dashes */
    const char *value; /* what --help calls the value: "FILE", "auto|never|required"; NULL for a flag */
    enum bt_option_kind kind;
    void *target;     /* of the type above; keeps what it holds when the option is absent */
    uint64_t least;   /* of a number */
    const char *help; /* one line */
};

struct bt_program {
    const char *name;    /* "bitnet-data generate": how errors begin */
    const char *usage;   /* the lines after "usage:" */
    const char *purpose; /* one paragraph */
    const struct bt_option *options;
    size_t option_count;
};

struct bt_command_line {
    bool help, version, quiet;
    const char **operands; /* what is not an option; the caller gives room for argc of them */
    size_t operand_count;
};

/* Parses argv[1] .. argv[argc - 1]. BT_EUSAGE: an unknown option (with the nearest name), a value that is missing, is
 * not wanted or is not of its kind. Stops at --help or --version: what stands after them is not looked at. */
enum bt_err bt_options_parse(const struct bt_program *program, int argc, char **argv, struct bt_command_line *line,
                             struct bt_diag *diag);

/* --threads has the bounds of the config's key; 0: not given. BT_EUSAGE. */
enum bt_err bt_check_threads(uint64_t threads, struct bt_diag *diag);

/* Both write to stdout and give the exit status: 0, or 5 when stdout cannot be written. */
int bt_program_help(const struct bt_program *program);
int bt_program_version(const struct bt_program *program);
/* Flushes stdout, says on stderr what went wrong ("<name>: <sentence>"), and gives the exit status of err. */
int bt_program_end(const struct bt_program *program, enum bt_err err, struct bt_diag *diag);
/* What a program, or a command of one, does around its work: parses the command line, answers --help and --version,
 * runs, says what went wrong. Gives the exit status. */
int bt_program_run(const struct bt_program *program, int argc, char **argv,
                   enum bt_err (*run)(void *request, const struct bt_command_line *line, struct bt_diag *diag),
                   void *request);

#endif
