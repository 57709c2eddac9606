/* The weights of a model folder: one safetensors file, or shards with an index. */
#include "io/safetensors.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/tensor_file.h"

#define MODEL_FILE "model.safetensors"
#define INDEX_FILE "model.safetensors.index.json"

/* model.safetensors.index.json while it is being followed. */
struct index {
    const char *path;   /* of the index itself */
    const char *folder; /* where the shards lie */
    json_t *json;
    json_t *weight_map;  /* tensor name -> file name; inside json */
    const char **shards; /* distinct file names, sorted; inside json */
    size_t shard_count;
};

/* The index is untrusted: a name must stay inside the folder. */
static bool is_plain_name(const char *name)
{
    return *name && strcmp(name, ".") && strcmp(name, "..") && !strpbrk(name, "/\\");
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void keep_distinct(const char **names, size_t *count)
{
    size_t kept = 0;
    for (size_t i = 0; i < *count; i++)
        if (kept == 0 || strcmp(names[i], names[kept - 1]))
            names[kept++] = names[i];
    *count = kept;
}

static enum bt_err list_shards(struct index *index, struct bt_diag *diag)
{
    const char *tensor;
    json_t *value;
    size_t count = 0;
    index->shards = bt_zalloc(json_object_size(index->weight_map), sizeof index->shards[0]);
    if (!index->shards)
        return bt_fail_nomem(diag);
    json_object_foreach(index->weight_map, tensor, value)
    {
        const char *name = json_string_value(value);
        if (!name || !is_plain_name(name))
            return bt_fail(diag, BT_EINPUT,
                           "%s: tensor \"%.200s\": its file is \"%.200s\"; the name of a file in the same folder was "
                           "expected",
                           index->path, tensor, name ? name : "(not a string)");
        index->shards[count++] = name;
    }
    qsort(index->shards, count, sizeof index->shards[0], by_bytes);
    keep_distinct(index->shards, &count);
    index->shard_count = count;
    return BT_OK;
}

static enum bt_err index_read(struct index *index, struct bt_diag *diag)
{
    const enum bt_err err = bt_json_read(index->path, &index->json, diag);
    if (err)
        return err;
    index->weight_map = json_object_get(index->json, "weight_map");
    if (!json_is_object(index->weight_map) || json_object_size(index->weight_map) == 0)
        return bt_fail(diag, BT_EINPUT, "%s: \"weight_map\" is missing, empty or not an object", index->path);
    return list_shards(index, diag);
}

static void index_finish(struct index *index)
{
    bt_free(index->shards);
    json_decref(index->json);
}

/* Every tensor of the shard must be listed, and as lying in this shard: hence no name occurs in two shards. */
static enum bt_err check_shard(const struct index *index, const char *shard_name, const struct bt_safetensors *shard,
                               struct bt_diag *diag)
{
    for (size_t i = 0; i < shard->count; i++) {
        const char *tensor = shard->views[i].name;
        const char *listed = json_string_value(json_object_get(index->weight_map, tensor));
        if (!listed)
            return bt_fail(diag, BT_EINPUT, "%s: tensor \"%.200s\" is not in the weight_map of " INDEX_FILE,
                           shard->path, tensor);
        if (strcmp(listed, shard_name))
            return bt_fail(diag, BT_EINPUT,
                           "%s: tensor \"%.200s\" lies in the file \"%.200s\" according to " INDEX_FILE, shard->path,
                           tensor, listed);
    }
    return BT_OK;
}

static enum bt_err open_shards(const struct index *index, struct bt_safetensors *model, struct bt_diag *diag)
{
    model->parts = bt_zalloc(index->shard_count, sizeof model->parts[0]);
    if (!model->parts)
        return bt_fail_nomem(diag);
    for (size_t i = 0; i < index->shard_count; i++) {
        char *path = bt_path_join(index->folder, index->shards[i]);
        if (!path)
            return bt_fail_nomem(diag);
        enum bt_err err = bt_safetensors_open(path, &model->parts[i], diag);
        bt_free(path);
        if (err)
            return err;
        model->part_count++;
        err = check_shard(index, index->shards[i], model->parts[i], diag);
        if (err)
            return err;
        model->count += model->parts[i]->count;
    }
    return BT_OK;
}

static enum bt_err merge_views(struct bt_safetensors *model, struct bt_diag *diag)
{
    model->views = bt_zalloc(model->count, sizeof model->views[0]);
    if (!model->views)
        return bt_fail_nomem(diag);
    size_t at = 0;
    for (size_t p = 0; p < model->part_count; p++)
        for (size_t i = 0; i < model->parts[p]->count; i++)
            model->views[at++] = model->parts[p]->views[i];
    bt_tensor_views_sort(model->views, model->count);
    return BT_OK;
}

static enum bt_err check_all_present(const struct index *index, const struct bt_safetensors *model,
                                     struct bt_diag *diag)
{
    const char *tensor;
    json_t *value;
    json_object_foreach(index->weight_map, tensor, value)
    {
        if (!bt_safetensors_find(model, tensor))
            return bt_fail(diag, BT_EINPUT, "%s: tensor \"%.200s\" is not in \"%.200s\", the file it is listed under",
                           index->path, tensor, json_string_value(value));
    }
    return BT_OK;
}

static enum bt_err open_index(const char *folder, const char *path, struct bt_safetensors **ret_file,
                              struct bt_diag *diag)
{
    struct index index = {.path = path, .folder = folder};
    enum bt_err err = BT_OK;
    struct bt_safetensors *model = bt_zalloc(1, sizeof *model);
    if (!model)
        err = bt_fail_nomem(diag);
    if (!err)
        err = index_read(&index, diag);
    if (!err)
        err = open_shards(&index, model, diag);
    if (!err)
        err = merge_views(model, diag);
    if (!err)
        err = check_all_present(&index, model, diag);
    index_finish(&index);
    if (err)
        bt_safetensors_close(model);
    else
        *ret_file = model;
    return err;
}

enum bt_err bt_safetensors_open_model(const char *folder, struct bt_safetensors **ret_file, struct bt_diag *diag)
{
    enum bt_err err;
    char *single = bt_path_join(folder, MODEL_FILE), *index = bt_path_join(folder, INDEX_FILE);
    if (!single || !index)
        err = bt_fail_nomem(diag);
    else if (bt_file_exists(single))
        err = bt_safetensors_open(single, ret_file, diag);
    else if (bt_file_exists(index))
        err = open_index(folder, index, ret_file, diag);
    else
        err = bt_fail(diag, BT_EINPUT, "%s: there is neither " MODEL_FILE " nor " INDEX_FILE, folder);
    bt_free(index);
    bt_free(single);
    return err;
}
