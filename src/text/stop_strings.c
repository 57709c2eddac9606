#include "text/stop_strings.h"

#include <string.h>

/* The bytes handed out by the call before are done with. */
static void drop_shown(struct bt_stop_strings *stop)
{
    memmove(stop->held.at, stop->held.at + stop->shown, stop->held.size - stop->shown);
    stop->held.size -= stop->shown;
    stop->shown = 0;
}

/* Does the rest of the text from `at` on agree with a stop string as far as both go? *ret_whole: all of the string. */
static bool agrees(const struct bt_stop_strings *stop, size_t at, bool *ret_whole)
{
    const size_t rest = stop->held.size - at;
    bool any = false;
    for (size_t i = 0; i < stop->count; i++) {
        const size_t length = strlen(stop->strings[i]);
        if (memcmp(stop->held.at + at, stop->strings[i], length < rest ? length : rest))
            continue;
        any = true;
        *ret_whole |= length <= rest;
    }
    return any;
}

bool bt_stop_strings_push(struct bt_stop_strings *stop, const char *piece, size_t size, const char **ret_text,
                          size_t *ret_size)
{
    size_t at = 0;
    bool whole = false;
    if (stop->shown)
        drop_shown(stop);
    if (stop->stopped)
        size = 0;
    if (!bt_buffer_put(&stop->held, piece, size))
        return false;
    while (at < stop->held.size && !agrees(stop, at, &whole))
        at++;
    if (whole) {
        stop->stopped = true;
        stop->held.size = at;
    }
    stop->shown = at;
    *ret_text = stop->held.at;
    *ret_size = at;
    return true;
}

void bt_stop_strings_end(struct bt_stop_strings *stop, const char **ret_text, size_t *ret_size)
{
    size_t at = 0;
    bool whole = false;
    if (stop->shown)
        drop_shown(stop);
    /* One may have been waiting behind the beginning of a longer one. */
    for (; at < stop->held.size && !whole; at += !whole)
        agrees(stop, at, &whole);
    stop->stopped |= whole;
    stop->held.size = stop->shown = at;
    *ret_text = stop->held.at;
    *ret_size = at;
}

void bt_stop_strings_finish(struct bt_stop_strings *stop)
{
    bt_buffer_finish(&stop->held);
    *stop = (struct bt_stop_strings){0};
}
