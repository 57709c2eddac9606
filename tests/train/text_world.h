/* tests/train/text_world.h - a random model of bytes, its engine and its tokenizer. Include support.h first. */
#ifndef BT_TESTS_TRAIN_TEXT_WORLD_H
#define BT_TESTS_TRAIN_TEXT_WORLD_H

#include "nn/infer.h"
#include "nn/model.h"
#include "text/tokenizer.h"

enum { TEXT_CONTEXT = 200 };

struct text_world {
    char *dir;
    struct bt_shape shape;
    struct bt_params params;
    float *weights;
    struct bt_compute compute;
    struct bt_infer *engine; /* ternary, room for TEXT_CONTEXT tokens */
    struct bt_tokenizer *tokenizer;
};

void text_world_init(struct text_world *world);
void text_world_finish(struct text_world *world);
/* Logits (n, vocab) of all positions, by the forward of training. Free them. */
float *text_world_logits(const struct text_world *world, const int32_t *ids, size_t n);

#endif
