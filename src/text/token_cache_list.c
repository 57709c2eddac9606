#include "text/token_cache_list.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "base/mem.h"
#include "io/file.h"
#include "io/json.h"

#define LIST_NAME "cache.json"
#define KIND      "token cache"

static enum bt_err add_file(json_t *files, const char *folder, const char *name, struct bt_diag *diag)
{
    uint64_t hash, size;
    const enum bt_err err = bt_file_hash_in(folder, name, &hash, &size, diag);
    if (err)
        return err;
    json_t *entry =
        json_pack("{s:s, s:I, s:s}", "file", name, "bytes", (json_int_t)size, "xxh3_64", bt_hash_text(hash).text);
    return entry && !json_array_append_new(files, entry) ? BT_OK : bt_fail_nomem(diag);
}

static enum bt_err add_files(json_t *files, const char *folder, struct bt_diag *diag)
{
    char **names = NULL;
    size_t count = 0;
    enum bt_err err = bt_dir_list(folder, &names, &count, diag);
    for (size_t i = 0; !err && i < count; i++)
        err = add_file(files, folder, names[i], diag);
    bt_names_free(names, count);
    return err;
}

enum bt_err bt_token_cache_list_write(const char *folder, const char *key, struct bt_diag *diag)
{
    json_t *files = json_array(), *list = NULL;
    char *path = bt_path_join(folder, LIST_NAME);
    enum bt_err err = files && path ? add_files(files, folder, diag) : bt_fail_nomem(diag);
    if (!err && !(list = json_pack("{s:s, s:s, s:O}", "kind", KIND, "key", key, "files", files)))
        err = bt_fail_nomem(diag);
    if (!err)
        err = bt_json_replace(path, list, diag);
    json_decref(list);
    json_decref(files);
    bt_free(path);
    return err;
}

static enum bt_err check_file(const char *folder, const json_t *entry, struct bt_diag *diag)
{
    uint64_t hash, size;
    const char *name = json_string_value(json_object_get(entry, "file"));
    const char *listed = json_string_value(json_object_get(entry, "xxh3_64"));
    const json_int_t bytes = json_integer_value(json_object_get(entry, "bytes"));
    if (!name || !*name || strchr(name, '/') || !listed)
        return bt_fail(diag, BT_EINPUT, "%s/" LIST_NAME ": a file without name or hash", folder);
    const enum bt_err err = bt_file_hash_in(folder, name, &hash, &size, diag);
    if (err)
        return err;
    if (bytes < 0 || size != (uint64_t)bytes)
        return bt_fail(diag, BT_EINPUT, "%s/%s has %" PRIu64 " bytes, expected %lld", folder, name, size,
                       (long long)bytes);
    if (strcmp(bt_hash_text(hash).text, listed) != 0)
        return bt_fail(diag, BT_EINPUT, "%s/%s has the XXH3-64 %s, expected %s", folder, name, bt_hash_text(hash).text,
                       listed);
    return BT_OK;
}

static bool is_shard(const char *name)
{
    const size_t length = strlen(name);
    return length > 4 && !strcmp(name + length - 4, ".bin");
}

/* The list as it is; its files have been looked at. */
static enum bt_err shard_paths(const char *folder, const json_t *files, char ***ret_shards, size_t *ret_count,
                               struct bt_diag *diag)
{
    const json_t *entry;
    size_t i, count = 0;
    char **shards = bt_zalloc(json_array_size(files), sizeof *shards);
    if (!shards)
        return bt_fail_nomem(diag);
    json_array_foreach(files, i, entry)
    {
        const char *name = json_string_value(json_object_get(entry, "file"));
        if (is_shard(name) && !(shards[count++] = bt_path_join(folder, name))) {
            bt_names_free(shards, count);
            return bt_fail_nomem(diag);
        }
    }
    *ret_shards = shards;
    *ret_count = count;
    return BT_OK;
}

static enum bt_err read_list(const char *folder, const char *key, const json_t *list, char ***ret_shards,
                             size_t *ret_count, struct bt_diag *diag)
{
    const char *kind = json_string_value(json_object_get(list, "kind"));
    const char *listed = json_string_value(json_object_get(list, "key"));
    const json_t *files = json_object_get(list, "files"), *entry;
    enum bt_err err = BT_OK;
    size_t i;
    if (!kind || strcmp(kind, KIND) || !listed || strcmp(listed, key) || json_array_size(files) == 0)
        return bt_fail(diag, BT_EINPUT, "%s/" LIST_NAME " is not the list of this token cache", folder);
    json_array_foreach(files, i, entry) if ((err = check_file(folder, entry, diag))) return err;
    return shard_paths(folder, files, ret_shards, ret_count, diag);
}

enum bt_err bt_token_cache_list_read(const char *folder, const char *key, char ***ret_shards, size_t *ret_count,
                                     struct bt_diag *diag)
{
    json_t *list = NULL;
    char *path = bt_path_join(folder, LIST_NAME);
    enum bt_err err = path ? bt_json_read(path, &list, diag) : bt_fail_nomem(diag);
    if (!err)
        err = read_list(folder, key, list, ret_shards, ret_count, diag);
    json_decref(list);
    bt_free(path);
    return err;
}
