/* train/teacher_cache.h - a teacher's logits on disk, one file a row of training data.
 *
 *   <folder>/<key>/<first two digits>/<name>.row
 *
 * key says who speaks: the teacher's values and config, its tokenizer, temperature, number of ids, row length, and what
 * computed them. name is the XXH3-128 of the row's tokens and documents: so a row is found again whatever run, order or
 * epoch it turns up in. A file, in the byte order of the machine:
 *
 *   char magic[8] | uint64 key | uint64 name[2] | uint32 tokens, count | uint64 XXH3-64 of what follows
 *   ids (tokens, count), uint16 where the vocabulary allows, else int32 | uint16 levels (tokens, count), rest (tokens)
 *
 * Files are written as <folder>/<key>/<name>.<process id>.tmp and renamed, so several processes may share a folder, and
 * an interrupted one is continued. A file that is not what it must be is as good as absent, and is replaced. */
#ifndef BT_TRAIN_TEACHER_CACHE_H
#define BT_TRAIN_TEACHER_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "nn/batch.h"
#include "train/top_rows.h"

struct bt_teacher_cache;

/* Makes folder and key folder, and removes temporary files that are more than an hour old. Rows are of at most seq
 * tokens with `count` ids each out of vocab. BT_EIO, BT_ENOMEM. */
enum bt_err bt_teacher_cache_open(const char *folder, uint64_t key, size_t seq, size_t vocab, size_t count,
                                  struct bt_teacher_cache **ret_cache, struct bt_diag *diag);
void bt_teacher_cache_close(struct bt_teacher_cache *cache); /* takes NULL */

/* Row `row` of the batch, into the places of the block from its first token on. False when it is not there. */
bool bt_teacher_cache_read(struct bt_teacher_cache *cache, const struct bt_batch *batch, size_t row,
                           const struct bt_top_block *block);
/* Writes it from there. */
enum bt_err bt_teacher_cache_write(struct bt_teacher_cache *cache, const struct bt_batch *batch, size_t row,
                                   const struct bt_top_block *block, struct bt_diag *diag);

#endif
