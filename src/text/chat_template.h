/* text/chat_template.h - which chat format (text/chat.h) a folder's template stands for. */
#ifndef BT_TEXT_CHAT_TEMPLATE_H
#define BT_TEXT_CHAT_TEMPLATE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

struct bt_chat_found {
    const char *format; /* its name; never NULL */
    bool bos;           /* chatml: BOS in front */
    char *system;       /* chatml: what a conversation without a system message begins with, or NULL; owned */
};

/* folder: of the model. "none" where it has no template. BT_EINPUT names the file when the template is not a known one,
 * or the file cannot be read. */
enum bt_err bt_chat_template_find(const char *folder, struct bt_chat_found *ret_found, struct bt_diag *diag);
/* The same for a template's text; `what` names it in errors. */
enum bt_err bt_chat_template_recognise(const char *text, size_t size, const char *what, struct bt_chat_found *ret_found,
                                       struct bt_diag *diag);

#endif
