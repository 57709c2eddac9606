#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>

/* Names that come out of files are quoted in the sentences, and may hold anything. */
static void blank_control_characters(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < ' ' || *text == 0x7f)
            *text = ' ';
}

enum bt_err bt_fail(struct bt_diag *diag, enum bt_err err, const char *format, ...)
{
    if (diag) {
        va_list args;
        va_start(args, format);
        vsnprintf(diag->text, sizeof diag->text, format, args);
        va_end(args);
        blank_control_characters(diag->text);
    }
    return err;
}

enum bt_err bt_fail_nomem(struct bt_diag *diag)
{
    return bt_fail(diag, BT_ENOMEM, "out of memory");
}

int bt_exit_code(enum bt_err err)
{
    static const int codes[] = {
        [BT_OK] = 0,     [BT_EUSAGE] = 2, [BT_EINPUT] = 3,   [BT_EDIVERGED] = 4,
        [BT_ENOMEM] = 5, [BT_EIO] = 5,    [BT_EPARTIAL] = 6, [BT_ESTOPPED] = 75,
    };
    return codes[err];
}
