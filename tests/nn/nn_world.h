/* tests/nn/nn_world.h - tiny models of every kind, with weights, a batch and every way to compute. */
#ifndef BT_TESTS_NN_WORLD_H
#define BT_TESTS_NN_WORLD_H

#include "support.h"

#include "nn/model.h"

struct nn_case {
    const char *name;
    struct bt_shape shape;
    size_t rows, seq;
};

/* Between them they have every feature of a shape, alone and together with others. */
extern const struct nn_case nn_cases[];
extern const size_t nn_case_count;

enum nn_layout {
    NN_PLAIN,  /* one document a row, a label on every token */
    NN_PACKED, /* short documents and two tokens of padding at the end of a row, some labels masked */
};

struct nn_world {
    struct bt_shape shape;
    struct bt_params params;
    float *weights, *gradients; /* (total) */
    struct bt_compute compute;
    struct bt_batch batch;
    int32_t *document; /* (n) numbers of the documents, a padding token being one of its own */
    struct bt_model *model;
};

/* Weights large enough that every part of the model matters, gains and biases random too. No model yet. */
void nn_world_init(struct nn_world *world, const struct bt_shape *shape, size_t rows, size_t seq, enum nn_layout layout,
                   uint64_t seed);
void nn_world_finish(struct nn_world *world);
/* Makes the model anew, with these quantised flags, and its codes. */
void nn_world_model(struct nn_world *world, bool ternary, bool int8);
/* Forward and backward into zeroed gradients; the loss. */
double nn_world_backward(struct nn_world *world, float lambda, float scale);

void nn_fill_normal(float *out, size_t n, uint64_t seed, const char *purpose, double mean, double deviation);

/* Every way of this machine and build: portable, vectorised, both in floats and in integers, oneDNN. Returns how many
 * were filled in. */
enum { NN_MAX_COMPUTES = 7 };
size_t nn_computes(struct bt_compute *computes);

#endif
