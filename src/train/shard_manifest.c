#include "train/shard_manifest.h"

#include <stdbool.h>

#include "base/mem.h"
#include "io/file.h"
#include "text/manifest.h"

static enum bt_err hash_tokenizer(const char *folder, bool *ret_there, uint64_t *ret_hash, struct bt_diag *diag)
{
    uint64_t size;
    char *path = bt_path_join(folder, "tokenizer.json");
    enum bt_err err = path ? BT_OK : bt_fail_nomem(diag);
    *ret_there = path && bt_file_exists(path);
    if (*ret_there)
        err = bt_file_hash(path, ret_hash, &size, diag);
    bt_free(path);
    return err;
}

static enum bt_err check_shard(const char *shard, const char *folder, uint64_t hash, struct bt_diag *diag)
{
    struct bt_shard_origin origin;
    const enum bt_err err = bt_manifest_find(shard, &origin, diag);
    if (err || !origin.known || origin.tokenizer_hash == hash)
        return err;
    return bt_fail(diag, BT_EINPUT,
                   "%s was made with another tokenizer: its manifest names %s with XXH3-64 %016llx, but that of "
                   "%s/tokenizer.json is %016llx",
                   shard, origin.tokenizer, (unsigned long long)origin.tokenizer_hash, folder,
                   (unsigned long long)hash);
}

enum bt_err bt_check_shard_tokenizer(const struct bt_rows *rows, const char *model_folder, struct bt_diag *diag)
{
    bool there = false;
    uint64_t hash = 0;
    enum bt_err err = rows && model_folder ? hash_tokenizer(model_folder, &there, &hash, diag) : BT_OK;
    for (size_t i = 0; !err && there && i < bt_rows_files(rows); i++)
        err = check_shard(bt_rows_file(rows, i), model_folder, hash, diag);
    return err;
}
