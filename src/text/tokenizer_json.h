/* text/tokenizer_json.h - the files of a new byte-level tokenizer, in Hugging Face's form. Values are new references;
 * NULL when memory is out, also where a value that is taken is NULL. */
#ifndef BT_TEXT_TOKENIZER_JSON_H
#define BT_TEXT_TOKENIZER_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "io/json.h"

/* ByteLevel, as a pre-tokenizer and as a decoder; use_regex: it cuts words with GPT-2's pattern. */
json_t *bt_tokenizer_json_byte_level(bool use_regex);
/* A special token for "added_tokens". */
json_t *bt_tokenizer_json_added(const char *content, int32_t id);
/* The spelling of bytes in the letters of byte-level BPE. */
json_t *bt_tokenizer_json_letters(const char *bytes, size_t size);

struct bt_tokenizer_json_parts { /* the values are taken, whatever comes of it */
    json_t *added, *pre_tokenizer, *vocab, *merges;
    bool ignore_merges;
    const char *bos; /* put in front of what is encoded with special tokens, as a prompt begins; NULL: nothing is. A
                        document's EOS is the data's business. */
    int32_t bos_id;
};
json_t *bt_tokenizer_json(const struct bt_tokenizer_json_parts *parts);

/* tokenizer_config.json and generation_config.json; a name that is NULL is left out. */
json_t *bt_tokenizer_json_config(const char *bos, const char *eos);
json_t *bt_tokenizer_json_generation(const char *bos, int32_t bos_id, const char *eos, int32_t eos_id);
/* Writes folder/name, taking the value; NULL stands for memory that is out. */
enum bt_err bt_tokenizer_json_write(const char *folder, const char *name, json_t *value, struct bt_diag *diag);

#endif
