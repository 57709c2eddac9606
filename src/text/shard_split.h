/* text/shard_split.h - a validation part held out of token shards, document by document. */
#ifndef BT_TEXT_SHARD_SPLIT_H
#define BT_TEXT_SHARD_SPLIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct bt_shard_split_options { /* all borrowed */
    const char *const *inputs;  /* shards of llm.c's layout, in the order in which their documents are numbered */
    size_t input_count;
    const char *prefix;
    uint64_t seed;
    double share;          /* text/hold_out.h */
    uint64_t count;        /* likewise */
    int32_t before, after; /* what begins and ends a document where no manifest says so; or BT_NO_TOKEN */
};

struct bt_shard_split_part {
    uint64_t documents, tokens;
    size_t shards;
};

struct bt_shard_split_report {
    struct bt_shard_split_part train, validation;
    bool manifests; /* the inputs have a manifest, so the parts have one each */
};

/* Writes PREFIX-train-000000.bin and so on and the same for validation, each set with its manifest: that of the inputs,
 * with the counts of the part. Label masks are split along. Documents keep their order; which ones are held out is a
 * function of the seed and of their number. One that goes on in the next shard is one document.
 * BT_EINPUT: shards of several manifests or token widths, some of them with masks and others without, a part without a
 * document; BT_EUSAGE: nothing says where documents end, or an input would be overwritten. */
enum bt_err bt_shard_split(const struct bt_shard_split_options *options, struct bt_shard_split_report *ret_report,
                           struct bt_diag *diag);

#endif
