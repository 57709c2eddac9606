#include "text/bytes.h"

#include "base/mem.h"
#include "io/file.h"
#include "io/json.h"
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

static json_t *make_added_token(const char *text, int id)
{
    return json_pack("{s:i, s:s, s:b, s:b, s:b, s:b, s:b}", "id", id, "content", text, "single_word", 0, "lstrip", 0,
                     "rstrip", 0, "normalized", 0, "special", 1);
}

static json_t *make_byte_level(void)
{
    return json_pack("{s:s, s:b, s:b, s:b}", "type", "ByteLevel", "add_prefix_space", 0, "trim_offsets", 0, "use_regex",
                     0);
}

/* BOS in front of what is encoded with special tokens: how a prompt begins. A document's EOS is the data's business. */
static json_t *make_post_processor(void)
{
    return json_pack("{s:s, s:[{s:{s:s, s:i}}, {s:{s:s, s:i}}],"
                     " s:[{s:{s:s, s:i}}, {s:{s:s, s:i}}, {s:{s:s, s:i}}, {s:{s:s, s:i}}],"
                     " s:{s:{s:s, s:[i], s:[s]}}}",
                     "type", "TemplateProcessing", "single", "SpecialToken", "id", BOS_TEXT, "type_id", 0, "Sequence",
                     "id", "A", "type_id", 0, "pair", "SpecialToken", "id", BOS_TEXT, "type_id", 0, "Sequence", "id",
                     "A", "type_id", 0, "SpecialToken", "id", BOS_TEXT, "type_id", 1, "Sequence", "id", "B", "type_id",
                     1, "special_tokens", BOS_TEXT, "id", BOS_TEXT, "ids", BT_BYTES_BOS, "tokens", BOS_TEXT);
}

static json_t *make_model(void)
{
    return json_pack("{s:s, s:n, s:n, s:n, s:n, s:b, s:b, s:b, s:o, s:[]}", "type", "BPE", "dropout", "unk_token",
                     "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", 0, "byte_fallback", 0,
                     "ignore_merges", 0, "vocab", make_vocab(), "merges");
}

static json_t *make_tokenizer(void)
{
    return json_pack("{s:s, s:n, s:n, s:[o, o], s:n, s:o, s:o, s:o, s:o}", "version", "1.0", "truncation", "padding",
                     "added_tokens", make_added_token(BOS_TEXT, BT_BYTES_BOS), make_added_token(EOS_TEXT, BT_BYTES_EOS),
                     "normalizer", "pre_tokenizer", make_byte_level(), "post_processor", make_post_processor(),
                     "decoder", make_byte_level(), "model", make_model());
}

static json_t *make_tokenizer_config(void)
{
    return json_pack("{s:s, s:s, s:s, s:b}", "tokenizer_class", "PreTrainedTokenizerFast", "bos_token", BOS_TEXT,
                     "eos_token", EOS_TEXT, "clean_up_tokenization_spaces", 0);
}

static json_t *make_generation_config(void)
{
    return json_pack("{s:i, s:i}", "bos_token_id", BT_BYTES_BOS, "eos_token_id", BT_BYTES_EOS);
}

/* Takes the value; NULL stands for memory that is out. */
static enum bt_err write_value(const char *folder, const char *name, json_t *value, struct bt_diag *diag)
{
    char *path = bt_path_join(folder, name);
    const enum bt_err err = path && value ? bt_json_replace(path, value, diag) : bt_fail_nomem(diag);
    bt_free(path);
    json_decref(value);
    return err;
}

enum bt_err bt_bytes_write_tokenizer(const char *folder, struct bt_diag *diag)
{
    enum bt_err err = write_value(folder, "tokenizer.json", make_tokenizer(), diag);
    if (!err)
        err = write_value(folder, "tokenizer_config.json", make_tokenizer_config(), diag);
    if (!err)
        err = write_value(folder, "generation_config.json", make_generation_config(), diag);
    return err;
}
