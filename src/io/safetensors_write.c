/* Writing a safetensors file as the safetensors crate does: widest dtypes first, then by name, and a header padded to a
 * multiple of 8, so that a mapped file has every tensor naturally aligned. */
#include "io/safetensors.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/tensor_file.h"

struct plan {
    const struct bt_tensor_source **order;
    char *header;         /* padded */
    uint64_t header_size; /* in the file a little-endian u64 */
    uint64_t data_size;
};

static int by_dtype_then_name(const void *a, const void *b)
{
    const struct bt_tensor_source *x = *(const struct bt_tensor_source *const *)a;
    const struct bt_tensor_source *y = *(const struct bt_tensor_source *const *)b;
    return x->dtype != y->dtype ? (x->dtype < y->dtype) - (x->dtype > y->dtype) : strcmp(x->name, y->name);
}

/* NULL when memory is out. */
static json_t *shape_json(const struct bt_tensor_source *tensor)
{
    json_t *shape = json_array();
    for (size_t i = 0; shape && i < tensor->rank; i++) {
        if (json_array_append_new(shape, json_integer((json_int_t)tensor->shape[i]))) {
            json_decref(shape);
            return NULL;
        }
    }
    return shape;
}

static enum bt_err add_tensor(json_t *header, const struct bt_tensor_source *tensor, uint64_t *offset,
                              struct bt_diag *diag)
{
    uint64_t bytes, end;
    if (tensor->rank > BT_TENSOR_MAX_RANK)
        return bt_fail(diag, BT_EINPUT, "tensor \"%.200s\": it has %zu dimensions; at most %d are supported",
                       tensor->name, tensor->rank, BT_TENSOR_MAX_RANK);
    const char *fault = bt_tensor_bytes(tensor->dtype, tensor->shape, tensor->rank, &bytes);
    if (!fault && (__builtin_add_overflow(*offset, bytes, &end) || end > INT64_MAX))
        fault = "the file would be too large";
    if (!fault && (!strcmp(tensor->name, BT_TENSOR_METADATA) || json_object_get(header, tensor->name)))
        fault = "its name is taken";
    if (fault)
        return bt_fail(diag, BT_EINPUT, "tensor \"%.200s\": %s", tensor->name, fault);

    json_t *info = json_pack("{s:s, s:o, s:[I, I]}", "dtype", bt_dtype_name(tensor->dtype), "shape", shape_json(tensor),
                             "data_offsets", (json_int_t)*offset, (json_int_t)end);
    if (json_object_set_new(header, tensor->name, info))
        return bt_fail_nomem(diag);
    *offset = end;
    return BT_OK;
}

/* The text with spaces after it; takes text. */
static char *pad(char *text, uint64_t *ret_size)
{
    const size_t length = strlen(text), size = (length + 7) / 8 * 8;
    char *padded = bt_realloc(text, size + 1, 1);
    if (!padded) {
        bt_free(text);
        return NULL;
    }
    memset(padded + length, ' ', size - length);
    *ret_size = size;
    return padded;
}

/* sealed: the checksum comes first, so that it lies in a fixed place. */
static json_t *begin_header(bool sealed)
{
    if (!sealed)
        return json_pack("{s:{s:s}}", BT_TENSOR_METADATA, "format", "pt");
    return json_pack("{s:{s:s, s:s}}", BT_TENSOR_METADATA, BT_SEAL_NAME, "0000000000000000", "format", "pt");
}

static enum bt_err make_header(struct plan *plan, size_t count, bool sealed, struct bt_diag *diag)
{
    json_t *header = begin_header(sealed);
    enum bt_err err = header ? BT_OK : bt_fail_nomem(diag);
    for (size_t i = 0; i < count && !err; i++)
        err = add_tensor(header, plan->order[i], &plan->data_size, diag);
    if (!err) {
        char *text = bt_json_text(header, 0);
        plan->header = text ? pad(text, &plan->header_size) : NULL;
        err = plan->header ? BT_OK : bt_fail_nomem(diag);
    }
    json_decref(header);
    return err;
}

static void plan_finish(struct plan *plan)
{
    bt_free(plan->header);
    bt_free(plan->order);
}

static enum bt_err plan_init(struct plan *plan, const struct bt_tensor_source *tensors, size_t count, bool sealed,
                             struct bt_diag *diag)
{
    *plan = (struct plan){.order = bt_zalloc(count, sizeof plan->order[0])};
    if (!plan->order)
        return bt_fail_nomem(diag);
    for (size_t i = 0; i < count; i++)
        plan->order[i] = &tensors[i];
    qsort(plan->order, count, sizeof plan->order[0], by_dtype_then_name);
    const enum bt_err err = make_header(plan, count, sealed, diag);
    if (err)
        plan_finish(plan);
    return err;
}

static enum bt_err write_tensor(struct bt_out *out, const struct bt_tensor_source *tensor, struct bt_diag *diag)
{
    uint64_t bytes = 0;
    bt_tensor_bytes(tensor->dtype, tensor->shape, tensor->rank, &bytes); /* was checked for the header */
    return bt_out_write(out, tensor->data, (size_t)bytes, diag);
}

static enum bt_err write_plan(struct bt_out *out, const struct plan *plan, size_t count, struct bt_diag *diag)
{
    enum bt_err err = bt_out_write(out, &plan->header_size, sizeof plan->header_size, diag);
    if (!err)
        err = bt_out_write(out, plan->header, (size_t)plan->header_size, diag);
    for (size_t i = 0; i < count && !err; i++)
        err = write_tensor(out, plan->order[i], diag);
    return err;
}

static enum bt_err patch_checksum(struct bt_out *out, struct bt_diag *diag)
{
    const struct bt_seal *seal = &bt_safetensors_seal;
    unsigned char value[BT_SEAL_WIDTH];
    bt_seal_value(seal, bt_out_hash(out), value);
    return bt_out_patch(out, seal->at + seal->lead_size, value, seal->width, diag);
}

static enum bt_err write_file(const char *path, const struct bt_tensor_source *tensors, size_t count, bool sealed,
                              uint64_t *ret_hash, struct bt_diag *diag)
{
    struct plan plan;
    struct bt_out *out = NULL;
    uint64_t hash = 0;
    enum bt_err err = plan_init(&plan, tensors, count, sealed, diag);
    if (err)
        return err;
    err = bt_out_open(path, &out, diag);
    if (err)
        goto done;
    err = write_plan(out, &plan, count, diag);
    if (!err && sealed)
        err = patch_checksum(out, diag);
    if (err) {
        bt_out_abandon(out);
        goto done;
    }
    hash = bt_out_hash(out);
    err = bt_out_close(out, diag);
    if (!err && ret_hash)
        *ret_hash = hash;
done:
    plan_finish(&plan);
    return err;
}

enum bt_err bt_safetensors_write(const char *path, const struct bt_tensor_source *tensors, size_t count,
                                 uint64_t *ret_hash, struct bt_diag *diag)
{
    return write_file(path, tensors, count, false, ret_hash, diag);
}

enum bt_err bt_safetensors_write_sealed(const char *path, const struct bt_tensor_source *tensors, size_t count,
                                        struct bt_diag *diag)
{
    return write_file(path, tensors, count, true, NULL, diag);
}
