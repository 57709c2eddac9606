#include <string.h>

#include "data_commands.h"

enum bt_err bt_data_check_inputs(const struct bt_command_line *line, const char *kinds, const char *separator,
                                 struct bt_diag *diag)
{
    if (!line->operand_count)
        return bt_fail(diag, BT_EUSAGE, "no input is named; %s files were expected", kinds);
    if (separator && (!*separator || strchr(separator, '\n')))
        return bt_fail(diag, BT_EUSAGE, "--separator: expected the text of one line");
    return BT_OK;
}
