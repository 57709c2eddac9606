#include "config/text_buf.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/mem.h"

static bool reserve(struct bt_text_buf *text, size_t more)
{
    const size_t need = text->length + more + 1;
    if (need <= text->size)
        return true;
    const size_t size = need > 2 * text->size ? need : 2 * text->size;
    char *data = bt_realloc(text->data, size, 1);
    if (!data)
        return false;
    text->data = data;
    text->size = size;
    return true;
}

void bt_text_add(struct bt_text_buf *text, const char *format, ...)
{
    va_list args;
    if (text->failed)
        return;
    va_start(args, format);
    const int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (length < 0 || !reserve(text, (size_t)length)) {
        text->failed = true;
        return;
    }
    va_start(args, format);
    vsnprintf(text->data + text->length, (size_t)length + 1, format, args);
    va_end(args);
    text->length += (size_t)length;
}

char *bt_text_take(struct bt_text_buf *text)
{
    char *data;
    bt_text_add(text, "%s", ""); /* an empty text is a string too */
    if (text->failed) {
        bt_text_finish(text);
        return NULL;
    }
    data = text->data;
    *text = (struct bt_text_buf){0};
    return data;
}

void bt_text_finish(struct bt_text_buf *text)
{
    bt_free(text->data);
    *text = (struct bt_text_buf){0};
}
