#include "text/documents.h"

#include <stdbool.h>
#include <string.h>

#include "base/mem.h"
#include "io/stream.h"

#define FIRST_ROOM ((size_t)1 << 20)

struct bt_documents {
    const char *const *paths;
    size_t count;
    const char *separator; /* borrowed, or NULL */
    size_t separator_size;
    enum bt_text_format *formats;
    struct bt_input *inputs;
    uint64_t size;

    size_t current; /* the file that is read, or comes next */
    struct bt_stream *stream;
    uint64_t position; /* bytes of the files before it */
    uint64_t line, byte;

    char *data; /* what was read of the file: the record begins at `start` */
    size_t room, start, end;
    bool ended; /* the file has no more than this */
};

enum bt_err bt_text_format_of(const char *path, enum bt_text_format *ret_format, struct bt_diag *diag)
{
    static const char *const suffixes[] = {[BT_TEXT_PLAIN] = ".txt", [BT_TEXT_JSONL] = ".jsonl"};
    const size_t length = bt_stream_plain_length(path);
    for (int i = 0; i < 2; i++) {
        const size_t suffix_length = strlen(suffixes[i]);
        if (length > suffix_length && !memcmp(path + length - suffix_length, suffixes[i], suffix_length)) {
            *ret_format = (enum bt_text_format)i;
            return BT_OK;
        }
    }
    return bt_fail(diag, BT_EINPUT,
                   "%s: the name ends neither in .txt nor in .jsonl, nor in one of these with .gz or "
                   ".zst after it",
                   path);
}

/* Is the file there, and of which format? */
static enum bt_err look_at(struct bt_documents *d, size_t i, const enum bt_text_format *format, struct bt_diag *diag)
{
    struct bt_stream *stream;
    enum bt_err err = BT_OK;
    if (format)
        d->formats[i] = *format;
    else
        err = bt_text_format_of(d->paths[i], &d->formats[i], diag);
    if (!err)
        err = bt_stream_open(d->paths[i], &stream, diag);
    if (err)
        return err;
    d->inputs[i].path = d->paths[i];
    d->size += bt_stream_file_size(stream);
    bt_stream_close(stream);
    return BT_OK;
}

enum bt_err bt_documents_open(const char *const *paths, size_t count, const enum bt_text_format *format,
                              const char *separator, struct bt_documents **ret_documents, struct bt_diag *diag)
{
    struct bt_documents *d = bt_zalloc(1, sizeof *d);
    if (!d)
        return bt_fail_nomem(diag);
    *d = (struct bt_documents){.paths = paths, .count = count, .separator = separator, .room = FIRST_ROOM};
    d->separator_size = separator ? strlen(separator) : 0;
    d->formats = bt_zalloc(count, sizeof *d->formats);
    d->inputs = bt_zalloc(count, sizeof *d->inputs);
    d->data = bt_alloc(d->room);
    enum bt_err err = d->formats && d->inputs && d->data ? BT_OK : bt_fail_nomem(diag);
    for (size_t i = 0; !err && i < count; i++)
        err = look_at(d, i, format, diag);
    if (err)
        bt_documents_close(d);
    else
        *ret_documents = d;
    return err;
}

void bt_documents_close(struct bt_documents *d)
{
    if (!d)
        return;
    bt_stream_close(d->stream);
    bt_free(d->data);
    bt_free(d->inputs);
    bt_free(d->formats);
    bt_free(d);
}

/* Moves the record to the front of the buffer, or gives it a larger one. */
static bool make_room(struct bt_documents *d)
{
    if (d->start > d->room / 2 || d->start == d->end) {
        memmove(d->data, d->data + d->start, d->end - d->start);
        d->end -= d->start;
        d->start = 0;
    }
    if (d->end < d->room)
        return true;
    char *larger = bt_realloc(d->data, d->room, 2);
    if (!larger)
        return false;
    d->data = larger;
    d->room *= 2;
    return true;
}

static enum bt_err read_more(struct bt_documents *d, struct bt_diag *diag)
{
    size_t got = 0;
    if (!make_room(d))
        return bt_fail_nomem(diag);
    const enum bt_err err = bt_stream_read(d->stream, d->data + d->end, d->room - d->end, &got, diag);
    if (err)
        return err;
    d->end += got;
    d->ended = got == 0;
    return BT_OK;
}

/* Leaves `size` bytes behind. */
static void pass_over(struct bt_documents *d, size_t size)
{
    d->start += size;
    d->byte += size;
}

static enum bt_err begin_file(struct bt_documents *d, struct bt_diag *diag)
{
    enum bt_err err = bt_stream_open(d->paths[d->current], &d->stream, diag);
    d->start = d->end = 0;
    d->ended = false;
    d->line = 1;
    d->byte = 0;
    while (!err && !d->ended && d->end < 3)
        err = read_more(d, diag);
    if (!err && d->end >= 3 && !memcmp(d->data, "\xef\xbb\xbf", 3))
        pass_over(d, 3);
    return err;
}

static void end_file(struct bt_documents *d)
{
    struct bt_input *input = &d->inputs[d->current++];
    if (d->stream) {
        input->bytes = bt_stream_position(d->stream);
        input->hash = bt_stream_hash(d->stream);
    }
    d->position += input->bytes;
    bt_stream_close(d->stream);
    d->stream = NULL;
}

/* The line that begins `at` bytes after the record: its length without the line break, and where the next one begins.
 * At the end of the file that is `at` itself. */
static enum bt_err find_line(struct bt_documents *d, size_t at, size_t *ret_length, size_t *ret_next,
                             struct bt_diag *diag)
{
    size_t searched = at;
    for (;;) {
        const size_t there = d->end - d->start;
        const char *found = memchr(d->data + d->start + searched, '\n', there - searched);
        if (found || d->ended) {
            const size_t end = found ? (size_t)(found - (d->data + d->start)) : there;
            *ret_length = end - at;
            *ret_next = end + (found != NULL);
            return BT_OK;
        }
        searched = there;
        const enum bt_err err = read_more(d, diag);
        if (err)
            return err;
    }
}

/* Gives the first `size` bytes as a record, when there are any; `lines` and `length` are passed over in any case. */
static bool give(struct bt_documents *d, size_t size, uint64_t lines, size_t length, struct bt_record *record)
{
    *record = (struct bt_record){.data = d->data + d->start,
                                 .size = size,
                                 .input = d->current,
                                 .format = d->formats[d->current],
                                 .line = d->line,
                                 .byte = d->byte};
    d->line += lines;
    pass_over(d, length);
    d->inputs[d->current].records += size > 0;
    return size > 0;
}

static bool is_blank(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (text[i] != ' ' && text[i] != '\t' && text[i] != '\r')
            return false;
    return true;
}

static enum bt_err next_line(struct bt_documents *d, struct bt_record *record, bool *ret_found, struct bt_diag *diag)
{
    for (;;) {
        size_t length, next;
        const enum bt_err err = find_line(d, 0, &length, &next, diag);
        if (err)
            return err;
        const bool blank = is_blank(d->data + d->start, length);
        *ret_found = give(d, blank ? 0 : length, 1, next, record);
        if (*ret_found || next == 0)
            return BT_OK;
    }
}

static size_t without_line_break(const char *text, size_t size)
{
    size -= size > 0 && text[size - 1] == '\n';
    return size - (size > 0 && text[size - 1] == '\r');
}

static bool is_separator(const struct bt_documents *d, const char *line, size_t size)
{
    size -= size > 0 && line[size - 1] == '\r';
    return size == d->separator_size && !memcmp(line, d->separator, size);
}

static enum bt_err next_part(struct bt_documents *d, struct bt_record *record, bool *ret_found, struct bt_diag *diag)
{
    size_t at = 0, length, next;
    for (uint64_t lines = 1;; lines++) {
        const enum bt_err err = find_line(d, at, &length, &next, diag);
        if (err)
            return err;
        const char *text = d->data + d->start;
        const bool at_end = next == at;
        if (at_end || is_separator(d, text + at, length)) {
            *ret_found = give(d, without_line_break(text, at), lines, next, record);
            if (*ret_found || at_end)
                return BT_OK;
            lines = 0; /* nothing between two separators: the next document begins here */
            next = 0;
        }
        at = next;
    }
}

static enum bt_err whole_file(struct bt_documents *d, struct bt_record *record, bool *ret_found, struct bt_diag *diag)
{
    while (!d->ended) {
        const enum bt_err err = read_more(d, diag);
        if (err)
            return err;
    }
    *ret_found = give(d, d->end - d->start, 0, d->end - d->start, record);
    return BT_OK;
}

static enum bt_err next_of_file(struct bt_documents *d, struct bt_record *record, bool *ret_found, struct bt_diag *diag)
{
    const enum bt_err err = d->stream ? BT_OK : begin_file(d, diag);
    if (err)
        return err;
    if (d->formats[d->current] == BT_TEXT_JSONL)
        return next_line(d, record, ret_found, diag);
    return d->separator ? next_part(d, record, ret_found, diag) : whole_file(d, record, ret_found, diag);
}

enum bt_err bt_documents_next(struct bt_documents *d, struct bt_record *ret_record, struct bt_diag *diag)
{
    while (d->current < d->count) {
        bool found = false;
        const enum bt_err err = next_of_file(d, ret_record, &found, diag);
        if (!err && found)
            return BT_OK;
        end_file(d);
        if (err)
            return err;
    }
    *ret_record = (struct bt_record){0};
    return BT_OK;
}

uint64_t bt_documents_position(const struct bt_documents *d)
{
    return d->position + (d->stream ? bt_stream_position(d->stream) : 0);
}

uint64_t bt_documents_size(const struct bt_documents *d)
{
    return d->size;
}

const struct bt_input *bt_documents_input(const struct bt_documents *d, size_t i)
{
    return &d->inputs[i];
}
