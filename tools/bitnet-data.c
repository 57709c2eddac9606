/* bitnet-data - makes and looks at training data. */
#include <stdio.h>
#include <string.h>

#include "config/nearest.h"
#include "data_commands.h"
#include "options.h"

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
} commands[] = {
    {"generate", bt_data_generate},
    {"tokenize", bt_data_tokenize},
    {"inspect", bt_data_inspect},
    {"split", bt_data_split},
    {"train-tokenizer", bt_data_train_tokenizer},
};
#define COMMAND_COUNT (sizeof commands / sizeof commands[0])

static const struct bt_program program = {
    .name = "bitnet-data",
    .usage = "bitnet-data COMMAND [OPTION]...\n       bitnet-data COMMAND --help",
    .purpose = "Commands:\n"
               "  generate    documents of a probabilistic grammar, with the exact loss that is the best possible\n"
               "  tokenize    text files to token shards\n"
               "  inspect     what a token shard holds\n"
               "  split       a validation part held out of text files or token shards\n"
               "  train-tokenizer\n"
               "              a new tokenizer made from text files",
};

static enum bt_err unknown_command(const char *word, struct bt_diag *diag)
{
    size_t nearest = 0;
    for (size_t i = 1; i < COMMAND_COUNT; i++)
        if (bt_edit_distance(word, commands[i].name) < bt_edit_distance(word, commands[nearest].name))
            nearest = i;
    if (bt_is_near(word, commands[nearest].name))
        return bt_fail(diag, BT_EUSAGE, "unknown command \"%s\"; did you mean \"%s\"?", word, commands[nearest].name);
    return bt_fail(diag, BT_EUSAGE, "unknown command \"%s\"; --help lists them all", word);
}

/* The command line begins with an option: only --help and --version make sense there. */
static int without_command(int argc, char **argv, struct bt_diag *diag)
{
    const char *operands[1];
    struct bt_command_line line = {.operands = operands};
    const enum bt_err err = bt_options_parse(&program, argc < 2 ? argc : 2, argv, &line, diag);
    if (!err && line.help)
        return bt_program_help(&program);
    if (!err && line.version)
        return bt_program_version(&program);
    return bt_program_end(&program, err ? err : bt_fail(diag, BT_EUSAGE, "a command is missing; --help lists them all"),
                          diag);
}

int main(int argc, char **argv)
{
    struct bt_diag diag = {""};
    if (argc < 2 || argv[1][0] == '-')
        return without_command(argc, argv, &diag);
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (!strcmp(argv[1], commands[i].name))
            return commands[i].run(argc - 1, argv + 1);
    return bt_program_end(&program, unknown_command(argv[1], &diag), &diag);
}
