#include "io/stream.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define XXH_STATIC_LINKING_ONLY /* the hash state by value */
#include <xxhash.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "base/mem.h"
#include "io/sys.h"

#define INPUT_SIZE ((size_t)256 << 10)

/* How one kind of file is told and uncompressed. decode takes from stream->input and gives up to `size` bytes; it sets
 * stream->whole to whether the file may end after what it took. */
struct codec {
    const char *name, *suffix;
    bool (*is)(const unsigned char *data, size_t size);
    enum bt_err (*start)(struct bt_stream *stream, struct bt_diag *diag);
    enum bt_err (*decode)(struct bt_stream *stream, void *data, size_t size, size_t *ret_size, struct bt_diag *diag);
    void (*finish)(struct bt_stream *stream);
};

struct bt_stream {
    char *path;
    int fd;
    const struct codec *codec;
    bool ended; /* the file has no more bytes than those of `input` */
    bool whole; /* not in the middle of a gzip member or a Zstandard frame */
    size_t input_at, input_end;
    uint64_t position, file_size;
    z_stream gzip;
    ZSTD_DCtx *zstd;
    XXH3_state_t hash; /* aligned to 64 bytes, as the arena is */
    unsigned char *input;
    struct bt_arena arena;
};

static enum bt_err damaged(const struct bt_stream *s, const char *reason, struct bt_diag *diag)
{
    return bt_fail(diag, BT_EINPUT, "%s: byte %llu: damaged %s data: %s", s->path,
                   (unsigned long long)(s->position - (s->input_end - s->input_at)), s->codec->name, reason);
}

static void *gzip_alloc(void *context, unsigned count, unsigned size)
{
    (void)context;
    return bt_zalloc(count, size);
}

static void gzip_free(void *context, void *p)
{
    (void)context;
    bt_free(p);
}

static bool is_gzip(const unsigned char *data, size_t size)
{
    return size >= 2 && data[0] == 0x1f && data[1] == 0x8b;
}

static enum bt_err start_gzip(struct bt_stream *s, struct bt_diag *diag)
{
    s->gzip = (z_stream){.zalloc = gzip_alloc, .zfree = gzip_free};
    return inflateInit2(&s->gzip, MAX_WBITS + 16) == Z_OK ? BT_OK : bt_fail_nomem(diag); /* + 16: gzip, not zlib */
}

/* A gzip file is one member after the other. */
static enum bt_err decode_gzip(struct bt_stream *s, void *data, size_t size, size_t *ret_size, struct bt_diag *diag)
{
    const unsigned room = size < INPUT_SIZE ? (unsigned)size : (unsigned)INPUT_SIZE;
    if (s->whole)
        inflateReset(&s->gzip);
    s->gzip.next_in = s->input + s->input_at;
    s->gzip.avail_in = (unsigned)(s->input_end - s->input_at);
    s->gzip.next_out = data;
    s->gzip.avail_out = room;
    const int status = inflate(&s->gzip, Z_NO_FLUSH);
    s->input_at = s->input_end - s->gzip.avail_in;
    s->whole = status == Z_STREAM_END;
    *ret_size = room - s->gzip.avail_out;
    if (status == Z_MEM_ERROR)
        return bt_fail_nomem(diag);
    if (status == Z_OK || status == Z_STREAM_END || status == Z_BUF_ERROR) /* the last: more input is wanted */
        return BT_OK;
    return damaged(s, s->gzip.msg ? s->gzip.msg : "not understood", diag);
}

static void finish_gzip(struct bt_stream *s)
{
    inflateEnd(&s->gzip);
}

/* A frame, or a frame to be skipped, with which a file may begin as well. */
static bool is_zstd(const unsigned char *data, size_t size)
{
    static const unsigned char frame[] = {0x28, 0xb5, 0x2f, 0xfd}, skippable[] = {0x2a, 0x4d, 0x18};
    return size >= 4 && (!memcmp(data, frame, 4) || ((data[0] & 0xf0) == 0x50 && !memcmp(data + 1, skippable, 3)));
}

/* The library's own allocator: passing another one is not part of its stable interface. */
static enum bt_err start_zstd(struct bt_stream *s, struct bt_diag *diag)
{
    s->zstd = ZSTD_createDCtx();
    return s->zstd ? BT_OK : bt_fail_nomem(diag);
}

static enum bt_err decode_zstd(struct bt_stream *s, void *data, size_t size, size_t *ret_size, struct bt_diag *diag)
{
    ZSTD_inBuffer in = {.src = s->input, .size = s->input_end, .pos = s->input_at};
    ZSTD_outBuffer out = {.dst = data, .size = size};
    const size_t left = ZSTD_decompressStream(s->zstd, &out, &in);
    s->input_at = in.pos;
    s->whole = left == 0;
    *ret_size = out.pos;
    if (!ZSTD_isError(left))
        return BT_OK;
    if (ZSTD_getErrorCode(left) == ZSTD_error_memory_allocation)
        return bt_fail_nomem(diag);
    return damaged(s, ZSTD_getErrorName(left), diag);
}

static void finish_zstd(struct bt_stream *s)
{
    ZSTD_freeDCtx(s->zstd);
}

static enum bt_err start_plain(struct bt_stream *s, struct bt_diag *diag)
{
    (void)diag;
    s->whole = true;
    return BT_OK;
}

static enum bt_err decode_plain(struct bt_stream *s, void *data, size_t size, size_t *ret_size, struct bt_diag *diag)
{
    const size_t there = s->input_end - s->input_at, taken = there < size ? there : size;
    (void)diag;
    memcpy(data, s->input + s->input_at, taken);
    s->input_at += taken;
    *ret_size = taken;
    return BT_OK;
}

static void finish_plain(struct bt_stream *s)
{
    (void)s;
}

static const struct codec plain = {"plain", "", NULL, start_plain, decode_plain, finish_plain};
static const struct codec codecs[] = {
    {"gzip", ".gz", is_gzip, start_gzip, decode_gzip, finish_gzip},
    {"Zstandard", ".zst", is_zstd, start_zstd, decode_zstd, finish_zstd},
};
#define CODEC_COUNT (sizeof codecs / sizeof codecs[0])

static bool ends_with(const char *text, const char *suffix)
{
    const size_t length = strlen(text), suffix_length = strlen(suffix);
    return length >= suffix_length && !strcmp(text + length - suffix_length, suffix);
}

static const struct codec *codec_of_name(const char *path)
{
    for (size_t i = 0; i < CODEC_COUNT; i++)
        if (ends_with(path, codecs[i].suffix))
            return &codecs[i];
    return &plain;
}

size_t bt_stream_plain_length(const char *path)
{
    return strlen(path) - strlen(codec_of_name(path)->suffix);
}

/* Reads on when all input is used up. */
static enum bt_err refill(struct bt_stream *s, struct bt_diag *diag)
{
    ssize_t got;
    if (s->input_at < s->input_end || s->ended)
        return BT_OK;
    do
        got = read(s->fd, s->input, INPUT_SIZE);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return bt_sys_fail(diag, BT_EINPUT, s->path, "read");
    XXH3_64bits_update(&s->hash, s->input, (size_t)got);
    s->position += (uint64_t)got;
    s->input_at = 0;
    s->input_end = (size_t)got;
    s->ended = got == 0;
    return BT_OK;
}

static enum bt_err choose_codec(struct bt_stream *s, struct bt_diag *diag)
{
    const struct codec *named = codec_of_name(s->path);
    s->codec = &plain;
    for (size_t i = 0; i < CODEC_COUNT; i++)
        if (codecs[i].is(s->input, s->input_end))
            s->codec = &codecs[i];
    if (named == &plain || named == s->codec)
        return BT_OK;
    s->codec = &plain; /* nothing else was started */
    return bt_fail(diag, BT_EINPUT, "%s: byte 0: this is not %s data, which a name that ends in \"%s\" promises",
                   s->path, named->name, named->suffix);
}

static enum bt_err start(struct bt_stream *s, struct bt_diag *diag)
{
    struct stat info;
    enum bt_err err = bt_sys_open_input(s->path, &s->fd, diag);
    if (err)
        return err;
    if (fstat(s->fd, &info) == 0 && S_ISREG(info.st_mode))
        s->file_size = (uint64_t)info.st_size;
    if ((err = refill(s, diag)) || (err = choose_codec(s, diag)))
        return err;
    if ((err = s->codec->start(s, diag)))
        s->codec = &plain;
    return err;
}

static struct bt_stream *create(const char *path)
{
    struct bt_arena arena = {0};
    bt_arena_take(&arena, 1, sizeof(struct bt_stream));
    bt_arena_take(&arena, INPUT_SIZE, 1);
    if (!bt_arena_init(&arena, arena.used))
        return NULL;
    struct bt_stream *s = bt_arena_take(&arena, 1, sizeof *s);
    s->input = bt_arena_take(&arena, INPUT_SIZE, 1);
    s->arena = arena;
    s->fd = -1;
    s->codec = &plain;
    XXH3_64bits_reset(&s->hash);
    s->path = bt_strdup(path);
    if (!s->path) {
        bt_arena_finish(&arena);
        return NULL;
    }
    return s;
}

enum bt_err bt_stream_open(const char *path, struct bt_stream **ret_stream, struct bt_diag *diag)
{
    struct bt_stream *s = create(path);
    if (!s)
        return bt_fail_nomem(diag);
    const enum bt_err err = start(s, diag);
    if (err)
        bt_stream_close(s);
    else
        *ret_stream = s;
    return err;
}

enum bt_err bt_stream_read(struct bt_stream *s, void *data, size_t size, size_t *ret_size, struct bt_diag *diag)
{
    for (;;) {
        size_t got = 0;
        enum bt_err err = refill(s, diag);
        const bool no_input = s->input_at == s->input_end;
        if (!err && !(no_input && s->whole)) /* a decoder may hold output back, so it is asked without input too */
            err = s->codec->decode(s, data, size, &got, diag);
        if (err)
            return err;
        if (got == 0 && s->ended && !s->whole)
            return bt_fail(diag, BT_EINPUT, "%s: byte %llu: the %s data end early; the file was cut", s->path,
                           (unsigned long long)s->position, s->codec->name);
        if (got || s->ended) {
            *ret_size = got;
            return BT_OK;
        }
    }
}

void bt_stream_close(struct bt_stream *s)
{
    if (!s)
        return;
    s->codec->finish(s);
    if (s->fd >= 0)
        close(s->fd);
    bt_free(s->path);
    struct bt_arena arena = s->arena; /* a copy: the original lies in what is given back */
    bt_arena_finish(&arena);
}

uint64_t bt_stream_position(const struct bt_stream *s)
{
    return s->position;
}

uint64_t bt_stream_hash(const struct bt_stream *s)
{
    return XXH3_64bits_digest(&s->hash);
}

uint64_t bt_stream_file_size(const struct bt_stream *s)
{
    return s->file_size;
}
