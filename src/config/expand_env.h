/* config/expand_env.h - ${NAME} in a string stands for an environment variable; $${ stands for ${ itself. */
#ifndef BT_CONFIG_EXPAND_ENV_H
#define BT_CONFIG_EXPAND_ENV_H

#include "base/err.h"

/* *ret_text is a new string for bt_free. BT_EUSAGE, with a sentence that begins at the fault (the caller puts the place
 * in front), when a variable is not set or ${ is not followed by a name and }. */
enum bt_err bt_expand_env(const char *text, char **ret_text, struct bt_diag *diag);

#endif
