/* Reading a GGUF file: the head once, in order, into tables that borrow from the mapped bytes. */
#include "io/gguf.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/file.h"
#include "io/gguf_seal.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "a big-endian machine would need byte swaps");

#define LENGTH_MAX       ((uint64_t)1 << 30) /* of strings and arrays: llama.cpp's limit */
#define PAIR_BYTES_MIN   14                  /* a key of one byte, a kind, a value of one byte */
#define TENSOR_BYTES_MIN 33                  /* a name of one byte, one dimension, type, offset */

/* Behind version and counts: the length of the name, the name, the kind u64. */
#define SEAL_LEAD "\x11\0\0\0\0\0\0\0" BT_SEAL_NAME "\x0a\0\0\0"
const struct bt_seal bt_gguf_seal = {24, SEAL_LEAD, sizeof SEAL_LEAD - 1, 8, sizeof(uint64_t), 0};

struct bt_gguf {
    struct bt_map map; /* size 0 when the bytes are the caller's */
    char *path;
    struct bt_gguf_value *pairs; /* sorted by key */
    size_t pair_count;
    struct bt_gguf_tensor *tensors; /* in file order */
    size_t tensor_count;
    struct bt_gguf_tensor **by_name;
    char *keys; /* the pairs' keys, each with a NUL */
};

/* The bytes that are left, and where they stand. */
struct cursor {
    const char *path;
    const unsigned char *data;
    size_t size, at;
};

static const struct {
    const char *name;
    size_t bytes; /* 0: of no fixed size */
} kinds[BT_GGUF_KINDS] = {
    [BT_GGUF_U8] = {"u8", 1},         [BT_GGUF_I8] = {"i8", 1},     [BT_GGUF_U16] = {"u16", 2},
    [BT_GGUF_I16] = {"i16", 2},       [BT_GGUF_U32] = {"u32", 4},   [BT_GGUF_I32] = {"i32", 4},
    [BT_GGUF_F32_VALUE] = {"f32", 4}, [BT_GGUF_BOOL] = {"bool", 1}, [BT_GGUF_TEXT] = {"string", 0},
    [BT_GGUF_ARRAY] = {"array", 0},   [BT_GGUF_U64] = {"u64", 8},   [BT_GGUF_I64] = {"i64", 8},
    [BT_GGUF_F64] = {"f64", 8},
};

const char *bt_gguf_kind_name(enum bt_gguf_kind kind)
{
    return kinds[kind].name;
}

/* ---- single items ---- */

static enum bt_err take(struct cursor *in, size_t size, const char *what, const unsigned char **ret_data,
                        struct bt_diag *diag)
{
    if (size > in->size - in->at)
        return bt_fail(diag, BT_EINPUT, "%s: byte %zu: the file ends within %s", in->path, in->at, what);
    *ret_data = in->data + in->at;
    in->at += size;
    return BT_OK;
}

static enum bt_err take_u32(struct cursor *in, const char *what, uint32_t *ret_value, struct bt_diag *diag)
{
    const unsigned char *data = NULL;
    const enum bt_err err = take(in, sizeof *ret_value, what, &data, diag);
    if (!err)
        memcpy(ret_value, data, sizeof *ret_value);
    return err;
}

static enum bt_err take_u64(struct cursor *in, const char *what, uint64_t *ret_value, struct bt_diag *diag)
{
    const unsigned char *data = NULL;
    const enum bt_err err = take(in, sizeof *ret_value, what, &data, diag);
    if (!err)
        memcpy(ret_value, data, sizeof *ret_value);
    return err;
}

static enum bt_err take_text(struct cursor *in, const char *what, struct bt_gguf_text *ret_text, struct bt_diag *diag)
{
    uint64_t size = 0;
    const unsigned char *data = NULL;
    const size_t at = in->at;
    enum bt_err err = take_u64(in, what, &size, diag);
    if (err)
        return err;
    if (size > LENGTH_MAX)
        return bt_fail(diag, BT_EINPUT, "%s: byte %zu: %s has %" PRIu64 " bytes; at most %" PRIu64 " are expected",
                       in->path, at, what, size, LENGTH_MAX);
    err = take(in, (size_t)size, what, &data, diag);
    if (!err)
        *ret_text = (struct bt_gguf_text){(const char *)data, (size_t)size};
    return err;
}

/* A key or a tensor's name: not empty, and without a NUL in it. */
static enum bt_err take_name(struct cursor *in, const char *what, struct bt_gguf_text *ret_text, struct bt_diag *diag)
{
    const size_t at = in->at;
    const enum bt_err err = take_text(in, what, ret_text, diag);
    if (err)
        return err;
    if (ret_text->size == 0 || memchr(ret_text->at, 0, ret_text->size))
        return bt_fail(diag, BT_EINPUT, "%s: byte %zu: %s is empty or has a NUL in it", in->path, at, what);
    return BT_OK;
}

/* ---- pairs ---- */

/* How much of a key is shown in an error. */
static int shown(const struct bt_gguf_text *key)
{
    return key->size < 200 ? (int)key->size : 200;
}

static enum bt_err take_kind(struct cursor *in, const struct bt_gguf_text *key, enum bt_gguf_kind *ret_kind,
                             struct bt_diag *diag)
{
    uint32_t kind;
    const size_t at = in->at;
    const enum bt_err err = take_u32(in, "the kind of a value", &kind, diag);
    if (err)
        return err;
    if (kind >= BT_GGUF_KINDS)
        return bt_fail(diag, BT_EINPUT, "%s: byte %zu: key \"%.*s\": a value of the unknown kind %" PRIu32, in->path,
                       at, shown(key), key->at, kind);
    *ret_kind = (enum bt_gguf_kind)kind;
    return BT_OK;
}

static enum bt_err skip_elements(struct cursor *in, const struct bt_gguf_value *value, struct bt_diag *diag)
{
    const unsigned char *data = NULL;
    struct bt_gguf_text text = {0};
    enum bt_err err = BT_OK;
    if (value->element != BT_GGUF_TEXT)
        return take(in, (size_t)value->count * kinds[value->element].bytes, "an array", &data, diag);
    for (uint64_t i = 0; i < value->count && !err; i++)
        err = take_text(in, "a string of an array", &text, diag);
    return err;
}

static enum bt_err take_array(struct cursor *in, const struct bt_gguf_text *key, struct bt_gguf_value *value,
                              struct bt_diag *diag)
{
    const size_t at = in->at;
    enum bt_err err = take_kind(in, key, &value->element, diag);
    if (!err)
        err = take_u64(in, "the length of an array", &value->count, diag);
    if (err)
        return err;
    if (value->element == BT_GGUF_ARRAY)
        return bt_fail(diag, BT_EINPUT, "%s: byte %zu: key \"%.*s\": an array of arrays is not supported", in->path, at,
                       shown(key), key->at);
    if (value->count > LENGTH_MAX)
        return bt_fail(diag, BT_EINPUT,
                       "%s: byte %zu: key \"%.*s\": an array of %" PRIu64 " elements; at most %" PRIu64 " are expected",
                       in->path, at, shown(key), key->at, value->count, LENGTH_MAX);
    value->data = in->data + in->at;
    return skip_elements(in, value, diag);
}

static enum bt_err take_value(struct cursor *in, const struct bt_gguf_text *key, struct bt_gguf_value *value,
                              struct bt_diag *diag)
{
    struct bt_gguf_text text = {0};
    enum bt_err err = take_kind(in, key, &value->kind, diag);
    if (err)
        return err;
    if (value->kind == BT_GGUF_ARRAY)
        return take_array(in, key, value, diag);
    value->element = value->kind;
    value->count = 1;
    value->data = in->data + in->at;
    return value->kind == BT_GGUF_TEXT ? take_text(in, "a string", &text, diag)
                                       : take(in, kinds[value->kind].bytes, "a value", &value->data, diag);
}

static int by_key(const void *a, const void *b)
{
    return strcmp(((const struct bt_gguf_value *)a)->key, ((const struct bt_gguf_value *)b)->key);
}

static enum bt_err sort_pairs(struct bt_gguf *file, struct bt_diag *diag)
{
    if (file->pair_count)
        qsort(file->pairs, file->pair_count, sizeof file->pairs[0], by_key);
    for (size_t i = 1; i < file->pair_count; i++)
        if (!by_key(&file->pairs[i - 1], &file->pairs[i]))
            return bt_fail(diag, BT_EINPUT, "%s: key \"%.200s\" stands there twice", file->path, file->pairs[i].key);
    return BT_OK;
}

/* One walk to size the memory for the keys, which get their NULs there, and one to fill the table. */
static enum bt_err measure_keys(struct cursor in, size_t count, size_t *ret_bytes, struct bt_diag *diag)
{
    enum bt_err err = BT_OK;
    size_t bytes = 0;
    for (size_t i = 0; i < count && !err; i++) {
        struct bt_gguf_value value;
        struct bt_gguf_text key = {0};
        err = take_name(&in, "a key", &key, diag);
        if (err)
            break;
        bytes += key.size + 1;
        err = take_value(&in, &key, &value, diag);
    }
    *ret_bytes = bytes;
    return err;
}

static enum bt_err take_pairs(struct bt_gguf *file, struct cursor *in, size_t count, struct bt_diag *diag)
{
    size_t bytes;
    enum bt_err err = measure_keys(*in, count, &bytes, diag);
    if (err)
        return err;
    file->pairs = bt_zalloc(count, sizeof file->pairs[0]);
    file->keys = bt_alloc(bytes);
    if (!file->pairs || !file->keys)
        return bt_fail_nomem(diag);
    char *keys = file->keys;
    for (size_t i = 0; i < count && !err; i++) {
        struct bt_gguf_text key = {0};
        err = take_name(in, "a key", &key, diag);
        if (err)
            break;
        memcpy(keys, key.at, key.size);
        keys[key.size] = '\0';
        file->pairs[i].key = keys;
        keys += key.size + 1;
        err = take_value(in, &key, &file->pairs[i], diag);
    }
    file->pair_count = count;
    return err ? err : sort_pairs(file, diag);
}

/* ---- tensors ---- */

#define FAIL_TENSOR(diag, path, tensor, format, ...)                                                                   \
    bt_fail(diag, BT_EINPUT, "%s: tensor \"%s\": " format, path, (tensor)->name, __VA_ARGS__)

static enum bt_err take_tensor_name(struct cursor *in, struct bt_gguf_tensor *tensor, struct bt_diag *diag)
{
    struct bt_gguf_text name = {0};
    const size_t at = in->at;
    const enum bt_err err = take_name(in, "the name of a tensor", &name, diag);
    if (err)
        return err;
    if (name.size > BT_GGUF_NAME_MAX)
        return bt_fail(diag, BT_EINPUT, "%s: byte %zu: the name of a tensor has %zu bytes; at most %d are expected",
                       in->path, at, name.size, BT_GGUF_NAME_MAX);
    memcpy(tensor->name, name.at, name.size);
    return BT_OK;
}

static enum bt_err take_sizes(struct cursor *in, struct bt_gguf_tensor *tensor, struct bt_diag *diag)
{
    uint32_t rank = 0;
    enum bt_err err = take_u32(in, "the dimensions of a tensor", &rank, diag);
    if (err)
        return err;
    if (rank == 0 || rank > BT_GGUF_DIMS_MAX)
        return FAIL_TENSOR(diag, in->path, tensor, "%" PRIu32 " dimensions; 1 to %d are expected", rank,
                           BT_GGUF_DIMS_MAX);
    tensor->rank = rank;
    tensor->count = 1;
    for (size_t i = 0; i < BT_GGUF_DIMS_MAX; i++) {
        tensor->size[i] = 1;
        err = i < rank ? take_u64(in, "the dimensions of a tensor", &tensor->size[i], diag) : BT_OK;
        if (err)
            return err;
        if (tensor->size[i] == 0 || __builtin_mul_overflow(tensor->count, tensor->size[i], &tensor->count) ||
            tensor->count > INT64_MAX)
            return FAIL_TENSOR(diag, in->path, tensor,
                               "its sizes are 0 or make more values than can be counted (dimension %zu is %" PRIu64 ")",
                               i, tensor->size[i]);
    }
    return BT_OK;
}

static enum bt_err take_type(struct cursor *in, struct bt_gguf_tensor *tensor, uint64_t *ret_bytes,
                             struct bt_diag *diag)
{
    uint32_t number;
    const enum bt_err err = take_u32(in, "the type of a tensor", &number, diag);
    if (err)
        return err;
    tensor->type = bt_gguf_type_find(number);
    if (!tensor->type)
        return FAIL_TENSOR(
            diag, in->path, tensor,
            "ggml type %" PRIu32 " is not supported; f32, f16, bf16, q8_0, tq1_0, tq2_0, q2_0 and i2_s are", number);
    if (tensor->size[0] % tensor->type->block)
        return FAIL_TENSOR(diag, in->path, tensor, "its rows of %" PRIu64 " do not fill blocks of %zu, as %s has",
                           tensor->size[0], tensor->type->block, tensor->type->name);
    if (!bt_gguf_type_bytes(tensor->type, tensor->count, ret_bytes))
        return FAIL_TENSOR(diag, in->path, tensor, "%s", "it has more bytes than can be counted");
    return BT_OK;
}

/* end: of the tensor before it, padded; becomes that of this one. The data's place is known only later, so until then
 * `data` is NULL and the offset is what the end was. */
static enum bt_err take_tensor(struct cursor *in, struct bt_gguf_tensor *tensor, uint64_t alignment, uint64_t *end,
                               struct bt_diag *diag)
{
    uint64_t bytes = 0, offset, next;
    enum bt_err err = take_tensor_name(in, tensor, diag);
    if (!err)
        err = take_sizes(in, tensor, diag);
    if (!err)
        err = take_type(in, tensor, &bytes, diag);
    if (!err)
        err = take_u64(in, "the offset of a tensor", &offset, diag);
    if (err)
        return err;
    if (offset != *end)
        return FAIL_TENSOR(diag, in->path, tensor,
                           "its data begins at byte %" PRIu64 " where the tensor before it ends at %" PRIu64, offset,
                           *end);
    if (bytes > in->size) /* so that the sum below is far from an overflow */
        return FAIL_TENSOR(diag, in->path, tensor, "its data has %" PRIu64 " bytes and the file %zu", bytes, in->size);
    tensor->bytes = (size_t)bytes;
    next = offset + bytes;
    *end = (next + alignment - 1) / alignment * alignment;
    return BT_OK;
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(const struct bt_gguf_tensor *const *)a)->name, (*(const struct bt_gguf_tensor *const *)b)->name);
}

static enum bt_err sort_tensors(struct bt_gguf *file, struct bt_diag *diag)
{
    file->by_name = bt_zalloc(file->tensor_count, sizeof file->by_name[0]);
    if (!file->by_name)
        return bt_fail_nomem(diag);
    for (size_t i = 0; i < file->tensor_count; i++)
        file->by_name[i] = &file->tensors[i];
    if (file->tensor_count)
        qsort(file->by_name, file->tensor_count, sizeof file->by_name[0], by_name);
    for (size_t i = 1; i < file->tensor_count; i++)
        if (!by_name(&file->by_name[i - 1], &file->by_name[i]))
            return FAIL_TENSOR(diag, file->path, file->by_name[i], "%s", "it stands there twice");
    return BT_OK;
}

static enum bt_err get_alignment(const struct bt_gguf *file, uint32_t *ret_alignment, struct bt_diag *diag)
{
    uint32_t alignment = BT_GGUF_ALIGNMENT;
    const enum bt_err err = bt_gguf_get_u32(file, "general.alignment", false, &alignment, diag);
    if (err)
        return err;
    if (alignment == 0 || (alignment & (alignment - 1)))
        return bt_fail(diag, BT_EINPUT, "%s: general.alignment is %" PRIu32 ", not a power of two", file->path,
                       alignment);
    *ret_alignment = alignment;
    return BT_OK;
}

/* Every tensor's data lies in the file; behind the last one there may be its padding, and nothing else. */
static enum bt_err place_data(struct bt_gguf *file, const struct cursor *in, uint64_t alignment, struct bt_diag *diag)
{
    uint64_t at = (in->at + alignment - 1) / alignment * alignment;
    for (size_t i = 0; i < file->tensor_count; i++) {
        struct bt_gguf_tensor *tensor = &file->tensors[i];
        if (at > in->size || tensor->bytes > in->size - at)
            return FAIL_TENSOR(diag, in->path, tensor, "its data would end at byte %" PRIu64 " of %zu",
                               at + tensor->bytes, in->size);
        tensor->data = in->data + at;
        at = (at + tensor->bytes + alignment - 1) / alignment * alignment;
    }
    if (in->size > at)
        return bt_fail(diag, BT_EINPUT, "%s: the tensors end at byte %" PRIu64 ", the file at %zu", in->path, at,
                       in->size);
    return BT_OK;
}

static enum bt_err take_tensors(struct bt_gguf *file, struct cursor *in, size_t count, struct bt_diag *diag)
{
    uint32_t alignment = BT_GGUF_ALIGNMENT;
    uint64_t end = 0;
    enum bt_err err = get_alignment(file, &alignment, diag);
    if (err)
        return err;
    file->tensors = bt_zalloc(count, sizeof file->tensors[0]);
    if (!file->tensors)
        return bt_fail_nomem(diag);
    for (size_t i = 0; i < count && !err; i++)
        err = take_tensor(in, &file->tensors[i], alignment, &end, diag);
    file->tensor_count = count;
    if (!err)
        err = place_data(file, in, alignment, diag);
    return err ? err : sort_tensors(file, diag);
}

/* ---- the file ---- */

/* A count that the rest of the file can hold, at least `each` bytes a piece. */
static enum bt_err take_count(struct cursor *in, const char *what, size_t each, size_t *ret_count, struct bt_diag *diag)
{
    uint64_t count;
    const size_t at = in->at;
    const enum bt_err err = take_u64(in, what, &count, diag);
    if (err)
        return err;
    if (count > (in->size - in->at) / each)
        return bt_fail(diag, BT_EINPUT, "%s: byte %zu: %s is %" PRIu64 ", for which the file's %zu bytes are too few",
                       in->path, at, what, count, in->size);
    *ret_count = (size_t)count;
    return BT_OK;
}

static enum bt_err parse(struct bt_gguf *file, const unsigned char *data, size_t size, struct bt_diag *diag)
{
    struct cursor in = {.path = file->path, .data = data, .size = size, .at = 4};
    uint32_t version;
    size_t tensors, pairs;
    if (size < 4 || memcmp(data, "GGUF", 4) != 0)
        return bt_fail(diag, BT_EINPUT, "%s: byte 0: a GGUF file begins with \"GGUF\"", file->path);
    enum bt_err err = bt_seal_check(&bt_gguf_seal, data, size, file->path, diag);
    if (!err)
        err = take_u32(&in, "the version", &version, diag);
    if (err)
        return err;
    if (version != 2 && version != 3) /* they differ in nothing that a little-endian file shows */
        return bt_fail(diag, BT_EINPUT, "%s: byte 4: version %" PRIu32 " of the format; 2 or 3 was expected",
                       file->path, version);
    err = take_count(&in, "the number of tensors", TENSOR_BYTES_MIN, &tensors, diag);
    if (!err)
        err = take_count(&in, "the number of keys", PAIR_BYTES_MIN, &pairs, diag);
    if (!err)
        err = take_pairs(file, &in, pairs, diag);
    return err ? err : take_tensors(file, &in, tensors, diag);
}

static enum bt_err create(const char *path, struct bt_gguf **ret_file, struct bt_diag *diag)
{
    struct bt_gguf *file = bt_zalloc(1, sizeof *file);
    char *copy = file ? bt_strdup(path) : NULL;
    if (!copy) {
        bt_free(file);
        return bt_fail_nomem(diag);
    }
    file->path = copy;
    *ret_file = file;
    return BT_OK;
}

/* data NULL: the file itself is mapped. */
static enum bt_err open_or_parse(const char *path, const void *data, size_t size, struct bt_gguf **ret_file,
                                 struct bt_diag *diag)
{
    struct bt_gguf *file = NULL;
    enum bt_err err = create(path, &file, diag);
    if (!err && !data)
        err = bt_map_open(path, &file->map, diag);
    if (!err)
        err = data ? parse(file, data, size, diag) : parse(file, file->map.data, file->map.size, diag);
    if (err)
        bt_gguf_close(file);
    else
        *ret_file = file;
    return err;
}

enum bt_err bt_gguf_open(const char *path, struct bt_gguf **ret_file, struct bt_diag *diag)
{
    return open_or_parse(path, NULL, 0, ret_file, diag);
}

enum bt_err bt_gguf_parse(const void *data, size_t size, const char *what, struct bt_gguf **ret_file,
                          struct bt_diag *diag)
{
    return open_or_parse(what, data, size, ret_file, diag);
}

void bt_gguf_close(struct bt_gguf *file)
{
    if (!file)
        return;
    bt_free(file->by_name);
    bt_free(file->tensors);
    bt_free(file->keys);
    bt_free(file->pairs);
    bt_map_close(&file->map);
    bt_free(file->path);
    bt_free(file);
}

const char *bt_gguf_path(const struct bt_gguf *file)
{
    return file->path;
}

size_t bt_gguf_tensor_count(const struct bt_gguf *file)
{
    return file->tensor_count;
}

const struct bt_gguf_tensor *bt_gguf_tensor_at(const struct bt_gguf *file, size_t i)
{
    return &file->tensors[i];
}

static int name_against(const void *name, const void *tensor)
{
    return strcmp(name, (*(const struct bt_gguf_tensor *const *)tensor)->name);
}

const struct bt_gguf_tensor *bt_gguf_tensor_find(const struct bt_gguf *file, const char *name)
{
    struct bt_gguf_tensor **found =
        file->tensor_count ? bsearch(name, file->by_name, file->tensor_count, sizeof *found, name_against) : NULL;
    return found ? *found : NULL;
}

const struct bt_gguf_value *bt_gguf_find(const struct bt_gguf *file, const char *key)
{
    const struct bt_gguf_value wanted = {.key = key};
    return file->pair_count ? bsearch(&wanted, file->pairs, file->pair_count, sizeof wanted, by_key) : NULL;
}
