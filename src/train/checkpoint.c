#include "train/checkpoint.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "io/file.h"
#include "io/safetensors.h"
#include "train/checkpoint_list.h"
#include "train/checkpoint_state.h"
#include "train/model_folder.h"
#include "train/optimizer.h"
#include "train/progress.h"
#include "train/telemetry.h"

#define MODEL_FILE     "model.safetensors"
#define OPTIMIZER_FILE "optimizer.safetensors"

struct moment_name {
    char text[sizeof((struct bt_param *)NULL)->name + 2];
};

/* More than the headers, the state and the rounding to blocks of the file system take. */
static uint64_t disk_slack(const struct bt_checkpoint_source *source)
{
    return UINT64_C(1048576) + 1024 * (uint64_t)source->params->count + 8192 * (uint64_t)source->file_count;
}

char *bt_checkpoint_path(const char *folder, int64_t step)
{
    struct bt_checkpoint_paths paths;
    if (bt_checkpoint_paths_init(&paths, folder, step, NULL))
        return NULL;
    char *place = paths.place;
    paths.place = NULL;
    bt_checkpoint_paths_finish(&paths);
    return place;
}

uint64_t bt_checkpoint_disk_size(const struct bt_checkpoint_source *source)
{
    uint64_t moments = 2 * (uint64_t)source->params->elements;
    for (size_t i = 0; i < source->params->count; i++)
        if (bt_muon_takes(source->optimizer, &source->params->list[i]))
            moments -= source->params->list[i].count;
    const uint64_t codes = source->telemetry ? source->telemetry->packed_bytes : 0;
    return bt_model_disk_size(source->params, source->tokenizer_source) + moments * sizeof(float) + codes +
           disk_slack(source);
}

static enum bt_err check_disk(const char *folder, const struct bt_checkpoint_source *source, struct bt_diag *diag)
{
    char needed[32], there[32];
    uint64_t free_bytes;
    const uint64_t size = bt_checkpoint_disk_size(source);
    enum bt_err err = bt_disk_free(folder, &free_bytes, diag);
    if (err || size <= free_bytes)
        return err;
    bt_format_bytes(needed, sizeof needed, size);
    bt_format_bytes(there, sizeof there, free_bytes);
    return bt_fail(diag, BT_EIO, "%s: a checkpoint needs %s, and the disk has %s free", folder, needed, there);
}

struct moments { /* tensors of optimizer.safetensors */
    struct bt_tensor_source *tensors;
    struct moment_name *names;
    size_t count;
};

static void add_moment(struct moments *moments, const struct bt_param *param, char which, const float *values)
{
    struct moment_name *name = &moments->names[moments->count];
    struct bt_tensor_source *tensor = &moments->tensors[moments->count++];
    snprintf(name->text, sizeof name->text, "%s.%c", param->name, which);
    *tensor = (struct bt_tensor_source){.name = name->text, .dtype = BT_DTYPE_F32, .rank = param->rank, .data = values};
    memcpy(tensor->shape, param->shape, param->rank * sizeof *param->shape);
}

static enum bt_err write_optimizer(const char *path, const struct bt_checkpoint_source *source, uint64_t *ret_hash,
                                   struct bt_diag *diag)
{
    const struct bt_params *params = source->params;
    struct moments moments = {.tensors = bt_zalloc(2 * params->count, sizeof *moments.tensors),
                              .names = bt_zalloc(2 * params->count, sizeof *moments.names)};
    enum bt_err err = BT_OK;
    if (!moments.tensors || !moments.names) {
        err = bt_fail_nomem(diag);
        goto done;
    }
    for (size_t i = 0; i < params->count; i++)
        add_moment(&moments, &params->list[i], 'm', source->m + params->list[i].offset);
    for (size_t i = 0; i < params->count; i++)
        if (!bt_muon_takes(source->optimizer, &params->list[i]))
            add_moment(&moments, &params->list[i], 'v', source->v + bt_second_moment_at(params, source->optimizer, i));
    err = bt_safetensors_write(path, moments.tensors, moments.count, ret_hash, diag);
done:
    bt_free(moments.names);
    bt_free(moments.tensors);
    return err;
}

struct big_hashes { /* known from writing: what was meant, and no second reading of gigabytes */
    uint64_t model, optimizer;
};

static enum bt_err describe_file(const char *folder, const char *name, const struct big_hashes *big,
                                 struct bt_data_file *file, struct bt_diag *diag)
{
    enum bt_err err;
    struct bt_map map = {0};
    char *path = bt_path_join(folder, name);
    file->path = bt_strdup(name);
    if (!path || !file->path)
        err = bt_fail_nomem(diag);
    else if (!strcmp(name, MODEL_FILE) || !strcmp(name, OPTIMIZER_FILE))
        err = bt_map_open(path, &map, diag);
    else
        err = bt_file_hash(path, &file->hash, &file->size, diag);
    if (map.data) {
        file->size = map.size;
        file->hash = !strcmp(name, MODEL_FILE) ? big->model : big->optimizer;
    }
    bt_map_close(&map);
    bt_free(path);
    return err;
}

/* Lists what was written so far, which is all but state.json. */
static enum bt_err describe_files(const char *folder, const struct big_hashes *big, struct bt_data_file **ret_files,
                                  size_t *ret_count, struct bt_diag *diag)
{
    char **names;
    size_t count;
    enum bt_err err = bt_dir_list(folder, &names, &count, diag);
    if (err)
        return err;
    struct bt_data_file *files = bt_zalloc(count, sizeof *files);
    if (!files)
        err = bt_fail_nomem(diag);
    for (size_t i = 0; i < count && !err; i++)
        err = describe_file(folder, names[i], big, &files[i], diag);
    if (err) {
        bt_data_files_free(files, count);
    } else {
        *ret_files = files;
        *ret_count = count;
    }
    bt_names_free(names, count);
    return err;
}

static enum bt_err write_state(const char *folder, const struct bt_checkpoint_source *source,
                               const struct big_hashes *big, struct bt_diag *diag)
{
    struct bt_checkpoint_state content = {.state = *source->state, .data_count = source->file_count};
    enum bt_err err = describe_files(folder, big, &content.files, &content.file_count, diag);
    if (err)
        return err;
    content.data = (struct bt_data_file *)(uintptr_t)source->files; /* borrowed: it is only written out */
    err = bt_checkpoint_state_write(folder, &content, diag);
    bt_data_files_free(content.files, content.file_count);
    return err;
}

static enum bt_err write_content(const char *folder, const struct bt_checkpoint_source *source, struct bt_diag *diag)
{
    struct big_hashes big;
    enum bt_err err;
    char *optimizer = bt_path_join(folder, OPTIMIZER_FILE);
    if (!optimizer)
        return bt_fail_nomem(diag);
    if (!(err = bt_dir_make(folder, diag)) &&
        !(err = bt_model_write(folder, source->config, source->params, source->weights, source->marks,
                               source->tokenizer_source, &big.model, diag)) &&
        !(err = write_optimizer(optimizer, source, &big.optimizer, diag)) &&
        !(err = source->telemetry ? bt_telemetry_save(source->telemetry, folder, diag) : BT_OK) &&
        !(err = write_state(folder, source, &big, diag)))
        err = bt_dir_sync(folder, diag);
    bt_free(optimizer);
    return err;
}

/* After a kill at any point here, the old or the new one is whole under a name that bt_checkpoint_newest reads. */
static enum bt_err put_in_place(const struct bt_checkpoint_paths *paths, struct bt_diag *diag)
{
    enum bt_err err = BT_OK;
    const bool replaces = bt_file_exists(paths->place);
    if (replaces && !(err = bt_dir_remove(paths->aside, diag)))
        err = bt_file_rename(paths->place, paths->aside, diag);
    if (!err)
        err = bt_file_rename(paths->beside, paths->place, diag);
    if (!err)
        return bt_dir_remove(paths->aside, diag);
    if (replaces && !bt_file_exists(paths->place))
        bt_file_rename(paths->aside, paths->place, NULL); /* if this fails too, the name aside is read as well */
    return err;
}

/* What stands at a later step was passed over as damaged, or the run would have gone on from it. Left there it would
 * count as newer than what this run saves, and pruning would keep it in place of that. */
static enum bt_err remove_later(const char *folder, int64_t step, struct bt_diag *diag)
{
    struct bt_checkpoint_list list;
    enum bt_err err = bt_checkpoint_list_read(folder, &list, diag);
    if (err)
        return err;
    for (size_t i = 0; i < list.count && !err && list.entries[i].step > step; i++)
        err = bt_checkpoint_remove(folder, &list.entries[i], diag);
    bt_checkpoint_list_finish(&list);
    return err;
}

enum bt_err bt_checkpoint_save(const char *folder, const struct bt_checkpoint_source *source, struct bt_diag *diag)
{
    struct bt_checkpoint_paths paths;
    enum bt_err err = bt_checkpoint_paths_init(&paths, folder, source->state->step, diag);
    if (err)
        return err;
    /* What a kill left is removed first: it may be what fills the disk. */
    if ((err = bt_dir_make(folder, diag)) || (err = bt_checkpoint_clean(folder, diag)) ||
        (err = check_disk(folder, source, diag)))
        goto done;
    if ((err = write_content(paths.beside, source, diag)) || (err = put_in_place(&paths, diag)))
        bt_dir_remove(paths.beside, NULL);
    else
        err = remove_later(folder, source->state->step, diag);
done:
    bt_checkpoint_paths_finish(&paths);
    return err;
}

static bool fits(const struct bt_tensor_view *view, const struct bt_param *param)
{
    bool same = view->dtype == BT_DTYPE_F32 && view->rank == param->rank;
    for (size_t i = 0; same && i < param->rank; i++)
        same = view->shape[i] == param->shape[i];
    return same;
}

static enum bt_err read_tensor(const struct bt_safetensors *file, const char *path, const struct bt_param *param,
                               const char *suffix, float *out, struct bt_diag *diag)
{
    struct moment_name name;
    snprintf(name.text, sizeof name.text, "%s%s", param->name, suffix);
    const struct bt_tensor_view *view = bt_safetensors_find(file, name.text);
    if (!view)
        return bt_fail(diag, BT_EINPUT, "%s: tensor %s is missing", path, name.text);
    if (!fits(view, param))
        return bt_fail(diag, BT_EINPUT, "%s: tensor %s is not F32 with the %zu elements of this model's shape", path,
                       name.text, param->count);
    return bt_tensor_to_f32(view, out, diag);
}

/* Fills one flat buffer from the tensors named "<parameter><suffix>". The padding between parameters stays zero. */
static enum bt_err fill(const struct bt_safetensors *file, const char *path, const struct bt_params *params,
                        const char *suffix, float *out, struct bt_diag *diag)
{
    enum bt_err err = BT_OK;
    memset(out, 0, params->total * sizeof *out);
    for (size_t i = 0; !err && i < params->count; i++)
        err = read_tensor(file, path, &params->list[i], suffix, out + params->list[i].offset, diag);
    return err;
}

static enum bt_err fill_second(const struct bt_safetensors *file, const char *path, const struct bt_params *params,
                               const struct bt_cfg_optimizer *optimizer, float *v, struct bt_diag *diag)
{
    enum bt_err err = BT_OK;
    memset(v, 0, bt_second_moment_at(params, optimizer, params->count) * sizeof *v);
    for (size_t i = 0; !err && i < params->count; i++)
        if (!bt_muon_takes(optimizer, &params->list[i]))
            err = read_tensor(file, path, &params->list[i], ".v", v + bt_second_moment_at(params, optimizer, i), diag);
    return err;
}

static enum bt_err fail_count(const struct bt_safetensors *file, const char *path, size_t expected,
                              struct bt_diag *diag)
{
    return bt_fail(diag, BT_EINPUT, "%s: %zu tensors, expected the %zu of this model", path, bt_safetensors_count(file),
                   expected);
}

static enum bt_err load_model(const char *folder, const struct bt_params *params, float *weights, struct bt_diag *diag)
{
    struct bt_safetensors *file = NULL;
    char *path = bt_path_join(folder, MODEL_FILE);
    enum bt_err err = path ? bt_safetensors_open(path, &file, diag) : bt_fail_nomem(diag);
    if (!err && bt_safetensors_count(file) != params->count)
        err = fail_count(file, path, params->count, diag);
    if (!err)
        err = fill(file, path, params, "", weights, diag);
    bt_safetensors_close(file);
    bt_free(path);
    return err;
}

static size_t moment_tensors(const struct bt_params *params, const struct bt_cfg_optimizer *optimizer)
{
    size_t count = 2 * params->count;
    for (size_t i = 0; i < params->count; i++)
        count -= bt_muon_takes(optimizer, &params->list[i]);
    return count;
}

static enum bt_err load_optimizer(const char *folder, const struct bt_params *params,
                                  const struct bt_cfg_optimizer *optimizer, float *m, float *v, struct bt_diag *diag)
{
    struct bt_safetensors *file = NULL;
    const size_t expected = moment_tensors(params, optimizer);
    char *path = bt_path_join(folder, OPTIMIZER_FILE);
    enum bt_err err = path ? bt_safetensors_open(path, &file, diag) : bt_fail_nomem(diag);
    /* Older checkpoints have second moments of Muon's matrices, too: zeros that nothing reads. */
    if (!err && bt_safetensors_count(file) != expected && bt_safetensors_count(file) != 2 * params->count)
        err = fail_count(file, path, expected, diag);
    if (!err)
        err = fill(file, path, params, ".m", m, diag);
    if (!err)
        err = fill_second(file, path, params, optimizer, v, diag);
    bt_safetensors_close(file);
    bt_free(path);
    return err;
}

static enum bt_err load_state(const char *path, struct bt_train_state *state, struct bt_data_file **ret_files,
                              size_t *ret_file_count, struct bt_diag *diag)
{
    struct bt_checkpoint_state content;
    const enum bt_err err = bt_checkpoint_state_read(path, &content, diag);
    if (err)
        return err;
    *state = content.state;
    *ret_files = content.data;
    *ret_file_count = content.data_count;
    content.data = NULL; /* given away */
    content.data_count = 0;
    bt_checkpoint_state_finish(&content);
    return BT_OK;
}

enum bt_err bt_checkpoint_load(const char *path, const struct bt_params *params,
                               const struct bt_cfg_optimizer *optimizer, float *weights, float *m, float *v,
                               struct bt_train_state *state, struct bt_data_file **ret_files, size_t *ret_file_count,
                               struct bt_diag *diag)
{
    enum bt_err err;
    if ((err = load_model(path, params, weights, diag)) || (err = load_optimizer(path, params, optimizer, m, v, diag)))
        return err;
    return load_state(path, state, ret_files, ret_file_count, diag);
}
