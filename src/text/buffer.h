/* text/buffer.h - bytes that grow at their end. */
#ifndef BT_TEXT_BUFFER_H
#define BT_TEXT_BUFFER_H

#include <stdbool.h>
#include <stddef.h>

struct bt_buffer { /* zeroed: empty */
    char *at;
    size_t size, capacity;
};

/* Room for `more` bytes behind the ones that are there; false when memory is out, and then it stays as it was. */
bool bt_buffer_reserve(struct bt_buffer *buffer, size_t more);
bool bt_buffer_put(struct bt_buffer *buffer, const char *bytes, size_t size);
/* Every `from` (not empty) in a text becomes `to`, appended; from left to right, without overlap. */
bool bt_buffer_replace(struct bt_buffer *buffer, const char *text, size_t size, const char *from, size_t from_size,
                       const char *to, size_t to_size);
/* The first place of `what` (not empty) in a text, or NULL. */
const char *bt_find(const char *text, size_t size, const char *what, size_t what_size);
void bt_buffer_finish(struct bt_buffer *buffer);

#endif
