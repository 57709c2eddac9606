/* The element types of safetensors. */
#include "io/safetensors.h"

#include <string.h>

#include "base/half.h"
#include "io/tensor_file.h"

static const struct {
    const char *name;
    unsigned bits;
} dtypes[BT_DTYPE_COUNT] = {
    [BT_DTYPE_BOOL] = {"BOOL", 8},
    [BT_DTYPE_F4] = {"F4", 4},
    [BT_DTYPE_F6_E2M3] = {"F6_E2M3", 6},
    [BT_DTYPE_F6_E3M2] = {"F6_E3M2", 6},
    [BT_DTYPE_U8] = {"U8", 8},
    [BT_DTYPE_I8] = {"I8", 8},
    [BT_DTYPE_F8_E5M2] = {"F8_E5M2", 8},
    [BT_DTYPE_F8_E4M3] = {"F8_E4M3", 8},
    [BT_DTYPE_F8_E8M0] = {"F8_E8M0", 8},
    [BT_DTYPE_F8_E4M3FNUZ] = {"F8_E4M3FNUZ", 8},
    [BT_DTYPE_F8_E5M2FNUZ] = {"F8_E5M2FNUZ", 8},
    [BT_DTYPE_I16] = {"I16", 16},
    [BT_DTYPE_U16] = {"U16", 16},
    [BT_DTYPE_F16] = {"F16", 16},
    [BT_DTYPE_BF16] = {"BF16", 16},
    [BT_DTYPE_I32] = {"I32", 32},
    [BT_DTYPE_U32] = {"U32", 32},
    [BT_DTYPE_F32] = {"F32", 32},
    [BT_DTYPE_C64] = {"C64", 64}, /* two F32 */
    [BT_DTYPE_F64] = {"F64", 64},
    [BT_DTYPE_I64] = {"I64", 64},
    [BT_DTYPE_U64] = {"U64", 64},
};

const char *bt_dtype_name(enum bt_dtype dtype)
{
    return dtypes[dtype].name;
}

unsigned bt_dtype_bits(enum bt_dtype dtype)
{
    return dtypes[dtype].bits;
}

bool bt_dtype_from_name(const char *name, enum bt_dtype *ret_dtype)
{
    for (enum bt_dtype dtype = 0; dtype < BT_DTYPE_COUNT; dtype++) {
        if (!strcmp(name, dtypes[dtype].name)) {
            *ret_dtype = dtype;
            return true;
        }
    }
    return false;
}

const char *bt_tensor_bytes(enum bt_dtype dtype, const uint64_t *shape, size_t rank, uint64_t *ret_bytes)
{
    uint64_t bits = dtypes[dtype].bits;
    for (size_t i = 0; i < rank; i++)
        if (__builtin_mul_overflow(bits, shape[i], &bits))
            return "its shape has more elements than can be counted";
    if (bits % 8)
        return "its elements do not fill whole bytes";
    *ret_bytes = bits / 8;
    return NULL;
}

/* The data of a view need not be aligned, hence the copies. */
static void widen(const unsigned char *data, size_t n, float (*convert)(uint16_t), float *out)
{
    for (size_t i = 0; i < n; i++) {
        uint16_t bits;
        memcpy(&bits, data + 2 * i, sizeof bits);
        out[i] = convert(bits);
    }
}

enum bt_err bt_tensor_check_float(const struct bt_tensor_view *view, struct bt_diag *diag)
{
    if (view->dtype == BT_DTYPE_F32 || view->dtype == BT_DTYPE_F16 || view->dtype == BT_DTYPE_BF16)
        return BT_OK;
    return bt_fail(diag, BT_EINPUT, "%s: tensor \"%s\" is %s where F32, F16 or BF16 was expected", view->file,
                   view->name, bt_dtype_name(view->dtype));
}

enum bt_err bt_tensor_to_f32(const struct bt_tensor_view *view, float *out, struct bt_diag *diag)
{
    if (view->dtype == BT_DTYPE_F32)
        memcpy(out, view->data, view->bytes);
    else if (view->dtype == BT_DTYPE_F16)
        widen(view->data, view->bytes / 2, bt_f32_from_f16, out);
    else if (view->dtype == BT_DTYPE_BF16)
        widen(view->data, view->bytes / 2, bt_f32_from_bf16, out);
    else
        return bt_tensor_check_float(view, diag);
    return BT_OK;
}
