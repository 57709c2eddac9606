/* tests/train/trainer_world.h - a tiny model over tiny shards, ready to be trained. */
#ifndef BT_TESTS_TRAIN_TRAINER_WORLD_H
#define BT_TESTS_TRAIN_TRAINER_WORLD_H

#include "corpus.h"

#include "train/trainer.h"

enum { WORLD_SEQ = 8, WORLD_VOCAB = 29 };

/* Everything that stays while trainers come and go. */
struct trainer_world {
    struct corpus corpus;
    struct bt_rows *rows;
    struct bt_shape shape;
    struct bt_params params;
    float *weights, *start; /* (total) */
    struct bt_compute compute;
    struct bt_cfg_train_stage config;
};

/* Quantised, with the warm-up over the first updates; two rows a micro-batch. No source yet. */
void trainer_world_init(struct trainer_world *world);
void trainer_world_finish(struct trainer_world *world);

/* A source of documents of 1 to 12 tokens behind B, some with an A at their end; a few tokens have no label. */
void trainer_world_add_documents(struct trainer_world *world, double weight, size_t documents, uint64_t seed);
/* A source of documents that are one A: rows without a single label. */
void trainer_world_add_unlabelled(struct trainer_world *world, double weight, size_t tokens);
void trainer_world_open_rows(struct trainer_world *world); /* once the sources are there: packed, shuffled */

/* A trainer of the first weights, for so many updates, that has begun. */
struct bt_trainer *trainer_world_start(struct trainer_world *world, int64_t updates);
/* So many updates, all of which must be applied; the last report. */
struct bt_update_report trainer_world_run(struct bt_trainer *trainer, size_t updates);

#endif
