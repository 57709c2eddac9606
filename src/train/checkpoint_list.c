#include "train/checkpoint_list.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/file.h"
#include "train/checkpoint.h"
#include "train/checkpoint_state.h"

#define PLACE  "step-"
#define BESIDE ".tmp-step-"
#define ASIDE  ".old-step-"

/* The number after the prefix: eight digits or more and nothing else. */
static bool parse_step(const char *name, const char *prefix, int64_t *ret_step)
{
    const size_t length = strlen(prefix);
    int64_t step = 0;
    if (strncmp(name, prefix, length) != 0 || strlen(name) < length + 8)
        return false;
    for (const char *at = name + length; *at; at++)
        if (*at < '0' || *at > '9' || __builtin_mul_overflow(step, 10, &step) ||
            __builtin_add_overflow(step, *at - '0', &step))
            return false;
    *ret_step = step;
    return true;
}

static int newest_first(const void *a, const void *b)
{
    const struct bt_checkpoint_entry *x = a, *y = b;
    if (x->step != y->step)
        return x->step > y->step ? -1 : 1;
    return (int)x->aside - (int)y->aside;
}

/* Fills the list with the names that are checkpoints; there is room for all of them. */
static enum bt_err pick_entries(const char *folder, char *const *names, size_t count, struct bt_checkpoint_list *list,
                                struct bt_diag *diag)
{
    for (size_t i = 0; i < count; i++) {
        struct bt_checkpoint_entry entry = {.aside = !strncmp(names[i], ASIDE, strlen(ASIDE))};
        if (!parse_step(names[i], entry.aside ? ASIDE : PLACE, &entry.step))
            continue;
        entry.path = bt_path_join(folder, names[i]);
        if (!entry.path)
            return bt_fail_nomem(diag);
        list->entries[list->count++] = entry;
    }
    if (list->count)
        qsort(list->entries, list->count, sizeof list->entries[0], newest_first);
    for (size_t i = 1; i < list->count; i++)
        list->entries[i].superseded = list->entries[i].aside && list->entries[i].step == list->entries[i - 1].step;
    return BT_OK;
}

enum bt_err bt_checkpoint_list_read(const char *folder, struct bt_checkpoint_list *ret_list, struct bt_diag *diag)
{
    struct bt_checkpoint_list list = {0};
    char **names = NULL;
    size_t count = 0;
    enum bt_err err = BT_OK;
    if (bt_dir_exists(folder))
        err = bt_dir_list(folder, &names, &count, diag);
    if (err)
        return err;
    list.entries = bt_zalloc(count, sizeof list.entries[0]);
    err = list.entries ? pick_entries(folder, names, count, &list, diag) : bt_fail_nomem(diag);
    bt_names_free(names, count);
    if (err)
        bt_checkpoint_list_finish(&list);
    else
        *ret_list = list;
    return err;
}

void bt_checkpoint_list_finish(struct bt_checkpoint_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        bt_free(list->entries[i].path);
    bt_free(list->entries);
    *list = (struct bt_checkpoint_list){0};
}

enum bt_err bt_checkpoint_paths_init(struct bt_checkpoint_paths *paths, const char *folder, int64_t step,
                                     struct bt_diag *diag)
{
    *paths = (struct bt_checkpoint_paths){
        .place = bt_sprintf("%s/" PLACE "%08" PRId64, folder, step),
        .beside = bt_sprintf("%s/" BESIDE "%08" PRId64, folder, step),
        .aside = bt_sprintf("%s/" ASIDE "%08" PRId64, folder, step),
    };
    if (paths->place && paths->beside && paths->aside)
        return BT_OK;
    bt_checkpoint_paths_finish(paths);
    return bt_fail_nomem(diag);
}

void bt_checkpoint_paths_finish(struct bt_checkpoint_paths *paths)
{
    bt_free(paths->place);
    bt_free(paths->beside);
    bt_free(paths->aside);
    *paths = (struct bt_checkpoint_paths){0};
}

enum bt_err bt_checkpoint_clean(const char *folder, struct bt_diag *diag)
{
    char **names;
    size_t count;
    int64_t step;
    enum bt_err err = bt_dir_list(folder, &names, &count, diag);
    if (err)
        return err;
    for (size_t i = 0; i < count && !err; i++) {
        if (!parse_step(names[i], BESIDE, &step))
            continue;
        char *path = bt_path_join(folder, names[i]);
        err = path ? bt_dir_remove(path, diag) : bt_fail_nomem(diag);
        bt_free(path);
    }
    bt_names_free(names, count);
    return err;
}

enum bt_err bt_checkpoint_remove(const char *folder, const struct bt_checkpoint_entry *entry, struct bt_diag *diag)
{
    struct bt_checkpoint_paths paths;
    enum bt_err err = bt_checkpoint_paths_init(&paths, folder, entry->step, diag);
    if (err)
        return err;
    if (!(err = bt_dir_remove(paths.beside, diag)) && !(err = bt_file_rename(entry->path, paths.beside, diag)))
        err = bt_dir_remove(paths.beside, diag);
    bt_checkpoint_paths_finish(&paths);
    return err;
}

enum bt_err bt_checkpoint_any(const char *folder, bool *ret_any, struct bt_diag *diag)
{
    struct bt_checkpoint_list list;
    const enum bt_err err = bt_checkpoint_list_read(folder, &list, diag);
    if (err)
        return err;
    *ret_any = list.count > 0;
    bt_checkpoint_list_finish(&list);
    return BT_OK;
}

enum bt_err bt_checkpoint_prune(const char *folder, int64_t keep_last_n, int64_t keep_step, struct bt_diag *diag)
{
    struct bt_checkpoint_list list;
    int64_t kept = 0;
    enum bt_err err = bt_checkpoint_list_read(folder, &list, diag);
    if (err)
        return err;
    if (keep_last_n < 1)
        keep_last_n = 1;
    for (size_t i = 0; i < list.count && !err; i++) {
        const struct bt_checkpoint_entry *entry = &list.entries[i];
        if (!entry->superseded && kept < keep_last_n)
            kept++;
        else if (entry->superseded || entry->step != keep_step)
            err = bt_checkpoint_remove(folder, entry, diag);
    }
    if (!err && bt_dir_exists(folder))
        err = bt_checkpoint_clean(folder, diag);
    bt_checkpoint_list_finish(&list);
    return err;
}

/* BT_EINPUT with the reason in a sentence without the folder's name. */
static enum bt_err compare_file(const char *folder, const struct bt_data_file *want, struct bt_diag *diag)
{
    uint64_t hash, size;
    char *path = bt_path_join(folder, want->path);
    enum bt_err err = path ? bt_file_hash(path, &hash, &size, diag) : bt_fail_nomem(diag);
    bt_free(path);
    if (err)
        return err;
    if (size != want->size)
        return bt_fail(diag, BT_EINPUT, "%s has %" PRIu64 " bytes, expected %" PRIu64, want->path, size, want->size);
    if (hash != want->hash)
        return bt_fail(diag, BT_EINPUT, "%s has hash %016" PRIx64 ", expected %016" PRIx64, want->path, hash,
                       want->hash);
    return BT_OK;
}

static enum bt_err verify(const char *path, struct bt_diag *diag)
{
    struct bt_checkpoint_state content;
    enum bt_err err = bt_checkpoint_state_read(path, &content, diag);
    if (err)
        return err;
    for (size_t i = 0; i < content.file_count && !err; i++)
        err = compare_file(path, &content.files[i], diag);
    bt_checkpoint_state_finish(&content);
    return err;
}

/* Adds a sentence to *text, which may be NULL. */
static enum bt_err add_damaged(char **text, const char *path, const char *reason, struct bt_diag *diag)
{
    char *longer = bt_sprintf("%s%scheckpoint %s is damaged: %s", *text ? *text : "", *text ? "; " : "", path, reason);
    if (!longer)
        return bt_fail_nomem(diag);
    bt_free(*text);
    *text = longer;
    return BT_OK;
}

/* The first whole one of the list, as an index; list->count when there is none. */
static enum bt_err first_whole(const struct bt_checkpoint_list *list, size_t *ret_index, char **damaged,
                               struct bt_diag *diag)
{
    struct bt_diag reason = {0};
    for (*ret_index = 0; *ret_index < list->count; ++*ret_index) {
        const char *path = list->entries[*ret_index].path;
        enum bt_err err = verify(path, &reason);
        if (!err)
            break;
        if (err == BT_ENOMEM)
            return bt_fail_nomem(diag);
        if ((err = add_damaged(damaged, path, reason.text, diag)))
            return err;
    }
    return BT_OK;
}

enum bt_err bt_checkpoint_newest(const char *folder, char **ret_path, bool *ret_any, char **ret_damaged,
                                 struct bt_diag *diag)
{
    struct bt_checkpoint_list list;
    char *damaged = NULL;
    size_t found;
    enum bt_err err = bt_checkpoint_list_read(folder, &list, diag);
    if (err)
        return err;
    if ((err = first_whole(&list, &found, &damaged, diag))) {
        bt_free(damaged);
        goto done;
    }
    *ret_path = NULL;
    if (found < list.count) {
        *ret_path = list.entries[found].path;
        list.entries[found].path = NULL; /* given away */
    }
    *ret_any = list.count > 0;
    *ret_damaged = damaged;
done:
    bt_checkpoint_list_finish(&list);
    return err;
}
