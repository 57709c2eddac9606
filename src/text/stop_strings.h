/* text/stop_strings.h - strings that end a text while it is made piece by piece. What may still become one is held
 * back, so that nothing of it is shown, wherever pieces are cut. */
#ifndef BT_TEXT_STOP_STRINGS_H
#define BT_TEXT_STOP_STRINGS_H

#include <stdbool.h>
#include <stddef.h>

#include "text/buffer.h"

struct bt_stop_strings {        /* set strings and count; the rest zeroed: the beginning of a text */
    const char *const *strings; /* borrowed, none empty */
    size_t count;
    struct bt_buffer held; /* its front is what was handed out last */
    size_t shown;
    bool stopped;
};

/* Appends a piece; *ret_text (until the next call) is what may be shown of the text now: all that comes before a stop
 * string, once there is one, and then nothing more. The stop string that begins first counts, of several there the
 * one that is complete first. False when memory is out. */
bool bt_stop_strings_push(struct bt_stop_strings *stop, const char *piece, size_t size, const char **ret_text,
                          size_t *ret_size);
/* The text is over: what was held back. */
void bt_stop_strings_end(struct bt_stop_strings *stop, const char **ret_text, size_t *ret_size);
void bt_stop_strings_finish(struct bt_stop_strings *stop);

#endif
