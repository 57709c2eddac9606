/* A GGUF file: every tensor that is found must lie inside of it. */
#include "fuzz.h"

#include "io/gguf.h"

enum bt_err fuzz_read(const uint8_t *data, size_t size, struct bt_diag *diag)
{
    struct bt_gguf *file = NULL;
    uint32_t value = 0;
    const struct bt_gguf_value *tokens = NULL;
    enum bt_err err = bt_gguf_parse(data, size, "model.gguf", &file, diag);
    for (size_t i = 0; !err && i < bt_gguf_tensor_count(file); i++) {
        const struct bt_gguf_tensor *tensor = bt_gguf_tensor_at(file, i);
        FUZZ_CHECK(tensor->data >= data && tensor->bytes <= size - (size_t)(tensor->data - data));
    }
    if (!err)
        err = bt_gguf_get_u32(file, "llama.block_count", false, &value, diag);
    if (!err)
        err = bt_gguf_get_array(file, "tokenizer.ggml.tokens", BT_GGUF_TEXT, false, &tokens, diag);
    const unsigned char *at = tokens ? tokens->data : NULL;
    for (uint64_t i = 0; tokens && i < tokens->count; i++) {
        const struct bt_gguf_text text = bt_gguf_next_text(&at);
        FUZZ_CHECK(text.size <= size && (const uint8_t *)text.at + text.size <= data + size);
    }
    bt_gguf_close(file);
    return err;
}
