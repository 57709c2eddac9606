/* Reading one safetensors file. */
#include "io/safetensors.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/tensor_file.h"

/* The format is little-endian, and views are handed out as they lie in the file. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "a big-endian machine would need byte swaps");

/* Behind the length of the header. */
#define SEAL_BEFORE "{\"" BT_TENSOR_METADATA "\":{\""
#define SEAL_LEAD   SEAL_BEFORE BT_SEAL_NAME "\":\""
const struct bt_seal bt_safetensors_seal = {8, SEAL_LEAD, sizeof SEAL_LEAD - 1, sizeof SEAL_BEFORE - 1, 16, '0'};

/* A tensor of the header, with the offsets it claims. */
struct entry {
    struct bt_tensor_view view;
    uint64_t begin, end;
};

/* A sentence about one tensor; its name may be of any length. */
#define FAIL_TENSOR(diag, view, format, ...)                                                                           \
    bt_fail(diag, BT_EINPUT, "%s: tensor \"%.200s\": " format, (view)->file, (view)->name, __VA_ARGS__)

static bool to_count(const json_t *value, uint64_t *ret_count)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return false;
    *ret_count = (uint64_t)json_integer_value(value);
    return true;
}

static enum bt_err read_dtype(const json_t *info, struct bt_tensor_view *view, struct bt_diag *diag)
{
    const char *name = json_string_value(json_object_get(info, "dtype"));
    if (!name)
        return FAIL_TENSOR(diag, view, "%s", "\"dtype\" is missing or not a string");
    if (!bt_dtype_from_name(name, &view->dtype))
        return FAIL_TENSOR(diag, view, "unknown dtype \"%.40s\"", name);
    return BT_OK;
}

static enum bt_err read_shape(const json_t *info, struct bt_tensor_view *view, struct bt_diag *diag)
{
    const json_t *shape = json_object_get(info, "shape");
    if (!json_is_array(shape))
        return FAIL_TENSOR(diag, view, "%s", "\"shape\" is missing or not an array");
    view->rank = json_array_size(shape);
    if (view->rank > BT_TENSOR_MAX_RANK)
        return FAIL_TENSOR(diag, view, "it has %zu dimensions; at most %d are supported", view->rank,
                           BT_TENSOR_MAX_RANK);
    for (size_t i = 0; i < view->rank; i++)
        if (!to_count(json_array_get(shape, i), &view->shape[i]))
            return FAIL_TENSOR(diag, view, "dimension %zu of its shape is not a count", i);
    return BT_OK;
}

static enum bt_err read_offsets(const json_t *info, struct entry *entry, struct bt_diag *diag)
{
    const json_t *offsets = json_object_get(info, "data_offsets");
    if (!json_is_array(offsets) || json_array_size(offsets) != 2 ||
        !to_count(json_array_get(offsets, 0), &entry->begin) || !to_count(json_array_get(offsets, 1), &entry->end))
        return FAIL_TENSOR(diag, &entry->view, "%s", "\"data_offsets\" is not a pair of byte offsets");
    return BT_OK;
}

static enum bt_err read_entry(const json_t *info, struct entry *entry, struct bt_diag *diag)
{
    if (!json_is_object(info))
        return FAIL_TENSOR(diag, &entry->view, "%s", "its entry in the header is not an object");
    enum bt_err err = read_dtype(info, &entry->view, diag);
    if (!err)
        err = read_shape(info, &entry->view, diag);
    if (!err)
        err = read_offsets(info, entry, diag);
    return err;
}

static enum bt_err check_metadata(json_t *metadata, const char *path, struct bt_diag *diag)
{
    const char *key;
    json_t *value;
    if (json_is_null(metadata)) /* to the crate the same as none */
        return BT_OK;
    if (!json_is_object(metadata))
        return bt_fail(diag, BT_EINPUT, "%s: \"" BT_TENSOR_METADATA "\" is not an object", path);
    json_object_foreach(metadata, key, value)
    {
        if (!json_is_string(value))
            return bt_fail(diag, BT_EINPUT, "%s: \"%.200s\" in \"" BT_TENSOR_METADATA "\" is not a string", path, key);
    }
    return BT_OK;
}

/* entries has room for every key of the header. */
static enum bt_err read_entries(const struct bt_safetensors *file, struct entry *entries, size_t *ret_count,
                                struct bt_diag *diag)
{
    const char *name;
    json_t *info;
    size_t count = 0;
    json_object_foreach(file->header, name, info)
    {
        enum bt_err err;
        if (!strcmp(name, BT_TENSOR_METADATA)) {
            err = check_metadata(info, file->path, diag);
        } else {
            struct entry *entry = &entries[count++];
            *entry = (struct entry){.view = {.name = name, .file = file->path}};
            err = read_entry(info, entry, diag);
        }
        if (err)
            return err;
    }
    *ret_count = count;
    return BT_OK;
}

static int by_offset(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    return (x->end > y->end) - (x->end < y->end);
}

/* Gives the view its bytes, after the tensor before it, which ends at `end`. */
static enum bt_err place(struct entry *entry, uint64_t end, const unsigned char *data, size_t size,
                         struct bt_diag *diag)
{
    struct bt_tensor_view *view = &entry->view;
    uint64_t bytes = 0;
    const char *fault = bt_tensor_bytes(view->dtype, view->shape, view->rank, &bytes);
    if (fault)
        return FAIL_TENSOR(diag, view, "%s", fault);
    if (entry->end < entry->begin)
        return FAIL_TENSOR(diag, view, "its data ends at byte %" PRIu64 ", before it begins at %" PRIu64, entry->end,
                           entry->begin);
    if (entry->begin != end)
        return FAIL_TENSOR(diag, view,
                           "its data begins at byte %" PRIu64 " where the tensor before it ends at %" PRIu64,
                           entry->begin, end);
    if (entry->end - entry->begin != bytes)
        return FAIL_TENSOR(diag, view, "its offsets span %" PRIu64 " bytes where its shape and dtype make %" PRIu64,
                           entry->end - entry->begin, bytes);
    if (entry->end > size)
        return FAIL_TENSOR(diag, view, "its data ends at byte %" PRIu64 " of the data, which has %zu", entry->end,
                           size);
    view->data = data + entry->begin;
    view->bytes = (size_t)bytes;
    return BT_OK;
}

/* The tensors must follow each other without holes and fill the data to its last byte. */
static enum bt_err place_all(struct entry *entries, size_t count, const unsigned char *data, size_t size,
                             const char *path, struct bt_diag *diag)
{
    uint64_t end = 0;
    if (count)
        qsort(entries, count, sizeof entries[0], by_offset);
    for (size_t i = 0; i < count; i++) {
        const enum bt_err err = place(&entries[i], end, data, size, diag);
        if (err)
            return err;
        end = entries[i].end;
    }
    if (end != size)
        return bt_fail(diag, BT_EINPUT, "%s: the tensors end at byte %" PRIu64 " of the data, which has %zu", path, end,
                       size);
    return BT_OK;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct bt_tensor_view *)a)->name, ((const struct bt_tensor_view *)b)->name);
}

void bt_tensor_views_sort(struct bt_tensor_view *views, size_t count)
{
    if (count)
        qsort(views, count, sizeof views[0], by_name);
}

static enum bt_err make_views(struct bt_safetensors *file, const unsigned char *data, size_t size, struct bt_diag *diag)
{
    size_t count;
    struct entry *entries = bt_zalloc(json_object_size(file->header), sizeof entries[0]);
    if (!entries)
        return bt_fail_nomem(diag);
    enum bt_err err = read_entries(file, entries, &count, diag);
    if (!err)
        err = place_all(entries, count, data, size, file->path, diag);
    if (!err) {
        file->views = bt_zalloc(count, sizeof file->views[0]);
        err = file->views ? BT_OK : bt_fail_nomem(diag);
    }
    if (!err) {
        for (size_t i = 0; i < count; i++)
            file->views[i] = entries[i].view;
        file->count = count;
        bt_tensor_views_sort(file->views, count);
    }
    bt_free(entries);
    return err;
}

static enum bt_err parse_header(struct bt_safetensors *file, const char *text, size_t size, struct bt_diag *diag)
{
    if (size == 0 || text[0] != '{')
        return bt_fail(diag, BT_EINPUT, "%s: byte 8: the header does not begin with '{'", file->path);
    char *what = bt_sprintf("%s: header", file->path);
    if (!what)
        return bt_fail_nomem(diag);
    const enum bt_err err = bt_json_parse(text, size, what, &file->header, diag);
    bt_free(what);
    return err; /* a text that begins with '{' and parses is an object */
}

static enum bt_err parse(struct bt_safetensors *file, const unsigned char *bytes, size_t size, struct bt_diag *diag)
{
    uint64_t header_size;
    if (size < sizeof header_size)
        return bt_fail(diag, BT_EINPUT,
                       "%s: the file has %zu bytes; a safetensors file begins with 8 bytes of "
                       "header length",
                       file->path, size);
    const enum bt_err broken = bt_seal_check(&bt_safetensors_seal, bytes, size, file->path, diag);
    if (broken)
        return broken;
    memcpy(&header_size, bytes, sizeof header_size);
    bytes += sizeof header_size;
    size -= sizeof header_size;
    if (header_size > BT_TENSOR_HEADER_MAX)
        return bt_fail(diag, BT_EINPUT, "%s: byte 0: a header of %" PRIu64 " bytes is over the limit of %" PRIu64,
                       file->path, header_size, BT_TENSOR_HEADER_MAX);
    if (header_size > size)
        return bt_fail(diag, BT_EINPUT,
                       "%s: byte 0: a header of %" PRIu64 " bytes does not fit into the %zu bytes that "
                       "follow",
                       file->path, header_size, size);
    const enum bt_err err = parse_header(file, (const char *)bytes, (size_t)header_size, diag);
    return err ? err : make_views(file, bytes + header_size, size - (size_t)header_size, diag);
}

static enum bt_err create(const char *path, struct bt_safetensors **ret_file, struct bt_diag *diag)
{
    struct bt_safetensors *file = bt_zalloc(1, sizeof *file);
    char *copy = file ? bt_strdup(path) : NULL;
    if (!copy) {
        bt_free(file);
        return bt_fail_nomem(diag);
    }
    file->path = copy;
    *ret_file = file;
    return BT_OK;
}

enum bt_err bt_safetensors_parse(const void *data, size_t size, const char *what, struct bt_safetensors **ret_file,
                                 struct bt_diag *diag)
{
    struct bt_safetensors *file = NULL;
    enum bt_err err = create(what, &file, diag);
    if (!err)
        err = parse(file, data, size, diag);
    if (err)
        bt_safetensors_close(file);
    else
        *ret_file = file;
    return err;
}

enum bt_err bt_safetensors_open(const char *path, struct bt_safetensors **ret_file, struct bt_diag *diag)
{
    struct bt_safetensors *file = NULL;
    enum bt_err err = create(path, &file, diag);
    if (!err)
        err = bt_map_open(path, &file->map, diag);
    if (!err)
        err = parse(file, file->map.data, file->map.size, diag);
    if (err)
        bt_safetensors_close(file);
    else
        *ret_file = file;
    return err;
}

void bt_safetensors_close(struct bt_safetensors *file)
{
    if (!file)
        return;
    for (size_t i = 0; i < file->part_count; i++)
        bt_safetensors_close(file->parts[i]);
    bt_free(file->parts);
    bt_free(file->views);
    json_decref(file->header);
    bt_map_close(&file->map);
    bt_free(file->path);
    bt_free(file);
}

size_t bt_safetensors_count(const struct bt_safetensors *file)
{
    return file->count;
}

const struct bt_tensor_view *bt_safetensors_at(const struct bt_safetensors *file, size_t i)
{
    return &file->views[i];
}

const struct bt_tensor_view *bt_safetensors_find(const struct bt_safetensors *file, const char *name)
{
    const struct bt_tensor_view key = {.name = name};
    return file->count ? bsearch(&key, file->views, file->count, sizeof key, by_name) : NULL;
}
