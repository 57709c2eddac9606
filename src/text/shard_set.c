#include "text/shard_set.h"

#include <string.h>

#include "base/mem.h"
#include "io/file.h"
#include "io/mask.h"
#include "io/shard.h"

struct bt_shard_set {
    const char *prefix; /* borrowed */
    unsigned width;
    uint64_t shard_tokens;
    struct bt_shard_out *out; /* the last shard, NULL: closed */
    struct bt_mask_out mask;  /* of the last shard */
    bool masked;
    struct bt_shard_entry *entries;
    size_t count, capacity;
    bool finished;
};

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* Takes the path. */
static char *temporary(char *path)
{
    char *longer = path ? bt_sprintf("%s.tmp", path) : NULL;
    bt_free(path);
    return longer;
}

/* Is it <base>-000000.bin or .mask with any number, and the suffix after it? */
static bool is_shard_name(const char *name, const char *base, const char *suffix)
{
    const size_t length = strlen(base);
    if (strncmp(name, base, length) || name[length] != '-')
        return false;
    const char *number = name + length + 1;
    const size_t digits = strspn(number, "0123456789");
    const char *kind = number + digits;
    const size_t kind_size = !strncmp(kind, ".bin", 4) ? 4 : !strncmp(kind, ".mask", 5) ? 5 : 0;
    return digits >= 6 && kind_size && !strcmp(kind + kind_size, suffix);
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

static enum bt_err write_mask(struct bt_shard_set *set, size_t i, struct bt_diag *diag)
{
    struct bt_shard_entry *entry = &set->entries[i];
    char *path = temporary(bt_manifest_mask_path(set->prefix, i));
    const enum bt_err err =
        path ? bt_mask_out_write(&set->mask, path, entry->hash, &entry->mask_hash, diag) : bt_fail_nomem(diag);
    bt_free(path);
    return err;
}

/* Closes the last shard, and writes its mask, which holds the shard's hash. */
static enum bt_err close_shard(struct bt_shard_set *set, struct bt_diag *diag)
{
    uint64_t size;
    struct bt_shard_out *out = set->out;
    set->out = NULL;
    if (!out)
        return BT_OK;
    const size_t last = set->count - 1;
    char *path = temporary(bt_manifest_shard_path(set->prefix, last));
    enum bt_err err = bt_shard_out_close(out, diag);
    if (!err)
        err = path ? bt_file_hash(path, &set->entries[last].hash, &size, diag) : bt_fail_nomem(diag);
    if (!err && set->masked)
        err = write_mask(set, last, diag);
    bt_free(path);
    return err;
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
    char *path = temporary(bt_manifest_shard_path(set->prefix, set->count));
    err = path ? bt_shard_out_open(path, set->width, &set->out, diag) : bt_fail_nomem(diag);
    bt_free(path);
    if (!err)
        set->entries[set->count++] = (struct bt_shard_entry){.masked = set->masked};
    return err;
}

/* Tokens that the last shard has room for. */
static uint64_t room_left(const struct bt_shard_set *set)
{
    return set->out ? set->shard_tokens - set->entries[set->count - 1].tokens : 0;
}

/* A part of a document into the last shard, which has room for it. */
static enum bt_err add_part(struct bt_shard_set *set, const int32_t *tokens, const unsigned char *labels, size_t count,
                            bool begins, struct bt_diag *diag)
{
    struct bt_shard_entry *entry = &set->entries[set->count - 1];
    const enum bt_err err = bt_shard_out_append(set->out, tokens, count, diag);
    if (err)
        return err;
    entry->tokens += count;
    if (!labels)
        return BT_OK;
    for (size_t i = 0; i < count; i++)
        entry->labels += labels[i];
    return bt_mask_out_append(&set->mask, labels, count, begins) ? BT_OK : bt_fail_nomem(diag);
}

enum bt_err bt_shard_set_add(struct bt_shard_set *set, const int32_t *tokens, const unsigned char *labels, size_t count,
                             uint64_t bytes, struct bt_diag *diag)
{
    set->masked = labels != NULL;
    enum bt_err err = count > room_left(set) ? next_shard(set, diag) : BT_OK;
    if (err)
        return err;
    set->entries[set->count - 1].documents++;
    set->entries[set->count - 1].bytes += bytes;
    for (size_t done = 0, part; !err && done < count; done += part) {
        if (room_left(set) == 0 && (err = next_shard(set, diag)))
            break;
        part = count - done < room_left(set) ? count - done : (size_t)room_left(set);
        err = add_part(set, tokens + done, labels ? labels + done : NULL, part, done == 0, diag);
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

/* Takes the path. */
static enum bt_err rename_file(char *to, struct bt_diag *diag)
{
    char *from = to ? bt_sprintf("%s.tmp", to) : NULL;
    const enum bt_err err = from ? bt_file_rename(from, to, diag) : bt_fail_nomem(diag);
    bt_free(from);
    bt_free(to);
    return err;
}

static enum bt_err rename_shards(const struct bt_shard_set *set, struct bt_diag *diag)
{
    enum bt_err err = BT_OK;
    for (size_t i = 0; !err && i < set->count; i++) {
        if (set->masked)
            err = rename_file(bt_manifest_mask_path(set->prefix, i), diag);
        if (!err)
            err = rename_file(bt_manifest_shard_path(set->prefix, i), diag);
    }
    return err;
}

enum bt_err bt_shard_set_finish(struct bt_shard_set *set, struct bt_diag *diag)
{
    enum bt_err err = close_shard(set, diag);
    if (!err && set->count == 0)
        err = bt_fail(diag, BT_EINPUT, "%s: the inputs hold no document, so there is no shard to write", set->prefix);
    if (!err)
        err = remove_manifest(set, diag);
    if (!err) /* all of them: from here to the end a kill leaves part of the new set, without a manifest */
        err = remove_shards(set, "", diag);
    if (!err)
        err = rename_shards(set, diag);
    set->finished = err == BT_OK;
    return err;
}

/* Takes the path. As well as it goes: a failure was told before. */
static void discard(char *path)
{
    if (path)
        bt_dir_remove(path, NULL);
    bt_free(path);
}

void bt_shard_set_close(struct bt_shard_set *set)
{
    if (!set)
        return;
    bt_shard_out_abandon(set->out);
    for (size_t i = 0; !set->finished && i < set->count; i++) {
        discard(temporary(bt_manifest_shard_path(set->prefix, i)));
        if (set->masked)
            discard(temporary(bt_manifest_mask_path(set->prefix, i)));
    }
    bt_mask_out_finish(&set->mask);
    bt_free(set->entries);
    bt_free(set);
}

const struct bt_shard_entry *bt_shard_set_entries(const struct bt_shard_set *set, size_t *ret_count)
{
    *ret_count = set->count;
    return set->entries;
}
