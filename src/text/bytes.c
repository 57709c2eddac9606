#include "text/bytes.h"

#include "text/tokenizer_json.h"
#include "text/utf8.h"

#define BOS_TEXT "<|bos|>"
#define EOS_TEXT "<|eos|>"

void bt_bytes_encode(const char *text, size_t size, int32_t *out)
{
    *out++ = BT_BYTES_BOS;
    for (size_t i = 0; i < size; i++)
        *out++ = (unsigned char)text[i];
    *out = BT_BYTES_EOS;
}

size_t bt_bytes_decode(const int32_t *ids, size_t count, char *out)
{
    size_t size = 0;
    for (size_t i = 0; i < count; i++)
        if (ids[i] >= 0 && ids[i] < BT_BYTES_BOS)
            out[size++] = (char)ids[i];
    return size;
}

static json_t *make_vocab(void)
{
    json_t *vocab = json_object();
    for (unsigned byte = 0; vocab && byte < 256; byte++) {
        char text[5] = "";
        bt_utf8_put(bt_byte_to_letter((unsigned char)byte), text);
        if (json_object_set_new(vocab, text, json_integer(byte))) {
            json_decref(vocab);
            return NULL;
        }
    }
    return vocab;
}

static json_t *make_tokenizer(void)
{
    const struct bt_tokenizer_json_parts parts = {
        .added = json_pack("[o, o]", bt_tokenizer_json_added(BOS_TEXT, BT_BYTES_BOS),
                           bt_tokenizer_json_added(EOS_TEXT, BT_BYTES_EOS)),
        .pre_tokenizer = bt_tokenizer_json_byte_level(false),
        .vocab = make_vocab(),
        .merges = json_array(),
        .bos = BOS_TEXT,
        .bos_id = BT_BYTES_BOS,
    };
    return bt_tokenizer_json(&parts);
}

enum bt_err bt_bytes_write_tokenizer(const char *folder, struct bt_diag *diag)
{
    enum bt_err err = bt_tokenizer_json_write(folder, "tokenizer.json", make_tokenizer(), diag);
    if (!err)
        err = bt_tokenizer_json_write(folder, "tokenizer_config.json", bt_tokenizer_json_config(BOS_TEXT, EOS_TEXT),
                                      diag);
    if (!err)
        err =
            bt_tokenizer_json_write(folder, "generation_config.json",
                                    bt_tokenizer_json_generation(BOS_TEXT, BT_BYTES_BOS, EOS_TEXT, BT_BYTES_EOS), diag);
    return err;
}
