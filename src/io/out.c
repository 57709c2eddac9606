/* Writing: buffered files, and files that take the place of another when they are whole. */
#include "io/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define XXH_STATIC_LINKING_ONLY /* for the size of XXH3_state_t, so that it can live in our own memory */
#include <xxhash.h>

#include "base/mem.h"
#include "io/sys.h"

#define OUT_BUFFER ((size_t)1 << 20)

struct bt_out {
    struct bt_arena arena; /* holds this struct and the buffer, because the hash state wants 64-byte alignment */
    XXH3_state_t hash;
    unsigned char *buffer;
    size_t used;
    int fd;
    bool failed;                  /* a write failed: the file has a hole, and closing must not call it good */
    char *path;                   /* what is being written */
    char *target, *target_folder; /* where it goes when it is whole; NULL: it stays */
};

/* Everything but the open file. */
static struct bt_out *out_create(void)
{
    struct bt_arena arena = {0};
    bt_arena_take(&arena, 1, sizeof(struct bt_out));
    bt_arena_take(&arena, OUT_BUFFER, 1);
    if (!bt_arena_init(&arena, arena.used))
        return NULL;
    struct bt_out *out = bt_arena_take(&arena, 1, sizeof *out);
    out->buffer = bt_arena_take(&arena, OUT_BUFFER, 1);
    out->arena = arena;
    XXH3_64bits_reset(&out->hash);
    return out;
}

static void out_destroy(struct bt_out *out)
{
    bt_free(out->target_folder);
    bt_free(out->target);
    bt_free(out->path);
    struct bt_arena arena = out->arena; /* a copy: the original lies in what is given back */
    bt_arena_finish(&arena);
}

static enum bt_err open_path(struct bt_out *out, struct bt_out **ret_out, struct bt_diag *diag)
{
    const enum bt_err err = bt_sys_open(out->path, O_WRONLY | O_CREAT | O_TRUNC, &out->fd, diag);
    if (err)
        out_destroy(out);
    else
        *ret_out = out;
    return err;
}

enum bt_err bt_out_open(const char *path, struct bt_out **ret_out, struct bt_diag *diag)
{
    struct bt_out *out = out_create();
    if (!out)
        return bt_fail_nomem(diag);
    out->path = bt_strdup(path);
    if (!out->path) {
        out_destroy(out);
        return bt_fail_nomem(diag);
    }
    return open_path(out, ret_out, diag);
}

enum bt_err bt_out_replace(const char *path, struct bt_out **ret_out, struct bt_diag *diag)
{
    struct bt_out *out = out_create();
    if (!out)
        return bt_fail_nomem(diag);
    out->path = bt_sprintf("%s.tmp", path);
    out->target = bt_strdup(path);
    out->target_folder = bt_path_parent(path);
    if (!out->path || !out->target || !out->target_folder) {
        out_destroy(out);
        return bt_fail_nomem(diag);
    }
    return open_path(out, ret_out, diag);
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

enum bt_err bt_out_patch(struct bt_out *out, uint64_t at, const void *data, size_t size, struct bt_diag *diag)
{
    enum bt_err err = flush(out, diag);
    if (!err)
        err = bt_sys_pwrite(out->fd, out->path, data, size, at, diag);
    out->failed |= err != BT_OK;
    return err;
}

uint64_t bt_out_hash(const struct bt_out *out)
{
    return XXH3_64bits_digest(&out->hash);
}

enum bt_err bt_out_close(struct bt_out *out, struct bt_diag *diag)
{
    enum bt_err err = flush(out, diag);
    if (!err)
        err = bt_sys_sync(out->fd, out->path, diag);
    if (close(out->fd) && errno != EINTR && !err)
        err = bt_sys_fail(diag, BT_EIO, out->path, "close");
    if (out->target) {
        if (!err)
            err = bt_sys_rename(out->path, out->target, diag);
        if (err)
            bt_sys_remove(out->path, NULL); /* as well as it goes: the first failure is the one to tell */
        else
            err = bt_dir_sync(out->target_folder, diag);
    }
    out_destroy(out);
    return err;
}

void bt_out_abandon(struct bt_out *out)
{
    if (!out)
        return;
    close(out->fd);
    if (out->target)
        bt_sys_remove(out->path, NULL);
    out_destroy(out);
}

/* Writes and closes. */
static enum bt_err finish_with(struct bt_out *out, const void *data, size_t size, struct bt_diag *diag)
{
    const enum bt_err err = bt_out_write(out, data, size, diag);
    if (!err)
        return bt_out_close(out, diag);
    bt_out_abandon(out);
    return err;
}

enum bt_err bt_file_write(const char *path, const void *data, size_t size, struct bt_diag *diag)
{
    struct bt_out *out;
    const enum bt_err err = bt_out_open(path, &out, diag);
    return err ? err : finish_with(out, data, size, diag);
}

enum bt_err bt_file_replace(const char *path, const void *data, size_t size, struct bt_diag *diag)
{
    struct bt_out *out;
    const enum bt_err err = bt_out_replace(path, &out, diag);
    return err ? err : finish_with(out, data, size, diag);
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

enum bt_err bt_file_link(const char *from, const char *to, struct bt_diag *diag)
{
    bool linked;
    const enum bt_err err = bt_sys_link(from, to, &linked, diag);
    return err || linked ? err : bt_file_copy(from, to, diag);
}

static enum bt_err rename_and_sync(const char *from, const char *to, bool over, struct bt_diag *diag)
{
    enum bt_err err = BT_OK;
    char *from_folder = bt_path_parent(from), *to_folder = bt_path_parent(to);
    if (!from_folder || !to_folder)
        err = bt_fail_nomem(diag);
    else if (!over && bt_file_exists(to) && !bt_dir_exists(to))
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

enum bt_err bt_file_rename(const char *from, const char *to, struct bt_diag *diag)
{
    return rename_and_sync(from, to, false, diag);
}

enum bt_err bt_file_rename_over(const char *from, const char *to, struct bt_diag *diag)
{
    return rename_and_sync(from, to, true, diag);
}
