/* tests/bench/shapes.h - public model shapes by name, to be filled with random weights. */
#ifndef BT_BENCH_SHAPES_H
#define BT_BENCH_SHAPES_H

#include "nn/shape.h"

#define BENCH_SHAPES "smollm2-135m|tinyllama-1.1b|stories260k"

/* name is one of those above. With SubLN norms. */
struct bt_shape bench_shape(const char *name);

/* Multiplications of a linear layer or the head, per token: the sum of their weights' counts. */
size_t bench_linear_weights(const struct bt_shape *shape);
size_t bench_head_weights(const struct bt_shape *shape);

#endif
