/* text/separators.h - which ids stand before and after each document. */
#ifndef BT_TEXT_SEPARATORS_H
#define BT_TEXT_SEPARATORS_H

#include <stdint.h>

#include "base/err.h"
#include "text/tokenizer.h"

struct bt_separators {
    int32_t before, after; /* BT_NO_TOKEN: none */
};

/* `before` is a number, "bos" or "none", `after` a number, "eos" or "none"; NULL: BOS and EOS where there are such ids,
 * and where one id is both, it stands before. That is what training takes for separators.
 *
 * BOS and EOS are those that the folder's config.json names (bos_token_id, eos_token_id, of several the first), else
 * its tokenizer_config.json (bos_token, eos_token), else those that the tokenizer itself puts around a text. `path` is
 * the folder, a tokenizer.json in it, or a GGUF file, whose keys say the same. BT_EUSAGE: a word that is none of these,
 * an id that the tokenizer does not have, one id for both. */
enum bt_err bt_separators_choose(const char *path, const struct bt_tokenizer *tokenizer, const char *before,
                                 const char *after, struct bt_separators *ret_separators, struct bt_diag *diag);

#endif
