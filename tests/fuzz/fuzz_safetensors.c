/* A safetensors file: every tensor that is found must lie inside of it. */
#include "fuzz.h"

#include "io/safetensors.h"

enum bt_err fuzz_read(const uint8_t *data, size_t size, struct bt_diag *diag)
{
    struct bt_safetensors *file = NULL;
    const enum bt_err err = bt_safetensors_parse(data, size, "model.safetensors", &file, diag);
    for (size_t i = 0; !err && i < bt_safetensors_count(file); i++) {
        const struct bt_tensor_view *view = bt_safetensors_at(file, i);
        FUZZ_CHECK(view->data >= data && view->bytes <= size - (size_t)(view->data - data));
        FUZZ_CHECK(view->rank <= BT_TENSOR_MAX_RANK);
    }
    bt_safetensors_close(file);
    return err;
}
