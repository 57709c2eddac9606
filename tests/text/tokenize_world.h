/* tests/text/tokenize_world.h - a folder with the byte-level tokenizer, which makes every id known: 256 begins, 257
 * ends. What comes of tokenizing `input` goes to `prefix`. */
#ifndef BT_TESTS_TEXT_TOKENIZE_WORLD_H
#define BT_TESTS_TEXT_TOKENIZE_WORLD_H

#include "support.h"

#include "text/tokenize.h"

extern char *folder, *prefix, *input; /* FOLDER, FOLDER/out/a, FOLDER/a.jsonl */
extern struct bt_tokenizer *tokenizer;

/* cmocka's setup and teardown. */
int tokenize_world_setup(void **state);
int tokenize_world_teardown(void **state);

/* BOS before a document and EOS behind it, texts under "text", two threads. */
struct bt_tokenize_options tokenize_world_options(const char *const *inputs, size_t count, uint64_t shard_tokens);

#endif
