#include "train/shard_manifest.h"

#include <stdbool.h>

#include "base/mem.h"
#include "io/file.h"
#include "text/manifest.h"

/* *ret_there: there is one in the folder, which may be NULL. */
static enum bt_err hash_tokenizer(const char *folder, bool *ret_there, uint64_t *ret_hash, struct bt_diag *diag)
{
    uint64_t size;
    *ret_there = false;
    if (!folder)
        return BT_OK;
    char *path = bt_path_join(folder, "tokenizer.json");
    enum bt_err err = path ? BT_OK : bt_fail_nomem(diag);
    *ret_there = path && bt_file_exists(path);
    if (*ret_there)
        err = bt_file_hash(path, ret_hash, &size, diag);
    bt_free(path);
    return err;
}

static enum bt_err check_tokenizer(const char *shard, const struct bt_shard_origin *origin, const char *folder,
                                   uint64_t hash, struct bt_diag *diag)
{
    if (origin->tokenizer_hash == hash)
        return BT_OK;
    return bt_fail(diag, BT_EINPUT,
                   "%s was made with another tokenizer: its manifest names %s with XXH3-64 %016llx, but that of "
                   "%s/tokenizer.json is %016llx",
                   shard, origin->tokenizer, (unsigned long long)origin->tokenizer_hash, folder,
                   (unsigned long long)hash);
}

static enum bt_err check_bytes(struct bt_rows *rows, size_t i, const struct bt_shard_origin *origin,
                               struct bt_diag *diag)
{
    uint64_t size, hash;
    const enum bt_err err = bt_rows_file_hash(rows, i, &size, &hash, diag);
    if (err || !origin->hashed || origin->hash == hash)
        return err;
    return bt_fail(diag, BT_EINPUT,
                   "%s: its XXH3-64 is %016llx, but its manifest says %016llx: the shard was damaged or replaced",
                   bt_rows_file(rows, i), (unsigned long long)hash, (unsigned long long)origin->hash);
}

enum bt_err bt_check_shard_manifests(struct bt_rows *rows, const char *model_folder, struct bt_diag *diag)
{
    bool there;
    uint64_t tokenizer = 0;
    enum bt_err err = hash_tokenizer(model_folder, &there, &tokenizer, diag);
    for (size_t i = 0; !err && rows && i < bt_rows_files(rows); i++) {
        struct bt_shard_origin origin;
        err = bt_manifest_find(bt_rows_file(rows, i), &origin, diag);
        if (!err && origin.known && there)
            err = check_tokenizer(bt_rows_file(rows, i), &origin, model_folder, tokenizer, diag);
        if (!err && origin.known)
            err = check_bytes(rows, i, &origin, diag);
    }
    return err;
}

enum bt_err bt_check_shard_tokenizer(const char *pattern, const char *model_folder, struct bt_diag *diag)
{
    bool there;
    uint64_t tokenizer = 0;
    size_t count = 0;
    char **paths = NULL;
    enum bt_err err = hash_tokenizer(model_folder, &there, &tokenizer, diag);
    if (err || !there || (err = bt_glob(pattern, &paths, &count, diag)))
        return err;
    for (size_t i = 0; !err && i < count; i++) {
        struct bt_shard_origin origin;
        err = bt_manifest_find(paths[i], &origin, diag);
        if (!err && origin.known)
            err = check_tokenizer(paths[i], &origin, model_folder, tokenizer, diag);
    }
    bt_names_free(paths, count);
    return err;
}
