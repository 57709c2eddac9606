/* config/text_buf.h - a string that grows at its end. A failed allocation is remembered, so only the last call needs a
 * check. */
#ifndef BT_CONFIG_TEXT_BUF_H
#define BT_CONFIG_TEXT_BUF_H

#include <stdbool.h>
#include <stddef.h>

struct bt_text_buf { /* starts zeroed */
    char *data;      /* NUL-terminated once something was added */
    size_t length, size;
    bool failed;
};

void bt_text_add(struct bt_text_buf *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* What was added, for bt_free; NULL when memory was out. The buffer is empty afterwards. */
char *bt_text_take(struct bt_text_buf *text);
void bt_text_finish(struct bt_text_buf *text); /* takes a zeroed one */

#endif
