#include "export/place.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/file.h"

/* The last name of the path, without slashes at its end. */
static char *last_name(const char *path)
{
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/')
        end--;
    size_t begin = end;
    while (begin > 0 && path[begin - 1] != '/')
        begin--;
    return bt_strndup(path + begin, end - begin);
}

static char *neighbour(const char *path, const char *prefix)
{
    char *parent = bt_path_parent(path), *name = last_name(path);
    char *named = name ? bt_sprintf("%s%s", prefix, name) : NULL;
    char *joined = parent && named ? bt_path_join(parent, named) : NULL;
    bt_free(parent);
    bt_free(name);
    bt_free(named);
    return joined;
}

static bool contains(const char *folder, const char *path)
{
    char outer[PATH_MAX], inner[PATH_MAX];
    if (!realpath(folder, outer) || !realpath(path, inner))
        return false;
    const size_t n = strlen(outer);
    return !strncmp(outer, inner, n) && (inner[n] == '\0' || inner[n] == '/');
}

/* Removing a tree that somebody named by mistake would be worse than any error. */
static enum bt_err check_replaceable(const char *path, struct bt_diag *diag)
{
    char **names = NULL;
    size_t count = 0;
    bool config = false;
    enum bt_err err = bt_dir_list(path, &names, &count, diag);
    for (size_t i = 0; i < count && !err; i++) {
        char *entry = bt_path_join(path, names[i]);
        config = config || !strcmp(names[i], "config.json");
        if (!entry)
            err = bt_fail_nomem(diag);
        else if (bt_dir_exists(entry))
            err = bt_fail(diag, BT_EUSAGE, "%s: it holds the folder \"%s\", which no export does: it is not replaced",
                          path, names[i]);
        bt_free(entry);
    }
    bt_names_free(names, count);
    if (!err && count && !config)
        err = bt_fail(diag, BT_EUSAGE, "%s: it is not empty and holds no config.json: it is not replaced", path);
    return err;
}

static enum bt_err check_existing(const char *path, const char *source, bool overwrite, struct bt_diag *diag)
{
    if (!bt_file_exists(path))
        return BT_OK;
    if (contains(path, source))
        return bt_fail(diag, BT_EUSAGE, "%s: the model to export, %s, lies there; give another place", path, source);
    if (!overwrite)
        return bt_fail(diag, BT_EUSAGE, "%s: it exists already; --overwrite replaces it", path);
    return bt_dir_exists(path) ? check_replaceable(path, diag) : BT_OK;
}

/* A kill between the two renames left the old one aside. */
static enum bt_err recover(const struct bt_place *place, struct bt_diag *diag)
{
    if (!bt_file_exists(place->aside))
        return BT_OK;
    if (bt_file_exists(place->final))
        return bt_dir_remove(place->aside, diag);
    return bt_file_rename(place->aside, place->final, diag);
}

static enum bt_err make_parent(const char *path, struct bt_diag *diag)
{
    char *parent = bt_path_parent(path);
    const enum bt_err err = parent ? bt_dir_make(parent, diag) : bt_fail_nomem(diag);
    bt_free(parent);
    return err;
}

enum bt_err bt_place_begin(struct bt_place *place, const char *path, const char *source, bool overwrite,
                           struct bt_diag *diag)
{
    struct bt_place made = {
        .final = bt_strdup(path), .beside = neighbour(path, ".tmp-"), .aside = neighbour(path, ".old-")};
    enum bt_err err = made.final && made.beside && made.aside ? BT_OK : bt_fail_nomem(diag);
    if (!err)
        err = recover(&made, diag);
    if (!err)
        err = check_existing(path, source, overwrite, diag);
    if (!err)
        err = bt_dir_remove(made.beside, diag);
    if (!err)
        err = make_parent(made.beside, diag);
    if (err) {
        bt_free(made.beside); /* what stands there is not ours */
        made.beside = NULL;
        bt_place_end(&made);
        return err;
    }
    *place = made;
    return BT_OK;
}

enum bt_err bt_place_finish(struct bt_place *place, struct bt_diag *diag)
{
    const bool replace = bt_file_exists(place->final);
    enum bt_err err = BT_OK;
    if (replace)
        err = bt_file_rename(place->final, place->aside, diag);
    if (err)
        return err;
    err = bt_file_rename(place->beside, place->final, diag);
    if (!replace)
        return err;
    if (!err)
        return bt_dir_remove(place->aside, diag);
    bt_file_rename(place->aside, place->final, NULL);
    return err;
}

void bt_place_end(struct bt_place *place)
{
    if (place->beside)
        bt_dir_remove(place->beside, NULL);
    bt_free(place->final);
    bt_free(place->beside);
    bt_free(place->aside);
    *place = (struct bt_place){0};
}
