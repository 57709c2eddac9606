/* tools/data_commands.h - the commands of bitnet-data. argv[0] is the name of the command; each gives the exit status.
 */
#ifndef BT_TOOLS_DATA_COMMANDS_H
#define BT_TOOLS_DATA_COMMANDS_H

#include "options.h"

int bt_data_generate(int argc, char **argv);
int bt_data_tokenize(int argc, char **argv);
int bt_data_inspect(int argc, char **argv);
int bt_data_split(int argc, char **argv);

/* What a command does around its work: parses the command line, answers --help and --version, says what went wrong. */
int bt_data_command(const struct bt_program *program, int argc, char **argv,
                    enum bt_err (*run)(void *request, const struct bt_command_line *line, struct bt_diag *diag),
                    void *request);

#endif
