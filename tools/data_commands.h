/* tools/data_commands.h - the commands of bitnet-data. argv[0] is the name of the command; each gives the exit status.
 */
#ifndef BT_TOOLS_DATA_COMMANDS_H
#define BT_TOOLS_DATA_COMMANDS_H

#include "options.h"

int bt_data_generate(int argc, char **argv);
int bt_data_tokenize(int argc, char **argv);
int bt_data_inspect(int argc, char **argv);
int bt_data_split(int argc, char **argv);
int bt_data_train_tokenizer(int argc, char **argv);

/* data_inputs.c: what the commands that read files ask of their command lines. There must be one; kinds: what they may
 * be, ".txt and .jsonl". separator: NULL or the text of one line. BT_EUSAGE. */
enum bt_err bt_data_check_inputs(const struct bt_command_line *line, const char *kinds, const char *separator,
                                 struct bt_diag *diag);

#endif
