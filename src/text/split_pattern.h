/* text/split_pattern.h - the regular expressions of tokenizer files, run by PCRE2. They are written for Oniguruma with
 * Ruby's syntax, which is what Hugging Face's library runs; patterns that the two engines read differently are refused.
 */
#ifndef BT_TEXT_SPLIT_PATTERN_H
#define BT_TEXT_SPLIT_PATTERN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "text/json_field.h"

struct bt_split_pattern; /* never written to once it is compiled */
/* literal: the text stands for itself. BT_EINPUT names the place in the pattern. */
enum bt_err bt_split_pattern_compile(struct bt_json_text text, bool literal, const struct bt_where *where,
                                     struct bt_split_pattern **ret_pattern, struct bt_diag *diag);
void bt_split_pattern_free(struct bt_split_pattern *pattern); /* takes NULL */

/* What one thread needs for matching with any pattern. */
struct bt_matcher;
enum bt_err bt_matcher_create(struct bt_matcher **ret_matcher, struct bt_diag *diag);
void bt_matcher_destroy(struct bt_matcher *matcher); /* takes NULL */

/* The first match at or behind `from` in valid UTF-8; *ret_found says whether there is one. BT_EINPUT when the pattern
 * would need too many steps. */
enum bt_err bt_split_pattern_find(const struct bt_split_pattern *pattern, struct bt_matcher *matcher, const char *text,
                                  size_t size, size_t from, bool *ret_found, size_t *ret_start, size_t *ret_end,
                                  struct bt_diag *diag);

#endif
