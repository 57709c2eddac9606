/* text/manifest.h - what token shards were made of: PREFIX.json beside PREFIX-000000.bin and those after it.
 *
 * The file is written last: where it stands, its shards are whole. */
#ifndef BT_TEXT_MANIFEST_H
#define BT_TEXT_MANIFEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "text/documents.h"
#include "text/example.h"
#include "text/separators.h"

struct bt_shard_entry {
    uint64_t tokens, documents; /* documents that begin in it */
    uint64_t bytes;             /* of their text, UTF-8 */
    uint64_t hash;              /* XXH3-64 of the file */
    bool masked;                /* it has a label mask */
    uint64_t labels, mask_hash; /* tokens that may be labels; of the mask's file */
};

struct bt_manifest {
    const char *tokenizer_path;
    uint64_t tokenizer_hash; /* XXH3-64 of tokenizer.json */
    int32_t vocab_size;
    unsigned width; /* bytes of a token */
    struct bt_separators separators;
    uint64_t shard_tokens;
    const char *key, *separator; /* of documents; separator may be NULL */
    const char *chat_format;     /* of examples; NULL: the inputs are text */
    const enum bt_form *forms;   /* (input_count) */
    bool skip;                   /* documents that could not be read were left out: `skipped` of them */
    uint64_t skipped, empty;
    const struct bt_shard_entry *shards;
    size_t shard_count;
    const struct bt_documents *documents; /* the inputs, read to their end */
    size_t input_count;
};

/* PREFIX-000003.bin, and its mask's PREFIX-000003.mask; NULL when memory is out. */
char *bt_manifest_shard_path(const char *prefix, size_t i);
char *bt_manifest_mask_path(const char *prefix, size_t i);
/* Replaces PREFIX.json. */
enum bt_err bt_manifest_write(const char *prefix, const struct bt_manifest *manifest, struct bt_diag *diag);

/* What a shard's manifest says; known is false when there is none, or it does not list the shard. */
struct bt_shard_origin {
    bool known;
    bool masked;                   /* there has to be a label mask (io/mask.h) beside it */
    bool hashed;                   /* the manifest has the shard's hash: any that the programs wrote */
    uint64_t tokenizer_hash, hash; /* XXH3-64 of tokenizer.json and of the shard's file */
    uint64_t documents;            /* that begin in it; 0: not told */
    struct bt_separators separators;
    char tokenizer[256]; /* its path, cut */
};
/* BT_EINPUT when there is a manifest that cannot be read. */
enum bt_err bt_manifest_find(const char *shard_path, struct bt_shard_origin *ret_origin, struct bt_diag *diag);

/* A whole manifest, for sets that are made from its shards. */
struct bt_manifest_file { /* zeroed: there is none */
    char *path;
    json_t *value;
    struct bt_shard_origin origin;
};
/* As bt_manifest_find. */
enum bt_err bt_manifest_open(const char *shard_path, struct bt_manifest_file *ret_file, struct bt_diag *diag);
void bt_manifest_close(struct bt_manifest_file *file); /* takes a zeroed one */
/* Tokens of a shard at most, as the set was made; 0 when it does not say. */
uint64_t bt_manifest_shard_tokens(const struct bt_manifest_file *file);
/* Replaces PREFIX.json by that of another set with the shards of a part of it, and their counts; how many bytes of text
 * they hold is not known, and null. split, which is taken, says how the part was made; NULL stands for memory that is
 * out. */
enum bt_err bt_manifest_write_part(const char *prefix, const struct bt_manifest_file *of,
                                   const struct bt_shard_entry *shards, size_t shard_count, json_t *split,
                                   struct bt_diag *diag);

#endif
