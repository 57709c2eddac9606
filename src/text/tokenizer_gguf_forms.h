/* text/tokenizer_gguf_forms.h - the forms of tokenizer.json that GGUF can name. Private to tokenizer_gguf*.c. */
#ifndef BT_TEXT_TOKENIZER_GGUF_FORMS_H
#define BT_TEXT_TOKENIZER_GGUF_FORMS_H

#include <stdbool.h>
#include <stddef.h>

#include "io/json.h"

/* tokenizer.ggml.pre of a byte-level tokenizer; NULL when no name stands for how it cuts texts. */
const char *bt_gguf_pre_name(const json_t *tokenizer);
/* The "pre_tokenizer" of a name, a new object, and whether ignore_merges goes with it. NULL when memory is out or, with
 * *ret_known false, for a name that is not written here. */
json_t *bt_gguf_pre_steps(const char *name, size_t size, bool *ret_ignore_merges, bool *ret_known);

/* Is it SentencePiece's BPE with byte fallback; and does it put a space in front of a text? */
bool bt_gguf_is_sentencepiece(const json_t *tokenizer, bool *ret_space_prefix);
/* What llama.cpp does otherwise with such a tokenizer, as a word that reading it back needs: "nfc"; "first" or
 * "always", the prepend_scheme of a Metaspace step, which puts no second space in front of a text. NULL: nothing. */
#define BT_GGUF_OWN_FORM "bitnet_train.tokenizer" /* the key that keeps it; llama.cpp passes over it */
const char *bt_gguf_own_form(const json_t *tokenizer);
/* The "normalizer" and "decoder" of such a one, new objects; NULL when memory is out. */
json_t *bt_gguf_sentencepiece_normalizer(bool space_prefix);
json_t *bt_gguf_sentencepiece_decoder(bool space_prefix);
json_t *bt_gguf_metaspace(const char *scheme); /* "pre_tokenizer" in place of the normalizer */

#endif
