#include "train/checksums.h"

#include <string.h>

#include "base/mem.h"
#include "io/file.h"
#include "io/json.h"

static enum bt_err add_files(json_t *list, const char *folder, struct bt_diag *diag)
{
    char **names = NULL;
    size_t count = 0;
    enum bt_err err = bt_dir_list(folder, &names, &count, diag);
    for (size_t i = 0; i < count && !err; i++) {
        uint64_t hash = 0;
        err = bt_file_hash_in(folder, names[i], &hash, NULL, diag);
        if (!err && json_object_set_new(list, names[i], json_string(bt_hash_text(hash).text)))
            err = bt_fail_nomem(diag);
    }
    bt_names_free(names, count);
    return err;
}

enum bt_err bt_checksums_write(const char *folder, struct bt_diag *diag)
{
    json_t *list = json_object();
    char *path = bt_path_join(folder, BT_CHECKSUMS_FILE);
    enum bt_err err = list && path ? add_files(list, folder, diag) : bt_fail_nomem(diag);
    if (!err)
        err = bt_json_write(path, list, diag);
    bt_free(path);
    json_decref(list);
    return err;
}

static enum bt_err check_file(const char *folder, const char *list, const char *name, const char *expected,
                              struct bt_diag *diag)
{
    struct bt_hash_text found;
    uint64_t hash = 0;
    if (!expected || strlen(expected) != sizeof found.text - 1 || strchr(name, '/'))
        return bt_fail(diag, BT_EINPUT,
                       "%s: \"%.200s\": the name of a file in the same folder and its XXH3-64 in 16 digits were "
                       "expected",
                       list, name);
    const enum bt_err err = bt_file_hash_in(folder, name, &hash, NULL, diag);
    found = bt_hash_text(hash);
    if (err || !strcmp(found.text, expected))
        return err;
    return bt_fail(diag, BT_EINPUT,
                   "%s/%.200s: the file is damaged or was changed: its XXH3-64 is %s and not %s, as " BT_CHECKSUMS_FILE
                   " says; after a change on purpose, delete its line there",
                   folder, name, found.text, expected);
}

enum bt_err bt_checksums_check(const char *folder, struct bt_diag *diag)
{
    json_t *list = NULL, *value;
    const char *name;
    char *path = bt_path_join(folder, BT_CHECKSUMS_FILE);
    enum bt_err err = path ? BT_OK : bt_fail_nomem(diag);
    if (err || !bt_file_exists(path))
        goto done;
    err = bt_json_read(path, &list, diag);
    if (!err && !json_is_object(list))
        err = bt_fail(diag, BT_EINPUT, "%s: an object was expected", path);
    if (err)
        goto done;
    json_object_foreach(list, name, value)
    {
        if ((err = check_file(folder, path, name, json_string_value(value), diag)))
            break;
    }
done:
    json_decref(list);
    bt_free(path);
    return err;
}
