/* text/bytes.h - the byte-level tokenizer: a token is a byte, and two more begin and end a document. */
#ifndef BT_TEXT_BYTES_H
#define BT_TEXT_BYTES_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define BT_BYTES_BOS   256
#define BT_BYTES_EOS   257
#define BT_BYTES_VOCAB 258

/* A document: BOS, its bytes, EOS. out has room for size + 2 ids. */
void bt_bytes_encode(const char *text, size_t size, int32_t *out);
/* The bytes among the ids, others left out; out has room for count bytes. Gives how many there are. */
size_t bt_bytes_decode(const int32_t *ids, size_t count, char *out);

/* Writes tokenizer.json, tokenizer_config.json and generation_config.json into an existing folder: the same tokenizer
 * in the words of Hugging Face, a byte-level BPE without merges whose 256 characters are numbered by their bytes. */
enum bt_err bt_bytes_write_tokenizer(const char *folder, struct bt_diag *diag);

#endif
