/* text/pre_tokenizer.h - a tokenizer file's "pre_tokenizer": how a normalised text is cut into the words that are then
 * encoded each on its own. The letters of byte-level BPE are not made here: the words come out in plain bytes. */
#ifndef BT_TEXT_PRE_TOKENIZER_H
#define BT_TEXT_PRE_TOKENIZER_H

#include "text/buffer.h"
#include "text/split_pattern.h"
#include "text/text_place.h"

#define BT_PRE_STEPS 16

/* What becomes of the matches of a pattern, in Hugging Face's words. */
enum bt_split_behavior {
    BT_SPLIT_REMOVED,
    BT_SPLIT_ISOLATED,
    BT_SPLIT_MERGED_WITH_PREVIOUS,
    BT_SPLIT_MERGED_WITH_NEXT,
    BT_SPLIT_CONTIGUOUS,
};

enum bt_pre_kind { BT_PRE_SPLIT, BT_PRE_DIGITS, BT_PRE_BYTE_LEVEL, BT_PRE_METASPACE };
enum bt_prepend { BT_PREPEND_NEVER, BT_PREPEND_FIRST, BT_PREPEND_ALWAYS };

struct bt_pre_step {
    enum bt_pre_kind kind;
    enum bt_split_behavior behavior;  /* split, digits */
    bool invert;                      /* split: the gaps count as the matches */
    struct bt_split_pattern *pattern; /* split; byte level, or NULL when it cuts nothing */
    enum bt_prepend prepend;          /* byte level: a space; metaspace: its mark; where there is none yet */
    char mark[5];                     /* metaspace: what stands for a space */
    size_t mark_size;
    bool cut; /* metaspace: in front of every mark */
};

struct bt_pre_tokenizer { /* zeroed: every text is one word */
    struct bt_pre_step steps[BT_PRE_STEPS];
    size_t count;
    bool byte_level; /* the words are for a vocabulary in the letters of byte-level BPE */
};

/* value: the field, or NULL or null. */
enum bt_err bt_pre_tokenizer_read(const json_t *value, const struct bt_where *where, struct bt_pre_tokenizer *pre,
                                  struct bt_diag *diag);
void bt_pre_tokenizer_finish(struct bt_pre_tokenizer *pre);

struct bt_pre_scratch {
    struct bt_matcher *matcher;
    struct bt_buffer texts[BT_PRE_STEPS]; /* what a step rewrote */
};

void bt_pre_scratch_finish(struct bt_pre_scratch *scratch);

/* Takes a word, which is never empty. */
typedef enum bt_err bt_word_fn(void *context, const char *word, size_t size, struct bt_diag *diag);
/* Calls take for every word of valid UTF-8, in order, until it fails. */
enum bt_err bt_pre_tokenizer_run(const struct bt_pre_tokenizer *pre, struct bt_pre_scratch *scratch, const char *text,
                                 size_t size, enum bt_text_place place, bt_word_fn *take, void *context,
                                 struct bt_diag *diag);

#endif
