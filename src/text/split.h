/* text/split.h - a validation part held out of text files, document by document. */
#ifndef BT_TEXT_SPLIT_H
#define BT_TEXT_SPLIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "text/documents.h"

struct bt_split_options { /* all borrowed */
    const char *const *inputs;
    size_t input_count;
    const char *key, *separator; /* text/documents.h; .txt needs a separator */
    const char *prefix;
    uint64_t seed;
    double share;   /* of the documents to hold out, inside (0, 1); 0: `count` of them */
    uint64_t count; /* at least 1 */
    bool skip;      /* leave out what cannot be read, and count it, in place of stopping */
};

struct bt_split_report {
    enum bt_text_format format;
    uint64_t train, validation; /* documents */
    uint64_t skipped;
    char first_skipped[512]; /* why the first of them could not be read, cut */
};

/* Writes PREFIX-train.EXT and PREFIX-validation.EXT, EXT being txt or jsonl as the inputs are, uncompressed: documents
 * in the order of the inputs and as they stand there. Document i is held out when its draw, a function of seed and i,
 * is below the share, or among the `count` smallest: the same documents every time. Memory grows with `count`, not with
 * the files. BT_EINPUT: inputs of both formats, a part without a document, a document that is not text. */
enum bt_err bt_split_documents(const struct bt_split_options *options, struct bt_split_report *ret_report,
                               struct bt_diag *diag);

#endif
