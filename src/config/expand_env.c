#include "config/expand_env.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "config/text_buf.h"

#define NAME_CHARS      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_"
#define NAME_MAX_LENGTH 128

/* text points behind "${". Gives the length of the name, 0 when there is none or no } after it. */
static size_t name_length(const char *text)
{
    const size_t length = strspn(text, NAME_CHARS);
    if (length > NAME_MAX_LENGTH || text[length] != '}' || (*text >= '0' && *text <= '9'))
        return 0;
    return length;
}

static enum bt_err add_variable(struct bt_text_buf *out, const char *text, size_t length, struct bt_diag *diag)
{
    char name[NAME_MAX_LENGTH + 1];
    if (!length)
        return bt_fail(diag, BT_EUSAGE,
                       "found \"${\" that is not followed by a name and \"}\" (\"$${\" stands for \"${\" "
                       "itself)");
    memcpy(name, text, length);
    name[length] = 0;
    const char *value = getenv(name);
    if (!value)
        return bt_fail(diag, BT_EUSAGE, "the environment variable \"%s\" is not set", name);
    bt_text_add(out, "%s", value);
    return BT_OK;
}

enum bt_err bt_expand_env(const char *text, char **ret_text, struct bt_diag *diag)
{
    struct bt_text_buf out = {0};
    while (*text) {
        if (!strncmp(text, "$${", 3)) {
            bt_text_add(&out, "${");
            text += 3;
        } else if (!strncmp(text, "${", 2)) {
            const size_t length = name_length(text + 2);
            const enum bt_err err = add_variable(&out, text + 2, length, diag);
            if (err) {
                bt_text_finish(&out);
                return err;
            }
            text += length + 3;
        } else {
            const size_t length = 1 + strcspn(text + 1, "$");
            bt_text_add(&out, "%.*s", (int)length, text);
            text += length;
        }
    }
    char *expanded = bt_text_take(&out);
    if (!expanded)
        return bt_fail_nomem(diag);
    *ret_text = expanded;
    return BT_OK;
}
