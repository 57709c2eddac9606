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

/* The template itself: chat_template.jinja of a model folder, else "chat_template" in its tokenizer_config.json (of
 * several the one named "default"), or that of a GGUF file. *ret_text is NULL where there is none. *ret_what, a path,
 * names where it stands. Both are owned by the caller. */
enum bt_err bt_chat_template_read(const char *path, char **ret_text, char **ret_what, struct bt_diag *diag);
/* path: as above. "none" where it has no template. BT_EINPUT names the file when the template is not a known one,
 * or the file cannot be read. */
enum bt_err bt_chat_template_find(const char *path, struct bt_chat_found *ret_found, struct bt_diag *diag);
/* The same for a template's text; `what` names it in errors. */
enum bt_err bt_chat_template_recognise(const char *text, size_t size, const char *what, struct bt_chat_found *ret_found,
                                       struct bt_diag *diag);

#endif
