/* io/tensor_file.h - what the files of the safetensors reader and writer share. Private to src/io. */
#ifndef BT_IO_TENSOR_FILE_H
#define BT_IO_TENSOR_FILE_H

#include "io/file.h"
#include "io/json.h"
#include "io/safetensors.h"
#include "io/seal.h"

#define BT_TENSOR_HEADER_MAX ((uint64_t)100000000) /* the limit of the safetensors crate */
#define BT_TENSOR_METADATA   "__metadata__"        /* the one key of a header that is no tensor */

/* Either one file, or a model whose parts are such files. */
struct bt_safetensors {
    struct bt_map map; /* size 0 when the bytes are the caller's */
    char *path;
    json_t *header;               /* owns the names in views */
    struct bt_tensor_view *views; /* sorted by name */
    size_t count;
    struct bt_safetensors **parts;
    size_t part_count;
};

/* How such a file holds its checksum: as 16 digits, the first entry of its metadata. */
extern const struct bt_seal bt_safetensors_seal;

bool bt_dtype_from_name(const char *name, enum bt_dtype *ret_dtype);
/* Returns NULL, or what is wrong with the shape. */
const char *bt_tensor_bytes(enum bt_dtype dtype, const uint64_t *shape, size_t rank, uint64_t *ret_bytes);
void bt_tensor_views_sort(struct bt_tensor_view *views, size_t count);

#endif
