/* text/tokenizer_train.h - a new byte-level BPE tokenizer made from text files, in the files of Hugging Face's form. */
#ifndef BT_TEXT_TOKENIZER_TRAIN_H
#define BT_TEXT_TOKENIZER_TRAIN_H

#include "text/word_count.h"
#include "text/word_pattern.h"

#define BT_TOKENIZER_TRAIN_MAX ((uint64_t)1 << 24) /* tokens */

struct bt_tokenizer_training {         /* all borrowed */
    struct bt_word_count_options text; /* pre and longest are filled in */
    const struct bt_word_pattern *pattern;
    /* Ids 0, 1, ... ; every two differ, UTF-8, none of them empty. bos and eos: which of them, or -1. */
    const char *const *special;
    size_t special_count;
    int32_t bos, eos;
    uint64_t vocab_size; /* with special tokens; special_count + 256 .. BT_TOKENIZER_TRAIN_MAX */
    uint64_t min_frequency;
    const char *folder;
    void (*progress)(void *context, uint64_t tokens, uint64_t wanted); /* after each merge; may be NULL */
    void *context;
};

struct bt_tokenizer_training_report {
    struct bt_word_count_report text;
    size_t different_words;
    uint64_t vocab_size; /* less than what was wanted when no pair is left */
    size_t longest;      /* token, bytes */
};

/* Writes tokenizer_config.json, special_tokens_map.json, generation_config.json and last tokenizer.json into the
 * folder, making it; those that are there are replaced. Special tokens come first, then the bytes, then what merges
 * make: the order of Hugging Face's trainer. The files are the same for any number of threads and any order of the
 * inputs. BT_EINPUT: inputs without a word, or as with bt_word_count; BT_EUSAGE: a special token that is spelled like a
 * byte. */
enum bt_err bt_tokenizer_train(const struct bt_tokenizer_training *training,
                               struct bt_tokenizer_training_report *ret_report, struct bt_diag *diag);

#endif
