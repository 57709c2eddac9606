#include "io/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#define XXH_STATIC_LINKING_ONLY /* the hash state by value */
#include <xxhash.h>

#include "base/mem.h"
#include "io/sys.h"

static enum bt_err map_descriptor(int fd, const char *path, struct bt_map *map, struct bt_diag *diag)
{
    static const unsigned char nothing[1];
    struct stat info;
    if (fstat(fd, &info))
        return bt_sys_fail(diag, BT_EINPUT, path, "look at");
    if (!S_ISREG(info.st_mode))
        return bt_fail(diag, BT_EINPUT, "%s: not a regular file", path);
    const size_t size = (size_t)info.st_size;
    const void *data = size ? mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0) : nothing;
    if (data == MAP_FAILED)
        return bt_sys_fail(diag, errno == ENOMEM ? BT_ENOMEM : BT_EINPUT, path, "map into memory");
    *map = (struct bt_map){.data = data, .size = size};
    return BT_OK;
}

enum bt_err bt_map_open(const char *path, struct bt_map *map, struct bt_diag *diag)
{
    int fd;
    enum bt_err err = bt_sys_open_input(path, &fd, diag);
    if (err)
        return err;
    err = map_descriptor(fd, path, map, diag);
    close(fd); /* the mapping keeps the file */
    return err;
}

void bt_map_close(struct bt_map *map)
{
    if (map->size)
        munmap((void *)(uintptr_t)map->data, map->size);
    *map = (struct bt_map){0};
}

/* Doubles the buffer when it is full. Always leaves room for one byte more than was read: the NUL. */
static bool make_room(char **text, size_t used, size_t *capacity)
{
    if (used + 1 < *capacity)
        return true;
    char *larger = bt_realloc(*text, *capacity, 2);
    if (!larger)
        return false;
    *text = larger;
    *capacity *= 2;
    return true;
}

/* Reads to the end rather than trusting st_size, which is 0 for a pipe and may be outdated for a file. */
static enum bt_err read_descriptor(int fd, const char *path, char **ret_text, size_t *ret_size, struct bt_diag *diag)
{
    struct stat info;
    size_t used = 0, capacity = 4096;
    if (fstat(fd, &info) == 0 && S_ISREG(info.st_mode))
        capacity = (size_t)info.st_size + 2;
    char *text = bt_alloc(capacity);
    if (!text)
        return bt_fail_nomem(diag);
    for (;;) {
        if (!make_room(&text, used, &capacity)) {
            bt_free(text);
            return bt_fail_nomem(diag);
        }
        const ssize_t got = read(fd, text + used, capacity - used - 1);
        if (got == 0)
            break;
        if (got < 0 && errno != EINTR) {
            bt_free(text);
            return bt_sys_fail(diag, BT_EINPUT, path, "read");
        }
        used += got < 0 ? 0 : (size_t)got;
    }
    text[used] = '\0';
    *ret_text = text;
    if (ret_size)
        *ret_size = used;
    return BT_OK;
}

enum bt_err bt_file_read(const char *path, char **ret_text, size_t *ret_size, struct bt_diag *diag)
{
    int fd;
    enum bt_err err = bt_sys_open_input(path, &fd, diag);
    if (err)
        return err;
    err = read_descriptor(fd, path, ret_text, ret_size, diag);
    close(fd);
    return err;
}

/* By reading, not from a mapping, of which every page would count as memory of the process. */
static enum bt_err hash_descriptor(int fd, const char *path, uint64_t *ret_hash, uint64_t *ret_size,
                                   struct bt_diag *diag)
{
    char buffer[65536];
    XXH3_state_t hash;
    uint64_t size = 0;
    XXH3_INITSTATE(&hash);
    XXH3_64bits_reset(&hash);
    for (;;) {
        const ssize_t got = read(fd, buffer, sizeof buffer);
        if (got == 0)
            break;
        if (got < 0 && errno != EINTR)
            return bt_sys_fail(diag, BT_EINPUT, path, "read");
        if (got > 0) {
            XXH3_64bits_update(&hash, buffer, (size_t)got);
            size += (uint64_t)got;
        }
    }
    *ret_hash = XXH3_64bits_digest(&hash);
    if (ret_size)
        *ret_size = size;
    return BT_OK;
}

enum bt_err bt_file_hash(const char *path, uint64_t *ret_hash, uint64_t *ret_size, struct bt_diag *diag)
{
    int fd;
    enum bt_err err = bt_sys_open_input(path, &fd, diag);
    if (err)
        return err;
    err = hash_descriptor(fd, path, ret_hash, ret_size, diag);
    close(fd);
    return err;
}

enum bt_err bt_file_hash_in(const char *folder, const char *name, uint64_t *ret_hash, uint64_t *ret_size,
                            struct bt_diag *diag)
{
    char *path = bt_path_join(folder, name);
    const enum bt_err err = path ? bt_file_hash(path, ret_hash, ret_size, diag) : bt_fail_nomem(diag);
    bt_free(path);
    return err;
}

struct bt_hash_text bt_hash_text(uint64_t hash)
{
    struct bt_hash_text t;
    snprintf(t.text, sizeof t.text, "%016" PRIx64, hash);
    return t;
}

bool bt_file_exists(const char *path)
{
    struct stat info;
    return lstat(path, &info) == 0;
}

bool bt_file_is_older(const char *path, int64_t seconds)
{
    struct stat info;
    return lstat(path, &info) == 0 && time(NULL) - info.st_mtime > seconds;
}

bool bt_dir_exists(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

char *bt_path_join(const char *folder, const char *name)
{
    const size_t length = strlen(folder);
    const bool needs_slash = length > 0 && folder[length - 1] != '/';
    return bt_sprintf("%s%s%s", folder, needs_slash ? "/" : "", name);
}

char *bt_path_parent(const char *path)
{
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/')
        end--;
    while (end > 0 && path[end - 1] != '/')
        end--;
    while (end > 1 && path[end - 1] == '/')
        end--;
    return end ? bt_strndup(path, end) : bt_strdup(".");
}

enum bt_err bt_disk_free(const char *path, uint64_t *ret_bytes, struct bt_diag *diag)
{
    struct statvfs info;
    char *at = bt_strdup(path);
    while (at && statvfs(at, &info)) {
        char *parent = bt_path_parent(at);
        const bool at_top = parent && !strcmp(parent, at);
        bt_free(at);
        at = parent;
        if (at_top)
            break;
    }
    if (!at)
        return bt_fail_nomem(diag);
    const bool found = statvfs(at, &info) == 0;
    bt_free(at);
    if (!found)
        return bt_sys_fail(diag, BT_EIO, path, "ask for the free space");
    *ret_bytes = (uint64_t)info.f_bavail * info.f_frsize;
    return BT_OK;
}
