#include <string.h>

#include "io/file.h"
#include "io/safetensors.h"
#include "train/telemetry.h"

#define CODES  "codes"
#define SCALES "first_scales"

enum bt_err bt_telemetry_save(const struct bt_telemetry *t, const char *folder, struct bt_diag *diag)
{
    enum bt_err err;
    if (!t->packed_bytes)
        return BT_OK;
    char *path = bt_path_join(folder, BT_TELEMETRY_FILE);
    float *scales = bt_zalloc(t->count, sizeof *scales);
    if (!path || !scales) {
        err = bt_fail_nomem(diag);
        goto done;
    }
    for (size_t i = 0; i < t->count; i++)
        scales[i] = t->weights[i].first_scale;
    const struct bt_tensor_source tensors[] = {
        {.name = CODES, .dtype = BT_DTYPE_U8, .rank = 1, .shape = {t->packed_bytes}, .data = t->packed},
        {.name = SCALES,
         .dtype = BT_DTYPE_F32,
         .rank = 2,
         .shape = {t->params->shape->layers, BT_PROJECTIONS},
         .data = scales},
    };
    err = bt_safetensors_write(path, tensors, 2, NULL, diag);
done:
    bt_free(scales);
    bt_free(path);
    return err;
}

static enum bt_err find(const struct bt_safetensors *file, const char *path, const char *name, enum bt_dtype dtype,
                        size_t bytes, const struct bt_tensor_view **ret_view, struct bt_diag *diag)
{
    const struct bt_tensor_view *view = bt_safetensors_find(file, name);
    if (!view)
        return bt_fail(diag, BT_EINPUT, "%s: tensor %s is missing", path, name);
    if (view->dtype != dtype || view->bytes != bytes)
        return bt_fail(diag, BT_EINPUT, "%s: tensor %s is %s of %zu bytes, expected %s of the %zu of this model", path,
                       name, bt_dtype_name(view->dtype), view->bytes, bt_dtype_name(dtype), bytes);
    *ret_view = view;
    return BT_OK;
}

static enum bt_err check_codes(const struct bt_telemetry *t, const char *path, struct bt_diag *diag)
{
    for (size_t i = 0; i < t->count; i++) {
        const struct bt_weight_measure *w = &t->weights[i];
        if (w->packed && !bt_packed_codes_valid(w->packed, w->param->count))
            return bt_fail(diag, BT_EINPUT, "%s: tensor " CODES " has bits that are no code, in those of %s", path,
                           w->param->name);
    }
    return BT_OK;
}

static enum bt_err read_tensors(struct bt_telemetry *t, const struct bt_safetensors *file, const char *path,
                                struct bt_diag *diag)
{
    const struct bt_tensor_view *codes, *scales;
    enum bt_err err;
    if ((err = find(file, path, CODES, BT_DTYPE_U8, t->packed_bytes, &codes, diag)) ||
        (err = find(file, path, SCALES, BT_DTYPE_F32, t->count * sizeof(float), &scales, diag)))
        return err;
    memcpy(t->packed, codes->data, t->packed_bytes);
    for (size_t i = 0; i < t->count; i++)
        memcpy(&t->weights[i].first_scale, scales->data + i * sizeof(float), sizeof(float));
    return check_codes(t, path, diag);
}

enum bt_err bt_telemetry_load(struct bt_telemetry *t, const char *folder, struct bt_diag *diag)
{
    struct bt_safetensors *file = NULL;
    if (!t->packed_bytes)
        return BT_OK;
    char *path = bt_path_join(folder, BT_TELEMETRY_FILE);
    enum bt_err err = path ? bt_safetensors_open(path, &file, diag) : bt_fail_nomem(diag);
    if (!err)
        err = read_tensors(t, file, path, diag);
    bt_safetensors_close(file);
    bt_free(path);
    return err;
}
