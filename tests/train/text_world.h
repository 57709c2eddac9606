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

/* Of the running program: made and finished by cmocka's setup and teardown. */
extern struct text_world text_world;
int text_world_setup(void **state);
int text_world_teardown(void **state);
/* Logits (n, vocab) of all positions, by the forward of training. Free them. */
float *text_world_logits(const int32_t *ids, size_t n);

#endif
