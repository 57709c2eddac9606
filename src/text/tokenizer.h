/* text/tokenizer.h - from text to token ids and back, as a model folder's tokenizer.json says: byte-level BPE (GPT-2,
 * Llama 3, Qwen, SmolLM2) and SentencePiece's BPE in Hugging Face's form (Llama 2, TinyLlama, Mistral), with the same
 * ids and the same text as Hugging Face's own library. Whatever else the file asks for is refused by name: a step that
 * is passed over silently gives wrong ids.
 *
 * An open tokenizer is never written to: any number of threads may use it, each with a scratch of its own. */
#ifndef BT_TEXT_TOKENIZER_H
#define BT_TEXT_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "text/text_place.h"

#define BT_NO_TOKEN (-1) /* where there is no such id */

struct bt_tokenizer;
/* path: a tokenizer.json, a folder that has one, or a GGUF file as bitnet-export writes them. BT_EINPUT for a file that
 * is missing, malformed or asks for what is not supported; the sentence names the part of the file, as in
 * "model.merges[3]". */
enum bt_err bt_tokenizer_open(const char *path, struct bt_tokenizer **ret_tokenizer, struct bt_diag *diag);
/* The same from the text of such a file; `what` names it in errors. */
enum bt_err bt_tokenizer_parse(const char *json, size_t size, const char *what, struct bt_tokenizer **ret_tokenizer,
                               struct bt_diag *diag);
void bt_tokenizer_close(struct bt_tokenizer *tokenizer); /* takes NULL */

/* One more than the largest id; every id below it has a token. A model's vocab_size may be larger (padding rows), never
 * smaller. */
int32_t bt_tokenizer_vocab_size(const struct bt_tokenizer *tokenizer);
/* The id of a token as the file spells it ("<|endoftext|>", "Ġthe"), or BT_NO_TOKEN. */
int32_t bt_tokenizer_id(const struct bt_tokenizer *tokenizer, const char *token);
/* The token as the file spells it, with a NUL at the end, living as long as the tokenizer; NULL when there is no such
 * id. */
const char *bt_tokenizer_token(const struct bt_tokenizer *tokenizer, int32_t id);
bool bt_tokenizer_is_special(const struct bt_tokenizer *tokenizer, int32_t id); /* an added token marked so */
/* Whether it stands for a single byte of a character that has no token of its own ("<0x0A>"). */
bool bt_tokenizer_is_byte(const struct bt_tokenizer *tokenizer, int32_t id);
int32_t bt_tokenizer_unknown_id(const struct bt_tokenizer *tokenizer); /* of unk_token, or BT_NO_TOKEN */
/* What add_special puts in front of a text (the first such id) and behind it (the last one), or BT_NO_TOKEN: many
 * models, Qwen and SmolLM2 among them, have no such ids in this file. */
int32_t bt_tokenizer_bos(const struct bt_tokenizer *tokenizer);
int32_t bt_tokenizer_eos(const struct bt_tokenizer *tokenizer);
uint64_t bt_tokenizer_hash(const struct bt_tokenizer *tokenizer); /* XXH3-64 of the file's bytes */

/* Buffers that grow with the longest text seen, and the ids of words met lately. For one thread at a time, and for this
 * tokenizer only, which must outlive it. What it holds never changes a result. */
struct bt_tokenizer_scratch;
enum bt_err bt_tokenizer_scratch_create(const struct bt_tokenizer *tokenizer, struct bt_tokenizer_scratch **ret_scratch,
                                        struct bt_diag *diag);
void bt_tokenizer_scratch_destroy(struct bt_tokenizer_scratch *scratch); /* takes NULL */

struct bt_ids { /* zeroed: empty */
    int32_t *at;
    size_t count, capacity;
};
void bt_ids_finish(struct bt_ids *ids);

/* Appends the ids of text, which is UTF-8 of at most BT_TOKENIZER_MAX_TEXT bytes and may hold NULs. Added tokens that
 * are spelled out in the text become their ids. add_special: with what the file's post_processor puts around a text.
 * BT_EINPUT names the byte offset of what is not UTF-8. On failure out has the ids it had before. Needs time in
 * proportion to size, times a logarithm for words of many bytes. */
#define BT_TOKENIZER_MAX_TEXT ((size_t)256 << 20)
enum bt_err bt_tokenizer_encode(const struct bt_tokenizer *tokenizer, struct bt_tokenizer_scratch *scratch,
                                const char *text, size_t size, bool add_special, struct bt_ids *out,
                                struct bt_diag *diag);
/* The same for a part of a longer text, in which special tokens that are spelled out stay text: "<|im_end|>" becomes
 * the letters, never the token that ends a turn. Other added tokens become their ids. BT_EINPUT names a special token
 * that the vocabulary has no other way to write. */
enum bt_err bt_tokenizer_encode_plain(const struct bt_tokenizer *tokenizer, struct bt_tokenizer_scratch *scratch,
                                      const char *text, size_t size, enum bt_text_place place, struct bt_ids *out,
                                      struct bt_diag *diag);

/* The text of n ids, with a NUL at the end that *ret_size does not count; free with bt_free. Bytes that do not make up
 * characters become U+FFFD. skip_special leaves special tokens out; others give their content. Decoding the ids of a
 * text gives the text back up to what normalising changed (NFC, SentencePiece's space in front). BT_EINPUT names an id
 * that is not in the vocabulary and its place. */
enum bt_err bt_tokenizer_decode(const struct bt_tokenizer *tokenizer, const int32_t *ids, size_t n, bool skip_special,
                                char **ret_text, size_t *ret_size, struct bt_diag *diag);

/* The same one id at a time, for text that is shown while it is made. What the calls give, put together, is what
 * bt_tokenizer_decode gives for all ids; each piece is whole characters, and empty while one is not complete. The
 * tokenizer must outlive it. */
struct bt_token_stream;
enum bt_err bt_token_stream_create(const struct bt_tokenizer *tokenizer, bool skip_special,
                                   struct bt_token_stream **ret_stream, struct bt_diag *diag);
void bt_token_stream_destroy(struct bt_token_stream *stream); /* takes NULL */
/* The piece has a NUL at the end and lives until the next call. */
enum bt_err bt_token_stream_push(struct bt_token_stream *stream, int32_t id, const char **ret_piece, size_t *ret_size,
                                 struct bt_diag *diag);
/* What was held back; the stream then begins anew. */
enum bt_err bt_token_stream_end(struct bt_token_stream *stream, const char **ret_piece, size_t *ret_size,
                                struct bt_diag *diag);

#endif
