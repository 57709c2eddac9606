/* Inputs of the kernel tests, in float or double: the same numbers in both, all of them floats. */
#ifndef BT_TESTS_KERNELS_RANDOM_REALS_H
#define BT_TESTS_KERNELS_RANDOM_REALS_H

#include "support.h"

#include "base/rng.h"
#include "kernels/kernels.h"

/* n numbers, uniform in [low, high), from an arena that is freed as a whole. */
static inline bt_real *random_reals(struct bt_arena *arena, size_t n, double low, double high, const char *name)
{
    const uint64_t key = bt_rng_key(7, name);
    bt_real *x = bt_arena_take(arena, n, sizeof *x);
    for (size_t i = 0; i < n; i++)
        x[i] = (bt_real)(float)(low + (high - low) * bt_rng_uniform(key, i));
    return x;
}

static inline int32_t *random_ints(struct bt_arena *arena, size_t n, size_t below, const char *name)
{
    const uint64_t key = bt_rng_key(7, name);
    int32_t *x = bt_arena_take(arena, n, sizeof *x);
    for (size_t i = 0; i < n; i++)
        x[i] = (int32_t)bt_rng_below(key, i, below);
    return x;
}

enum visible { SEES_CAUSAL, SEES_WINDOW, SEES_DOCUMENTS, SEES_BOTH, SEES_LONG_WINDOW, SEES_COUNT };

/* The first token that each token sees: all before it, the last 9 or (longer than a tile) 100, in documents of 1 to 40
 * tokens or in the whole row. */
static inline int32_t *first_seen(struct bt_arena *arena, size_t rows, size_t seq, enum visible sees)
{
    const bool documents = sees == SEES_DOCUMENTS || sees == SEES_BOTH;
    const size_t window = sees == SEES_LONG_WINDOW ? 100 : sees == SEES_WINDOW || sees == SEES_BOTH ? 9 : seq;
    int32_t *first = bt_arena_take(arena, rows * seq, sizeof *first);
    for (size_t row = 0; row < rows; row++) {
        size_t begin = 0, end = 0;
        for (size_t i = 0; i < seq; i++) {
            if (i == end && documents) {
                begin = end;
                end += 1 + (size_t)bt_rng_below(bt_rng_key(row, "documents"), i, 40);
            }
            first[row * seq + i] = (int32_t)(i + 1 > begin + window ? i + 1 - window : begin);
        }
    }
    return first;
}

#endif
