/* text/tokenize.h - files of text, or of examples (text/example.h), to token shards, on all processors. Shards of
 * examples get label masks (io/mask.h): only answers are there to be learned.
 *
 * Batches of documents are read, encoded and written at the same time, one behind the other: every thread encodes
 * documents of one batch while one of them reads the next and one writes the last. The shards do not depend on the
 * number of threads, and memory on the size of the files only where a single document is large. */
#ifndef BT_TEXT_TOKENIZE_H
#define BT_TEXT_TOKENIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "text/example.h"
#include "text/separators.h"
#include "text/tokenizer.h"

struct bt_tokenize_progress {
    uint64_t position, size; /* bytes of the input files, compressed: read, and of all */
    uint64_t documents, bytes, tokens;
};

struct bt_tokenize_options { /* all borrowed */
    const struct bt_tokenizer *tokenizer;
    const char *tokenizer_path; /* its file or folder: for the manifest, and for what the folder says of chats */
    struct bt_separators separators;
    const char *const *inputs;
    size_t input_count;
    const uint64_t *input_hashes;      /* (input_count) XXH3-64 that the inputs must have; NULL: any */
    const enum bt_text_format *format; /* of all inputs; NULL: as their names say */
    const char *key, *separator;       /* text/documents.h */
    enum bt_form form;                 /* of .jsonl files; BT_FORM_NONE: each file's own (bt_form_detect) */
    const char *chat_format;           /* text/chat.h; NULL: the folder's */
    const char *prefix;
    uint64_t shard_tokens;
    bool skip; /* leave out what cannot be read, and count it, in place of stopping */
    int threads;
    void (*progress)(void *context, const struct bt_tokenize_progress *progress); /* after each batch; may be NULL */
    bool (*stop)(void *context); /* asked after each batch: give up and return BT_ESTOPPED? May be NULL */
    void *context;
};

struct bt_tokenize_report {
    struct bt_tokenize_progress done;
    size_t shards;
    unsigned width;          /* bytes of a token */
    const char *chat_format; /* of examples; NULL: text */
    uint64_t labels;         /* of examples */
    uint64_t empty;          /* documents without text, left out */
    uint64_t skipped;
    char first_skipped[512]; /* why the first of them could not be read, cut */
};

/* Writes PREFIX-000000.bin ... and PREFIX.json. A failure leaves what stood there before, unless it comes while the
 * finished files are renamed. BT_EINPUT names file and line of a document that is not text, or an example that does not
 * fit its form or the chat format; files of text among files of examples; a chat template that is not known. */
enum bt_err bt_tokenize(const struct bt_tokenize_options *options, struct bt_tokenize_report *ret_report,
                        struct bt_diag *diag);

#endif
