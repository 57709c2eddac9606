/* Folders: making, syncing, removing, listing. */
#include "io/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/sys.h"

enum bt_err bt_dir_sync(const char *path, struct bt_diag *diag)
{
    int fd;
    enum bt_err err = bt_sys_open_input(path, &fd, diag);
    if (err)
        return BT_EIO; /* we were about to write here */
    err = bt_sys_sync(fd, path, diag);
    close(fd);
    return err;
}

enum bt_err bt_dir_make(const char *path, struct bt_diag *diag)
{
    if (bt_dir_exists(path))
        return BT_OK;
    char *parent = bt_path_parent(path);
    if (!parent)
        return bt_fail_nomem(diag);
    enum bt_err err = BT_OK;
    if (strcmp(parent, path))
        err = bt_dir_make(parent, diag);
    if (!err)
        err = bt_sys_mkdir(path, diag);
    if (!err)
        err = bt_dir_sync(parent, diag);
    bt_free(parent);
    return err;
}

static enum bt_err remove_content(const char *path, struct bt_diag *diag)
{
    char **names;
    size_t count;
    enum bt_err err = bt_dir_list(path, &names, &count, diag);
    if (err)
        return err == BT_EINPUT ? BT_EIO : err;
    for (size_t i = 0; i < count && !err; i++) {
        char *entry = bt_path_join(path, names[i]);
        err = entry ? bt_dir_remove(entry, diag) : bt_fail_nomem(diag);
        bt_free(entry);
    }
    bt_names_free(names, count);
    return err;
}

/* Symbolic links are removed, never followed. */
enum bt_err bt_dir_remove(const char *path, struct bt_diag *diag)
{
    struct stat info;
    if (lstat(path, &info))
        return errno == ENOENT ? BT_OK : bt_sys_fail(diag, BT_EIO, path, "look at");
    const enum bt_err err = S_ISDIR(info.st_mode) ? remove_content(path, diag) : BT_OK;
    return err ? err : bt_sys_remove(path, diag);
}

struct names {
    char **at;
    size_t count, capacity;
};

static bool names_add(struct names *names, const char *name)
{
    if (names->count == names->capacity) {
        const size_t capacity = names->capacity ? 2 * names->capacity : 16;
        char **larger = bt_realloc(names->at, capacity, sizeof larger[0]);
        if (!larger)
            return false;
        names->at = larger;
        names->capacity = capacity;
    }
    char *copy = bt_strdup(name);
    if (copy)
        names->at[names->count++] = copy;
    return copy != NULL;
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void names_give(struct names *names, char ***ret_names, size_t *ret_count)
{
    if (names->count)
        qsort(names->at, names->count, sizeof names->at[0], by_bytes);
    *ret_names = names->at;
    *ret_count = names->count;
}

void bt_names_free(char **names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        bt_free(names[i]);
    bt_free(names);
}

static enum bt_err read_entries(DIR *dir, const char *path, struct names *names, struct bt_diag *diag)
{
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(dir);
        if (!entry)
            return errno ? bt_sys_fail(diag, BT_EINPUT, path, "list") : BT_OK;
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
            continue;
        if (!names_add(names, entry->d_name))
            return bt_fail_nomem(diag);
    }
}

enum bt_err bt_dir_list(const char *path, char ***ret_names, size_t *ret_count, struct bt_diag *diag)
{
    struct names names = {0};
    DIR *dir = opendir(path);
    if (!dir)
        return bt_sys_fail(diag, BT_EINPUT, path, "list");
    const enum bt_err err = read_entries(dir, path, &names, diag);
    closedir(dir);
    if (err) {
        bt_names_free(names.at, names.count);
        return err;
    }
    names_give(&names, ret_names, ret_count);
    return BT_OK;
}

/* Folders that match are left out: GLOB_MARK made them end in a slash. */
static bool add_files(const glob_t *matches, struct names *names)
{
    for (size_t i = 0; i < matches->gl_pathc; i++) {
        const char *path = matches->gl_pathv[i];
        if (path[strlen(path) - 1] != '/' && !names_add(names, path))
            return false;
    }
    return true;
}

enum bt_err bt_glob(const char *pattern, char ***ret_paths, size_t *ret_count, struct bt_diag *diag)
{
    struct names names = {0};
    glob_t matches = {0};
    enum bt_err err = BT_OK;
    const int status = glob(pattern, GLOB_NOSORT | GLOB_MARK, NULL, &matches);
    if (status == GLOB_NOSPACE || (status == 0 && !add_files(&matches, &names)))
        err = bt_fail_nomem(diag);
    else if (status == GLOB_ABORTED)
        err = bt_sys_fail(diag, BT_EINPUT, pattern, "list");
    else if (names.count == 0)
        err = bt_fail(diag, BT_EINPUT, "%s: no file matches", pattern);
    if (status == 0)
        globfree(&matches);
    if (err) {
        bt_names_free(names.at, names.count);
        return err;
    }
    names_give(&names, ret_paths, ret_count);
    return BT_OK;
}
