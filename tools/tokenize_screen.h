/* tools/tokenize_screen.h - how far tokenizing has come, on stderr: for the programs that do it. */
#ifndef BT_TOOLS_TOKENIZE_SCREEN_H
#define BT_TOOLS_TOKENIZE_SCREEN_H

#include "data_screen.h"
#include "text/tokenize.h"

/* For bt_tokenize_options.progress: context is a struct bt_screen. */
void bt_show_tokenizing(void *context, const struct bt_tokenize_progress *progress);
/* "1.2 GB, 35.1 MB/s, 310M tokens, 9.02M tokens/s" */
void bt_say_tokenized(const struct bt_screen *screen, const struct bt_tokenize_progress *progress);

#endif
