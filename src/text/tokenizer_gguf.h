/* text/tokenizer_gguf.h - a tokenizer.json as the tokenizer keys of a GGUF file, and back. What llama.cpp does with the
 * keys: src/llama-vocab.cpp.
 *
 * "gpt2" is byte-level BPE; how texts are cut into words is a name there (tokenizer.ggml.pre), so only the patterns of
 * the families that have one can be written: GPT-2, Llama 3, Qwen, SmolLM2. "llama" is SentencePiece's BPE with byte
 * fallback; it merges by the score of what comes out, for which the place of the first such merge in the list stands.
 */
#ifndef BT_TEXT_TOKENIZER_GGUF_H
#define BT_TEXT_TOKENIZER_GGUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "io/gguf.h"
#include "io/json.h"
#include "text/tokenizer.h"

/* What belongs to a model's tokenizer, wherever it was read. */
struct bt_tokenizer_source {
    json_t *tokenizer;   /* what tokenizer.json holds; NULL: there is none */
    char *chat_template; /* NULL: none */
    char *what;          /* names it in errors */
};
/* From a model folder or a GGUF file. A folder without tokenizer.json and a file of the kind "no_vocab" have none. */
enum bt_err bt_tokenizer_source_read(const char *path, struct bt_tokenizer_source *ret_source, struct bt_diag *diag);
void bt_tokenizer_source_finish(struct bt_tokenizer_source *source); /* takes a zeroed one */
/* Writes tokenizer.json and tokenizer_config.json into an existing folder, each synced; without a tokenizer nothing. */
enum bt_err bt_tokenizer_source_write(const struct bt_tokenizer_source *source, const char *folder,
                                      struct bt_diag *diag);
/* Opens it. BT_EINPUT also when there is none. */
enum bt_err bt_tokenizer_source_open(const struct bt_tokenizer_source *source, struct bt_tokenizer **ret_tokenizer,
                                     struct bt_diag *diag);

struct bt_gguf_special { /* ids of the model's config, or BT_NO_TOKEN */
    int32_t bos, eos, pad;
};
/* Writes the keys. vocab: rows of the embedding; those beyond the tokenizer's are written as unused. BT_EUSAGE with the
 * reason when the keys cannot say what the file says. notes gets up to BT_GGUF_TOKENIZER_NOTES sentences
 * on what llama.cpp does otherwise. */
#define BT_GGUF_TOKENIZER_NOTES 3
enum bt_err bt_tokenizer_gguf_write(const struct bt_tokenizer_source *source, const struct bt_gguf_special *special,
                                    uint64_t vocab, struct bt_gguf_out *out, const char **notes, size_t *ret_notes,
                                    struct bt_diag *diag);

/* What tokenizer.json would hold, of the keys that the function above writes; NULL for "no_vocab". */
enum bt_err bt_tokenizer_gguf_read(const struct bt_gguf *file, json_t **ret_tokenizer, struct bt_diag *diag);

#endif
