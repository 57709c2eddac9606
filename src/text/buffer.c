#include "text/buffer.h"

#include <stdint.h>
#include <string.h>

#include "base/mem.h"

bool bt_buffer_reserve(struct bt_buffer *buffer, size_t more)
{
    if (buffer->at && more <= buffer->capacity - buffer->size)
        return true;
    if (more > SIZE_MAX / 4 - buffer->size)
        return false;
    const size_t capacity = buffer->size + more + buffer->capacity / 2 + 64;
    char *larger = bt_realloc(buffer->at, capacity, 1);
    if (!larger)
        return false;
    buffer->at = larger;
    buffer->capacity = capacity;
    return true;
}

bool bt_buffer_put(struct bt_buffer *buffer, const char *bytes, size_t size)
{
    if (!bt_buffer_reserve(buffer, size))
        return false;
    if (size)
        memcpy(buffer->at + buffer->size, bytes, size);
    buffer->size += size;
    return true;
}

/* What is looked for is mostly one character, which memchr finds faster than memmem; memmem is linear for any. */
const char *bt_find(const char *text, size_t size, const char *what, size_t what_size)
{
    if (size < what_size) /* an empty text may be NULL */
        return NULL;
    const char *end = text + size;
    if (what_size > 4)
        return memmem(text, size, what, what_size);
    while ((size_t)(end - text) >= what_size && (text = memchr(text, what[0], (size_t)(end - text) - what_size + 1))) {
        if (!memcmp(text, what, what_size))
            return text;
        text++;
    }
    return NULL;
}

bool bt_buffer_replace(struct bt_buffer *buffer, const char *text, size_t size, const char *from, size_t from_size,
                       const char *to, size_t to_size)
{
    if (size == 0) /* then it may be NULL */
        return bt_buffer_reserve(buffer, 0);
    const char *end = text + size;
    for (;;) {
        const char *hit = bt_find(text, (size_t)(end - text), from, from_size);
        if (!bt_buffer_put(buffer, text, (size_t)((hit ? hit : end) - text)))
            return false;
        if (!hit)
            return true;
        if (!bt_buffer_put(buffer, to, to_size))
            return false;
        text = hit + from_size;
    }
}

void bt_buffer_finish(struct bt_buffer *buffer)
{
    bt_free(buffer->at);
    *buffer = (struct bt_buffer){0};
}
