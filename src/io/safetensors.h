/* io/safetensors.h - reading (mapped, single or sharded) and writing. Layout and every rejection: the safetensors
 * crate's `Metadata::validate`; order and alignment of what is written as its serializer does. */
#ifndef BT_IO_SAFETENSORS_H
#define BT_IO_SAFETENSORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* all dtypes of the format, in its order of increasing alignment */
enum bt_dtype {
    BT_DTYPE_BOOL,
    BT_DTYPE_F4,
    BT_DTYPE_F6_E2M3,
    BT_DTYPE_F6_E3M2,
    BT_DTYPE_U8,
    BT_DTYPE_I8,
    BT_DTYPE_F8_E5M2,
    BT_DTYPE_F8_E4M3,
    BT_DTYPE_F8_E8M0,
    BT_DTYPE_F8_E4M3FNUZ,
    BT_DTYPE_F8_E5M2FNUZ,
    BT_DTYPE_I16,
    BT_DTYPE_U16,
    BT_DTYPE_F16,
    BT_DTYPE_BF16,
    BT_DTYPE_I32,
    BT_DTYPE_U32,
    BT_DTYPE_F32,
    BT_DTYPE_C64,
    BT_DTYPE_F64,
    BT_DTYPE_I64,
    BT_DTYPE_U64,
    BT_DTYPE_COUNT,
};
const char *bt_dtype_name(enum bt_dtype dtype);
unsigned bt_dtype_bits(enum bt_dtype dtype);

#define BT_TENSOR_MAX_RANK 8

struct bt_tensor_view { /* bytes borrowed from the mapped file; not necessarily aligned */
    const char *name;
    enum bt_dtype dtype;
    size_t rank;
    uint64_t shape[BT_TENSOR_MAX_RANK];
    const unsigned char *data;
    size_t bytes;
    const char *file; /* the file it lies in, for messages */
};

/* One file, or a folder's model.safetensors, or its model.safetensors.index.json with all shards. */
struct bt_safetensors;
/* A file with a checksum (io/seal.h) must be what it was written as; one without is read as it is. */
enum bt_err bt_safetensors_open(const char *path, struct bt_safetensors **ret_file, struct bt_diag *diag);
enum bt_err bt_safetensors_open_model(const char *folder, struct bt_safetensors **ret_file, struct bt_diag *diag);
/* From memory that the caller keeps; `what` names it in errors. */
enum bt_err bt_safetensors_parse(const void *data, size_t size, const char *what, struct bt_safetensors **ret_file,
                                 struct bt_diag *diag);
void bt_safetensors_close(struct bt_safetensors *file); /* takes NULL */
/* Tensors in order of their names, by bytes. */
size_t bt_safetensors_count(const struct bt_safetensors *file);
const struct bt_tensor_view *bt_safetensors_at(const struct bt_safetensors *file, size_t i);
const struct bt_tensor_view *bt_safetensors_find(const struct bt_safetensors *file, const char *name); /* or NULL */
/* BT_EINPUT naming the dtype unless it is one that bt_tensor_to_f32 takes. */
enum bt_err bt_tensor_check_float(const struct bt_tensor_view *view, struct bt_diag *diag);
/* Widens F32, F16 or BF16 to float32; any other dtype is BT_EINPUT naming it. */
enum bt_err bt_tensor_to_f32(const struct bt_tensor_view *view, float *out, struct bt_diag *diag);

/* What to write: name (UTF-8), dtype, shape and bytes are borrowed. */
struct bt_tensor_source {
    const char *name;
    enum bt_dtype dtype;
    size_t rank;
    uint64_t shape[BT_TENSOR_MAX_RANK];
    const void *data;
};
/* Writes a whole file (with `"__metadata__":{"format":"pt"}`), synced, in the crate's order; path is taken as it is, so
 * give a temporary name or folder. ret_hash (may be NULL): XXH3-64 of the file. */
enum bt_err bt_safetensors_write(const char *path, const struct bt_tensor_source *tensors, size_t count,
                                 uint64_t *ret_hash, struct bt_diag *diag);
/* The same with a checksum of the file in its metadata. */
enum bt_err bt_safetensors_write_sealed(const char *path, const struct bt_tensor_source *tensors, size_t count,
                                        struct bt_diag *diag);

#endif
