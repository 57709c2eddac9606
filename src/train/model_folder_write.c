#include <dirent.h>
#include <fnmatch.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "io/file.h"
#include "io/gguf.h"
#include "io/json.h"
#include "io/safetensors.h"
#include "text/tokenizer_gguf.h"
#include "train/model_folder.h"

/* What belongs to a model folder besides its weights and its config, and goes along as it came. */
static const char *const companions[] = {
    "tokenizer*.json", "tokenizer.model", "special_tokens_map.json", "added_tokens.json",
    "vocab.json",      "merges.txt",      "chat_template.*",         "generation_config.json",
};

static bool is_companion(const char *name)
{
    for (size_t i = 0; i < sizeof companions / sizeof *companions; i++) {
        if (!fnmatch(companions[i], name, 0))
            return true;
    }
    return false;
}

static enum bt_err copy_file(const char *from_folder, const char *to_folder, const char *name, struct bt_diag *diag)
{
    enum bt_err err = BT_OK;
    char *from = bt_path_join(from_folder, name);
    char *to = bt_path_join(to_folder, name);
    if (!from || !to)
        err = bt_fail_nomem(diag);
    else if (!bt_dir_exists(from))
        err = bt_file_copy(from, to, diag);
    bt_free(from);
    bt_free(to);
    return err;
}

/* A GGUF file has no companions: it holds a tokenizer itself. */
static enum bt_err write_tokenizer_of(const char *gguf, const char *to, struct bt_diag *diag)
{
    struct bt_tokenizer_source source = {0};
    enum bt_err err = bt_tokenizer_source_read(gguf, &source, diag);
    if (!err)
        err = bt_tokenizer_source_write(&source, to, diag);
    bt_tokenizer_source_finish(&source);
    return err;
}

enum bt_err bt_model_copy_companions(const char *from, const char *to, struct bt_diag *diag)
{
    if (bt_gguf_is_file(from))
        return write_tokenizer_of(from, to, diag);
    char **names = NULL;
    size_t count = 0;
    enum bt_err err = bt_dir_list(from, &names, &count, diag);
    for (size_t i = 0; i < count && !err; i++) {
        if (is_companion(names[i]))
            err = copy_file(from, to, names[i], diag);
    }
    bt_names_free(names, count);
    return err;
}

static enum bt_err write_config(const char *folder, const struct bt_hf_config *config, bool sub_norm,
                                const struct bt_hf_marks *marks, struct bt_diag *diag)
{
    json_t *object = NULL;
    char *path = bt_path_join(folder, "config.json");
    enum bt_err err = path ? bt_hf_config_write(config, sub_norm, marks, &object, diag) : bt_fail_nomem(diag);
    if (!err)
        err = bt_json_write(path, object, diag);
    json_decref(object);
    bt_free(path);
    return err;
}

static struct bt_tensor_source source_of(const struct bt_param *param, const float *weights)
{
    return (struct bt_tensor_source){.name = param->name,
                                     .dtype = BT_DTYPE_F32,
                                     .rank = param->rank,
                                     .shape = {param->shape[0], param->shape[1]},
                                     .data = weights + param->offset};
}

static enum bt_err write_weights(const char *folder, const struct bt_params *params, const float *weights,
                                 uint64_t *ret_hash, struct bt_diag *diag)
{
    enum bt_err err;
    char *path = bt_path_join(folder, "model.safetensors");
    struct bt_tensor_source *tensors = bt_zalloc(params->count, sizeof *tensors);
    if (!path || !tensors) {
        err = bt_fail_nomem(diag);
        goto done;
    }
    for (size_t i = 0; i < params->count; i++)
        tensors[i] = source_of(&params->list[i], weights);
    err = bt_safetensors_write(path, tensors, params->count, ret_hash, diag);
done:
    bt_free(path);
    bt_free(tensors);
    return err;
}

enum bt_err bt_model_write(const char *path, const struct bt_hf_config *config, const struct bt_params *params,
                           const float *weights, const struct bt_hf_marks *marks, const char *source,
                           uint64_t *ret_hash, struct bt_diag *diag)
{
    enum bt_err err = write_config(path, config, params->shape->sub_norm, marks, diag);
    if (!err && source)
        err = bt_model_copy_companions(source, path, diag);
    if (!err)
        err = write_weights(path, params, weights, ret_hash, diag);
    return err;
}

/* Sizes alone, so without the allocations of io/file.h: a caller that only wants a number need not fail. */
static uint64_t companions_size(const char *folder)
{
    uint64_t bytes = 0;
    const struct dirent *entry;
    struct stat info;
    DIR *dir = opendir(folder);
    while (dir && (entry = readdir(dir))) {
        if (is_companion(entry->d_name) && !fstatat(dirfd(dir), entry->d_name, &info, 0))
            bytes += (uint64_t)info.st_size;
    }
    if (dir)
        closedir(dir);
    return bytes;
}

uint64_t bt_model_disk_size(const struct bt_params *params, const char *source)
{
    const uint64_t header_entry =
        256;                       /* a tensor's name, shape and offsets in the header; names have at most 95 bytes */
    const uint64_t config = 65536; /* config.json and the rest of the header */
    return params->elements * sizeof(float) + params->count * header_entry + config +
           (source ? companions_size(source) : 0);
}
