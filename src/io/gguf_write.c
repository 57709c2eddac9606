/* Writing a GGUF file in one pass. Its head waits in memory until it is whole, because it begins with two counts; only
 * the checksum of all is put in afterwards. */
#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "io/file.h"
#include "io/gguf.h"
#include "io/gguf_seal.h"

struct bt_gguf_out {
    struct bt_out *file;
    enum bt_err err; /* sticky, with its sentence */
    struct bt_diag diag;
    uint64_t position; /* bytes given so far */
    unsigned char *head;
    size_t head_capacity;
    uint64_t pairs;
    uint64_t elements; /* of the array that is being written: how many are to come */
    uint64_t offset;   /* of the next tensor, in the data */
    uint64_t *ends;    /* (tensors) where each one's bytes end, in the data, without padding */
    size_t tensors, capacity;
    bool in_data, sealed;
    uint64_t data_start;
    size_t current; /* the tensor whose bytes are being written */
};

#define COUNTS_AT 8 /* where the head has them */

static enum bt_err put_in_head(struct bt_gguf_out *out, const void *data, size_t size)
{
    if (size > out->head_capacity - out->position) {
        const size_t capacity = 2 * out->head_capacity + size + 4096;
        unsigned char *larger = bt_realloc(out->head, capacity, 1);
        if (!larger)
            return bt_fail_nomem(&out->diag);
        out->head = larger;
        out->head_capacity = capacity;
    }
    if (size)
        memcpy(out->head + out->position, data, size);
    return BT_OK;
}

static void put(struct bt_gguf_out *out, const void *data, size_t size)
{
    if (out->err)
        return;
    out->err = out->in_data ? bt_out_write(out->file, data, size, &out->diag) : put_in_head(out, data, size);
    out->position += size;
}

static void put_zeros(struct bt_gguf_out *out, uint64_t count)
{
    static const unsigned char zeros[BT_GGUF_ALIGNMENT];
    put(out, zeros, (size_t)count);
}

static uint64_t padding(uint64_t position)
{
    return (BT_GGUF_ALIGNMENT - position % BT_GGUF_ALIGNMENT) % BT_GGUF_ALIGNMENT;
}

static void put_u32(struct bt_gguf_out *out, uint32_t value)
{
    put(out, &value, sizeof value);
}

static void put_u64(struct bt_gguf_out *out, uint64_t value)
{
    put(out, &value, sizeof value);
}

static void put_string(struct bt_gguf_out *out, const char *text, size_t size)
{
    put_u64(out, size);
    put(out, text, size);
}

static void put_key(struct bt_gguf_out *out, const char *key, enum bt_gguf_kind kind)
{
    assert(out->elements == 0 && out->tensors == 0); /* the last array is whole, and no tensor was named */
    out->pairs++;
    put_string(out, key, strlen(key));
    put_u32(out, (uint32_t)kind);
}

enum bt_err bt_gguf_out_open(const char *path, struct bt_gguf_out **ret_out, struct bt_diag *diag)
{
    struct bt_gguf_out *out = bt_zalloc(1, sizeof *out);
    if (!out)
        return bt_fail_nomem(diag);
    const enum bt_err err = bt_out_open(path, &out->file, diag);
    if (err) {
        bt_free(out);
        return err;
    }
    put(out, "GGUF", 4);
    put_u32(out, 3);
    put_u64(out, 0); /* the counts, when they are known */
    put_u64(out, 0);
    *ret_out = out;
    return BT_OK;
}

void bt_gguf_put_checksum(struct bt_gguf_out *out)
{
    assert(out->pairs == 0);
    put_key(out, BT_SEAL_NAME, BT_GGUF_U64);
    put_u64(out, 0); /* patched by closing */
    out->sealed = true;
}

void bt_gguf_put_u32(struct bt_gguf_out *out, const char *key, uint32_t value)
{
    put_key(out, key, BT_GGUF_U32);
    put_u32(out, value);
}

void bt_gguf_put_f32(struct bt_gguf_out *out, const char *key, float value)
{
    put_key(out, key, BT_GGUF_F32_VALUE);
    put(out, &value, sizeof value);
}

void bt_gguf_put_f64(struct bt_gguf_out *out, const char *key, double value)
{
    put_key(out, key, BT_GGUF_F64);
    put(out, &value, sizeof value);
}

void bt_gguf_put_bool(struct bt_gguf_out *out, const char *key, bool value)
{
    const unsigned char byte = value;
    put_key(out, key, BT_GGUF_BOOL);
    put(out, &byte, sizeof byte);
}

void bt_gguf_put_text(struct bt_gguf_out *out, const char *key, const char *text, size_t size)
{
    put_key(out, key, BT_GGUF_TEXT);
    put_string(out, text, size);
}

void bt_gguf_put_array(struct bt_gguf_out *out, const char *key, enum bt_gguf_kind element, uint64_t count)
{
    put_key(out, key, BT_GGUF_ARRAY);
    put_u32(out, (uint32_t)element);
    put_u64(out, count);
    out->elements = count;
}

static void count_element(struct bt_gguf_out *out)
{
    assert(out->elements > 0);
    out->elements--;
}

void bt_gguf_add_text(struct bt_gguf_out *out, const char *text, size_t size)
{
    count_element(out);
    put_string(out, text, size);
}

void bt_gguf_add_i32(struct bt_gguf_out *out, int32_t value)
{
    count_element(out);
    put(out, &value, sizeof value);
}

void bt_gguf_add_f32(struct bt_gguf_out *out, float value)
{
    count_element(out);
    put(out, &value, sizeof value);
}

static bool reserve_end(struct bt_gguf_out *out)
{
    if (out->tensors < out->capacity)
        return true;
    const size_t capacity = out->capacity ? 2 * out->capacity : 64;
    uint64_t *ends = bt_realloc(out->ends, capacity, sizeof *ends);
    if (!ends)
        return false;
    out->ends = ends;
    out->capacity = capacity;
    return true;
}

/* Where the tensor's bytes will lie, or the reason why it cannot be written. */
static enum bt_err plan_tensor(struct bt_gguf_out *out, const char *name, const struct bt_gguf_type_info *type,
                               uint64_t cols, uint64_t rows)
{
    uint64_t count, bytes, end;
    if (strlen(name) > BT_GGUF_NAME_MAX)
        return bt_fail(&out->diag, BT_EINPUT, "tensor \"%.80s\": its name has more than %d bytes", name,
                       BT_GGUF_NAME_MAX);
    if (cols % type->block)
        return bt_fail(&out->diag, BT_EINPUT, "tensor \"%s\": its rows of %llu do not fill blocks of %zu, as %s has",
                       name, (unsigned long long)cols, type->block, type->name);
    if (__builtin_mul_overflow(cols, rows ? rows : 1, &count) || !bt_gguf_type_bytes(type, count, &bytes) ||
        __builtin_add_overflow(out->offset, bytes, &end) || end > INT64_MAX)
        return bt_fail(&out->diag, BT_EINPUT, "tensor \"%s\": the file would be too large", name);
    if (!reserve_end(out))
        return bt_fail_nomem(&out->diag);
    out->ends[out->tensors++] = end;
    return BT_OK;
}

void bt_gguf_put_tensor(struct bt_gguf_out *out, const char *name, const struct bt_gguf_type_info *type, uint64_t cols,
                        uint64_t rows)
{
    assert(out->elements == 0 && !out->in_data);
    if (!out->err)
        out->err = plan_tensor(out, name, type, cols, rows);
    if (out->err)
        return;
    const uint64_t end = out->ends[out->tensors - 1];
    put_string(out, name, strlen(name));
    put_u32(out, rows ? 2 : 1);
    put_u64(out, cols);
    if (rows)
        put_u64(out, rows);
    put_u32(out, (uint32_t)type->type);
    put_u64(out, out->offset);
    out->offset = end + padding(end);
}

static void begin_data(struct bt_gguf_out *out)
{
    const uint64_t counts[] = {out->tensors, out->pairs};
    put_zeros(out, padding(out->position));
    if (out->err)
        return;
    memcpy(out->head + COUNTS_AT, counts, sizeof counts);
    out->err = bt_out_write(out->file, out->head, (size_t)out->position, &out->diag);
    out->data_start = out->position;
    out->in_data = true;
}

void bt_gguf_put_data(struct bt_gguf_out *out, const void *data, size_t size)
{
    if (out->err)
        return;
    if (!out->in_data)
        begin_data(out);
    if (out->err)
        return;
    assert(out->current < out->tensors && size <= out->ends[out->current] - (out->position - out->data_start));
    put(out, data, size);
    if (out->position - out->data_start == out->ends[out->current]) {
        put_zeros(out, padding(out->position));
        out->current++;
    }
}

static void patch_checksum(struct bt_gguf_out *out)
{
    const struct bt_seal *seal = &bt_gguf_seal;
    unsigned char value[BT_SEAL_WIDTH];
    if (out->err || !out->sealed)
        return;
    bt_seal_value(seal, bt_out_hash(out->file), value);
    out->err = bt_out_patch(out->file, seal->at + seal->lead_size, value, seal->width, &out->diag);
}

static void free_all(struct bt_gguf_out *out)
{
    bt_free(out->head);
    bt_free(out->ends);
    bt_free(out);
}

enum bt_err bt_gguf_out_close(struct bt_gguf_out *out, uint64_t *ret_bytes, struct bt_diag *diag)
{
    if (!out->err && !out->in_data)
        begin_data(out);
    patch_checksum(out);
    if (out->err) {
        const enum bt_err err = bt_fail(diag, out->err, "%s", out->diag.text);
        bt_gguf_out_abandon(out);
        return err;
    }
    assert(out->current == out->tensors);
    const uint64_t bytes = out->position;
    const enum bt_err err = bt_out_close(out->file, diag);
    if (!err && ret_bytes)
        *ret_bytes = bytes;
    free_all(out);
    return err;
}

void bt_gguf_out_abandon(struct bt_gguf_out *out)
{
    if (!out)
        return;
    bt_out_abandon(out->file);
    free_all(out);
}
