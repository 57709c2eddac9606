#include "text/shard_set.h"

#include <string.h>

#include "base/mem.h"
#include "io/file.h"
#include "io/shard.h"

struct bt_shard_set {
    const char *prefix; /* borrowed */
    unsigned width;
    uint64_t shard_tokens;
    struct bt_shard_out *out; /* the last shard, NULL: closed */
    struct bt_shard_entry *entries;
    size_t count, capacity;
    bool finished;
};

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static char *shard_path(const struct bt_shard_set *set, size_t i)
{
    return bt_manifest_shard_path(set->prefix, i);
}

static char *temporary_path(const struct bt_shard_set *set, size_t i)
{
    return bt_sprintf("%s-%06zu.bin.tmp", set->prefix, i);
}

/* Is it <base>-000000.bin with any number, and the suffix after it? */
static bool is_shard_name(const char *name, const char *base, const char *suffix)
{
    const size_t length = strlen(base);
    if (strncmp(name, base, length) || name[length] != '-')
        return false;
    const char *number = name + length + 1;
    const size_t digits = strspn(number, "0123456789");
    return digits >= 6 && !strncmp(number + digits, ".bin", 4) && !strcmp(number + digits + 4, suffix);
}

static enum bt_err remove_file(const char *folder, const char *name, struct bt_diag *diag)
{
    char *path = bt_path_join(folder, name);
    enum bt_err err = path ? BT_OK : bt_fail_nomem(diag);
    if (!err && bt_dir_exists(path))
        err = bt_fail(diag, BT_EIO, "%s is a folder, where a file was to be written", path);
    if (!err)
        err = bt_dir_remove(path, diag);
    bt_free(path);
    return err;
}

/* Removes what earlier sets of this prefix left, finished ("") or not (".tmp"). */
static enum bt_err remove_shards(const struct bt_shard_set *set, const char *suffix, struct bt_diag *diag)
{
    char **names = NULL;
    size_t count = 0;
    char *folder = bt_path_parent(set->prefix);
    enum bt_err err = folder ? bt_dir_list(folder, &names, &count, diag) : bt_fail_nomem(diag);
    for (size_t i = 0; !err && i < count; i++)
        if (is_shard_name(names[i], base_name(set->prefix), suffix))
            err = remove_file(folder, names[i], diag);
    bt_names_free(names, count);
    bt_free(folder);
    return err;
}

static enum bt_err make_folder(const char *prefix, struct bt_diag *diag)
{
    char *folder = bt_path_parent(prefix);
    const enum bt_err err = folder ? bt_dir_make(folder, diag) : bt_fail_nomem(diag);
    bt_free(folder);
    return err;
}

enum bt_err bt_shard_set_open(const char *prefix, unsigned width, uint64_t shard_tokens, struct bt_shard_set **ret_set,
                              struct bt_diag *diag)
{
    struct bt_shard_set *set = bt_zalloc(1, sizeof *set);
    if (!set)
        return bt_fail_nomem(diag);
    *set = (struct bt_shard_set){.prefix = prefix, .width = width, .shard_tokens = shard_tokens};
    enum bt_err err = make_folder(prefix, diag);
    if (!err)
        err = remove_shards(set, ".tmp", diag);
    if (err)
        bt_shard_set_close(set);
    else
        *ret_set = set;
    return err;
}

static enum bt_err close_shard(struct bt_shard_set *set, struct bt_diag *diag)
{
    struct bt_shard_out *out = set->out;
    set->out = NULL;
    return out ? bt_shard_out_close(out, diag) : BT_OK;
}

static enum bt_err next_shard(struct bt_shard_set *set, struct bt_diag *diag)
{
    enum bt_err err = close_shard(set, diag);
    if (err)
        return err;
    if (set->count == set->capacity) {
        const size_t capacity = set->capacity ? 2 * set->capacity : 16;
        struct bt_shard_entry *larger = bt_realloc(set->entries, capacity, sizeof *larger);
        if (!larger)
            return bt_fail_nomem(diag);
        set->entries = larger;
        set->capacity = capacity;
    }
    char *path = temporary_path(set, set->count);
    err = path ? bt_shard_out_open(path, set->width, &set->out, diag) : bt_fail_nomem(diag);
    bt_free(path);
    if (!err)
        set->entries[set->count++] = (struct bt_shard_entry){0};
    return err;
}

/* Tokens that the last shard has room for. */
static uint64_t room_left(const struct bt_shard_set *set)
{
    return set->out ? set->shard_tokens - set->entries[set->count - 1].tokens : 0;
}

enum bt_err bt_shard_set_add(struct bt_shard_set *set, const int32_t *tokens, size_t count, uint64_t bytes,
                             struct bt_diag *diag)
{
    enum bt_err err = count > room_left(set) ? next_shard(set, diag) : BT_OK;
    if (err)
        return err;
    set->entries[set->count - 1].documents++;
    set->entries[set->count - 1].bytes += bytes;
    while (count > 0) {
        if (room_left(set) == 0 && (err = next_shard(set, diag)))
            return err;
        const size_t part = count < room_left(set) ? count : (size_t)room_left(set);
        if ((err = bt_shard_out_append(set->out, tokens, part, diag)))
            return err;
        set->entries[set->count - 1].tokens += part;
        tokens += part;
        count -= part;
    }
    return BT_OK;
}

static enum bt_err hash_shards(struct bt_shard_set *set, struct bt_diag *diag)
{
    enum bt_err err = BT_OK;
    for (size_t i = 0; !err && i < set->count; i++) {
        uint64_t size;
        char *path = temporary_path(set, i);
        err = path ? bt_file_hash(path, &set->entries[i].hash, &size, diag) : bt_fail_nomem(diag);
        bt_free(path);
    }
    return err;
}

static enum bt_err remove_manifest(const struct bt_shard_set *set, struct bt_diag *diag)
{
    char *folder = bt_path_parent(set->prefix), *name = bt_sprintf("%s.json", base_name(set->prefix));
    const enum bt_err err = folder && name ? remove_file(folder, name, diag) : bt_fail_nomem(diag);
    bt_free(name);
    bt_free(folder);
    return err;
}

static enum bt_err rename_shards(const struct bt_shard_set *set, struct bt_diag *diag)
{
    enum bt_err err = BT_OK;
    for (size_t i = 0; !err && i < set->count; i++) {
        char *from = temporary_path(set, i), *to = shard_path(set, i);
        err = from && to ? bt_file_rename(from, to, diag) : bt_fail_nomem(diag);
        bt_free(to);
        bt_free(from);
    }
    return err;
}

enum bt_err bt_shard_set_finish(struct bt_shard_set *set, struct bt_diag *diag)
{
    enum bt_err err = close_shard(set, diag);
    if (!err && set->count == 0)
        err = bt_fail(diag, BT_EINPUT, "%s: the inputs hold no document, so there is no shard to write", set->prefix);
    if (!err)
        err = hash_shards(set, diag);
    if (!err)
        err = remove_manifest(set, diag);
    if (!err) /* all of them: from here to the end a kill leaves part of the new set, without a manifest */
        err = remove_shards(set, "", diag);
    if (!err)
        err = rename_shards(set, diag);
    set->finished = err == BT_OK;
    return err;
}

void bt_shard_set_close(struct bt_shard_set *set)
{
    if (!set)
        return;
    bt_shard_out_abandon(set->out);
    for (size_t i = 0; !set->finished && i < set->count; i++) {
        char *path = temporary_path(set, i);
        if (path)
            bt_dir_remove(path, NULL); /* as well as it goes: a failure was told before */
        bt_free(path);
    }
    bt_free(set->entries);
    bt_free(set);
}

const struct bt_shard_entry *bt_shard_set_entries(const struct bt_shard_set *set, size_t *ret_count)
{
    *ret_count = set->count;
    return set->entries;
}
