/* text/tokenizer_parts.h - what a tokenizer is made of: for its own files and for tests. */
#ifndef BT_TEXT_TOKENIZER_PARTS_H
#define BT_TEXT_TOKENIZER_PARTS_H

#include "text/added_tokens.h"
#include "text/bpe.h"
#include "text/normalizer.h"
#include "text/pre_tokenizer.h"
#include "text/token_decoder.h"
#include "text/token_template.h"
#include "text/tokenizer.h"

enum { BT_TOKEN_ADDED = 1, BT_TOKEN_SPECIAL = 2, BT_TOKEN_SKIPPED = 4, BT_TOKEN_SHOWN = 8 };

struct bt_tokenizer {
    uint64_t hash;
    struct bt_token_table tokens; /* the model's, then the added ones that it does not have; numbered by id */
    struct bt_normalizer normalizer;
    struct bt_pre_tokenizer pre;
    struct bt_bpe bpe;
    struct bt_token_decoder decoder;
    struct bt_token_template special;
    struct bt_added_token *added; /* (added_count), in the order of the file */
    size_t added_count;
    unsigned char *flags; /* (vocabulary size): BT_TOKEN_... */
    /* Added tokens by where they are looked for: in the text as it is, in the normalised one. */
    struct bt_added_tree all[2], ordinary[2]; /* ordinary: those that are not special */
};

struct bt_tokenizer_scratch {
    struct bt_normalizer_scratch normalizer;
    struct bt_pre_scratch pre;
    struct bt_bpe_scratch *bpe;
};

/* text/tokenizer_model.c: the fields "model" and "added_tokens", which make the vocabulary. The normalizer is there. */
enum bt_err bt_tokenizer_read_model(const json_t *root, const struct bt_where *where, struct bt_tokenizer *tokenizer,
                                    struct bt_diag *diag);
enum bt_err bt_tokenizer_read_added(const json_t *root, const struct bt_where *where, struct bt_tokenizer *tokenizer,
                                    struct bt_diag *diag);

#endif
