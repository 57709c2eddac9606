/* text/word_pattern.h - how known families of tokenizers cut a text into words: what a new tokenizer can be made with.
 */
#ifndef BT_TEXT_WORD_PATTERN_H
#define BT_TEXT_WORD_PATTERN_H

#include <stdbool.h>

#include "io/json.h"

/* For a command line: all names, separated by bars. The first is the default. */
#define BT_WORD_PATTERNS "llama3|qwen2|gpt2|smollm"

struct bt_word_pattern; /* never written to */
/* NULL when there is none of that name. */
const struct bt_word_pattern *bt_word_pattern_find(const char *name);
/* The field "pre_tokenizer" of a tokenizer.json, as the family's own files have it; NULL when memory is out. */
json_t *bt_word_pattern_json(const struct bt_word_pattern *pattern);
/* The expression of its Split step; NULL: it has none. */
const char *bt_word_pattern_split(const struct bt_word_pattern *pattern);
bool bt_word_pattern_cuts_digits(const struct bt_word_pattern *pattern); /* by a Digits step */
/* Whether the family's files, and programs that know the family by name, keep a word whole that is a token, whatever
 * the merges make of it. */
bool bt_word_pattern_ignores_merges(const struct bt_word_pattern *pattern);

#endif
