/* Writing: buffered files, and replacing a file whole. */
#include "io/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define XXH_STATIC_LINKING_ONLY /* for the size of XXH3_state_t, so that it can live in our own memory */
#include <xxhash.h>

#include "base/mem.h"
#include "io/sys.h"

#define OUT_BUFFER ((size_t)1 << 20)

struct bt_out {
    struct bt_arena arena; /* holds this struct, the path and the buffer; the hash state wants 64-byte alignment */
    XXH3_state_t hash;
    char *path;
    unsigned char *buffer;
    size_t used;
    int fd;
    bool failed; /* a write failed: the file has a hole, and closing must not call it good */
};

enum bt_err bt_out_open(const char *path, struct bt_out **ret_out, struct bt_diag *diag)
{
    const size_t path_size = strlen(path) + 1;
    struct bt_arena arena = {0};
    bt_arena_take(&arena, 1, sizeof(struct bt_out));
    bt_arena_take(&arena, path_size, 1);
    bt_arena_take(&arena, OUT_BUFFER, 1);
    if (!bt_arena_init(&arena, arena.used))
        return bt_fail_nomem(diag);

    struct bt_out *out = bt_arena_take(&arena, 1, sizeof *out);
    out->path = bt_arena_take(&arena, path_size, 1);
    out->buffer = bt_arena_take(&arena, OUT_BUFFER, 1);
    out->arena = arena;
    memcpy(out->path, path, path_size);
    XXH3_64bits_reset(&out->hash);
    const enum bt_err err = bt_sys_open(path, O_WRONLY | O_CREAT | O_TRUNC, &out->fd, diag);
    if (err) {
        bt_arena_finish(&arena);
        return err;
    }
    *ret_out = out;
    return BT_OK;
}

static enum bt_err write_through(struct bt_out *out, const void *data, size_t size, struct bt_diag *diag)
{
    if (out->failed)
        return bt_fail(diag, BT_EIO, "%s: an earlier write failed", out->path);
    const enum bt_err err = bt_sys_write(out->fd, out->path, data, size, diag);
    out->failed = err != BT_OK;
    return err;
}

static enum bt_err flush(struct bt_out *out, struct bt_diag *diag)
{
    const enum bt_err err = write_through(out, out->buffer, out->used, diag);
    out->used = 0;
    return err;
}

enum bt_err bt_out_write(struct bt_out *out, const void *data, size_t size, struct bt_diag *diag)
{
    if (size == 0)
        return BT_OK;
    XXH3_64bits_update(&out->hash, data, size);
    if (size > OUT_BUFFER - out->used) {
        const enum bt_err err = flush(out, diag);
        if (err)
            return err;
    }
    if (size >= OUT_BUFFER)
        return write_through(out, data, size, diag);
    memcpy(out->buffer + out->used, data, size);
    out->used += size;
    return BT_OK;
}

uint64_t bt_out_hash(const struct bt_out *out)
{
    return XXH3_64bits_digest(&out->hash);
}

static void release(struct bt_out *out)
{
    struct bt_arena arena = out->arena; /* a copy: the original lies in what is given back */
    bt_arena_finish(&arena);
}

enum bt_err bt_out_close(struct bt_out *out, struct bt_diag *diag)
{
    enum bt_err err = flush(out, diag);
    if (!err)
        err = bt_sys_sync(out->fd, out->path, diag);
    if (close(out->fd) && errno != EINTR && !err)
        err = bt_sys_fail(diag, BT_EIO, out->path, "close");
    release(out);
    return err;
}

void bt_out_abandon(struct bt_out *out)
{
    if (!out)
        return;
    close(out->fd);
    release(out);
}

enum bt_err bt_file_write(const char *path, const void *data, size_t size, struct bt_diag *diag)
{
    struct bt_out *out;
    enum bt_err err = bt_out_open(path, &out, diag);
    if (err)
        return err;
    err = bt_out_write(out, data, size, diag);
    if (err) {
        bt_out_abandon(out);
        return err;
    }
    return bt_out_close(out, diag);
}

enum bt_err bt_file_replace(const char *path, const void *data, size_t size, struct bt_diag *diag)
{
    enum bt_err err = BT_OK;
    char *temporary = bt_sprintf("%s.tmp", path), *folder = bt_path_parent(path);
    if (!temporary || !folder) {
        err = bt_fail_nomem(diag);
        goto done;
    }
    err = bt_file_write(temporary, data, size, diag);
    if (!err)
        err = bt_sys_rename(temporary, path, diag);
    if (err)
        bt_sys_remove(temporary, NULL); /* as well as it goes: the first failure is the one to tell */
    else
        err = bt_dir_sync(folder, diag);
done:
    bt_free(folder);
    bt_free(temporary);
    return err;
}

enum bt_err bt_file_rename(const char *from, const char *to, struct bt_diag *diag)
{
    enum bt_err err = BT_OK;
    char *from_folder = bt_path_parent(from), *to_folder = bt_path_parent(to);
    if (!from_folder || !to_folder)
        err = bt_fail_nomem(diag);
    else if (bt_file_exists(to) && !bt_dir_exists(to))
        err = bt_fail(diag, BT_EIO, "%s: cannot rename to %s: it exists already", from, to);
    if (!err)
        err = bt_sys_rename(from, to, diag);
    if (!err)
        err = bt_dir_sync(to_folder, diag);
    if (!err && strcmp(from_folder, to_folder))
        err = bt_dir_sync(from_folder, diag);
    bt_free(to_folder);
    bt_free(from_folder);
    return err;
}

enum bt_err bt_file_copy(const char *from, const char *to, struct bt_diag *diag)
{
    struct bt_map map = {0};
    enum bt_err err = bt_map_open(from, &map, diag);
    if (err)
        return err;
    err = bt_file_write(to, map.data, map.size, diag);
    bt_map_close(&map);
    return err;
}
