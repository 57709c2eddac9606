/* The pairs of a GGUF file by key and kind. */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "io/file.h"
#include "io/gguf.h"

bool bt_gguf_is_file(const char *path)
{
    static const char ending[] = ".gguf";
    const size_t length = strlen(path), n = sizeof ending - 1;
    char magic[4] = "";
    if (bt_dir_exists(path))
        return false;
    if (length > n && !strcmp(path + length - n, ending))
        return true;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    const bool found = read(fd, magic, sizeof magic) == sizeof magic && !memcmp(magic, "GGUF", sizeof magic);
    close(fd);
    return found;
}

/* NULL in *ret_value when it is absent and may be. */
static enum bt_err find_kind(const struct bt_gguf *file, const char *key, enum bt_gguf_kind kind, bool required,
                             const struct bt_gguf_value **ret_value, struct bt_diag *diag)
{
    const struct bt_gguf_value *value = bt_gguf_find(file, key);
    if (!value && required)
        return bt_fail(diag, BT_EINPUT, "%s: key \"%s\" is missing", bt_gguf_path(file), key);
    if (value && value->kind != kind)
        return bt_fail(diag, BT_EINPUT, "%s: key \"%s\" is of kind %s; %s was expected", bt_gguf_path(file), key,
                       bt_gguf_kind_name(value->kind), bt_gguf_kind_name(kind));
    *ret_value = value;
    return BT_OK;
}

static enum bt_err get_bytes(const struct bt_gguf *file, const char *key, enum bt_gguf_kind kind, bool required,
                             void *ret_value, size_t size, struct bt_diag *diag)
{
    const struct bt_gguf_value *value = NULL;
    const enum bt_err err = find_kind(file, key, kind, required, &value, diag);
    if (!err && value)
        memcpy(ret_value, value->data, size);
    return err;
}

enum bt_err bt_gguf_get_u32(const struct bt_gguf *file, const char *key, bool required, uint32_t *ret_value,
                            struct bt_diag *diag)
{
    return get_bytes(file, key, BT_GGUF_U32, required, ret_value, sizeof *ret_value, diag);
}

enum bt_err bt_gguf_get_f32(const struct bt_gguf *file, const char *key, bool required, float *ret_value,
                            struct bt_diag *diag)
{
    return get_bytes(file, key, BT_GGUF_F32_VALUE, required, ret_value, sizeof *ret_value, diag);
}

enum bt_err bt_gguf_get_f64(const struct bt_gguf *file, const char *key, bool required, double *ret_value,
                            struct bt_diag *diag)
{
    return get_bytes(file, key, BT_GGUF_F64, required, ret_value, sizeof *ret_value, diag);
}

enum bt_err bt_gguf_get_bool(const struct bt_gguf *file, const char *key, bool required, bool *ret_value,
                             struct bt_diag *diag)
{
    unsigned char byte = *ret_value;
    const enum bt_err err = get_bytes(file, key, BT_GGUF_BOOL, required, &byte, sizeof byte, diag);
    if (err)
        return err;
    if (byte > 1)
        return bt_fail(diag, BT_EINPUT, "%s: key \"%s\" is a bool of the value %d", bt_gguf_path(file), key, byte);
    *ret_value = byte;
    return BT_OK;
}

struct bt_gguf_text bt_gguf_next_text(const unsigned char **at)
{
    uint64_t size;
    memcpy(&size, *at, sizeof size);
    const struct bt_gguf_text text = {(const char *)*at + sizeof size, (size_t)size};
    *at += sizeof size + size;
    return text;
}

enum bt_err bt_gguf_get_text(const struct bt_gguf *file, const char *key, bool required, struct bt_gguf_text *ret_value,
                             struct bt_diag *diag)
{
    const struct bt_gguf_value *value = NULL;
    const enum bt_err err = find_kind(file, key, BT_GGUF_TEXT, required, &value, diag);
    if (!err && value) {
        const unsigned char *at = value->data;
        *ret_value = bt_gguf_next_text(&at);
    }
    return err;
}

enum bt_err bt_gguf_get_array(const struct bt_gguf *file, const char *key, enum bt_gguf_kind element, bool required,
                              const struct bt_gguf_value **ret_value, struct bt_diag *diag)
{
    const struct bt_gguf_value *value = NULL;
    const enum bt_err err = find_kind(file, key, BT_GGUF_ARRAY, required, &value, diag);
    if (err)
        return err;
    if (value && value->element != element)
        return bt_fail(diag, BT_EINPUT, "%s: key \"%s\" is an array of %s; one of %s was expected", bt_gguf_path(file),
                       key, bt_gguf_kind_name(value->element), bt_gguf_kind_name(element));
    *ret_value = value;
    return BT_OK;
}
