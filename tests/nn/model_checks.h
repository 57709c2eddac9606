/* tests/nn/model_checks.h - the model against the reference. */
#ifndef BT_TESTS_MODEL_CHECKS_H
#define BT_TESTS_MODEL_CHECKS_H

#include "nn_world.h"

#include "reference_model.h"

struct nn_setup {
    const struct nn_case *of;
    enum nn_layout layout;
    bool ternary, int8;
    float lambda;
    char *const *exclude; /* globs of layers that are not quantised */
    size_t exclude_count;
    void (*change)(struct nn_world *world); /* of weights or batch, before they are used; may be NULL */
};

/* A world with its model, and the reference frozen in it, in which no code of an activation lies near a rounding
 * boundary: there float and double may part. */
void nn_settle(struct nn_world *world, struct reference *r, const struct nn_setup *setup);
void nn_unsettle(struct nn_world *world, struct reference *r);

/* Loss, logits and the input of every block. */
void nn_check_forward(struct nn_world *world, struct reference *r, const char *name, float lambda);
/* Gradients against finite differences of the frozen reference: along random directions, and of single parameters of
 * every tensor. */
void nn_check_gradients(struct nn_world *world, struct reference *r, const char *name, float lambda);

/* All of it in one line. */
void nn_check(const struct nn_setup *setup, bool gradients);

/* The settings of quantisation that tests go through. */
struct nn_quantisation {
    bool ternary, int8;
    float lambda;
};
extern const struct nn_quantisation nn_quantised[];
extern const size_t nn_quantised_count;

#endif
