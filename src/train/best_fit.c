#include "train/best_fit.h"

#include <stdbool.h>

#include "base/mem.h"

/* Bins with the same free space form a leftist heap by number: Crane, "Linear lists and priority queues as balanced
 * binary trees" (1972). The right spine of such a heap of n nodes has at most log2(n + 1) of them, which bounds the
 * recursion. A bin is in one heap at a time, so the links are arrays over all bins. */
#define NONE UINT32_MAX

struct bins {
    uint32_t *left, *right; /* (n) links of the heaps */
    uint8_t *rank;          /* (n) nodes on the right spine */
    uint32_t *first;        /* (capacity + 1) by free space: the heap's root, the lowest number; NONE when empty */
    uint64_t *occupied;     /* bitmap over free space: which heaps are not empty */
    size_t capacity;
};

static uint32_t merge(struct bins *b, uint32_t x, uint32_t y)
{
    if (x == NONE || y == NONE)
        return x == NONE ? y : x;
    if (y < x) {
        const uint32_t held = x;
        x = y;
        y = held;
    }
    b->right[x] = merge(b, b->right[x], y);
    const unsigned left_rank = b->left[x] == NONE ? 0 : b->rank[b->left[x]];
    const unsigned right_rank = b->rank[b->right[x]];
    if (left_rank < right_rank) {
        const uint32_t held = b->left[x];
        b->left[x] = b->right[x];
        b->right[x] = held;
    }
    b->rank[x] = (uint8_t)((left_rank < right_rank ? left_rank : right_rank) + 1);
    return x;
}

static void put(struct bins *b, uint32_t bin, size_t free_space)
{
    if (free_space == 0)
        return; /* full: never asked for again */
    b->left[bin] = b->right[bin] = NONE;
    b->rank[bin] = 1;
    b->first[free_space] = merge(b, b->first[free_space], bin);
    b->occupied[free_space / 64] |= (uint64_t)1 << free_space % 64;
}

static uint32_t take(struct bins *b, size_t free_space)
{
    const uint32_t bin = b->first[free_space];
    b->first[free_space] = merge(b, b->left[bin], b->right[bin]);
    if (b->first[free_space] == NONE)
        b->occupied[free_space / 64] &= ~((uint64_t)1 << free_space % 64);
    return bin;
}

/* The least free space of `length` or more that some bin has; 0: none. */
static size_t least_free(const struct bins *b, size_t length)
{
    uint64_t word = b->occupied[length / 64] & ~(uint64_t)0 << length % 64;
    for (size_t i = length / 64;; word = b->occupied[i]) {
        if (word)
            return i * 64 + (size_t)__builtin_ctzll(word);
        if (++i > b->capacity / 64)
            return 0;
    }
}

static bool allocate(struct bins *b, size_t n, size_t capacity)
{
    b->capacity = capacity;
    b->left = bt_zalloc(n, sizeof *b->left);
    b->right = bt_zalloc(n, sizeof *b->right);
    b->rank = bt_zalloc(n, sizeof *b->rank);
    b->first = bt_zalloc(capacity + 1, sizeof *b->first);
    b->occupied = bt_zalloc(capacity / 64 + 1, sizeof *b->occupied);
    if (!b->left || !b->right || !b->rank || !b->first || !b->occupied)
        return false;
    for (size_t i = 0; i <= capacity; i++)
        b->first[i] = NONE;
    return true;
}

enum bt_err bt_best_fit(const uint32_t *lengths, size_t n, size_t capacity, uint32_t *bin_of, size_t *ret_bins,
                        struct bt_diag *diag)
{
    enum bt_err err = BT_OK;
    struct bins b = {0};
    size_t count = 0;
    if (!allocate(&b, n, capacity)) {
        err = bt_fail_nomem(diag);
        goto done;
    }
    for (size_t i = 0; i < n; i++) {
        const size_t free_space = least_free(&b, lengths[i]);
        bin_of[i] = free_space ? take(&b, free_space) : (uint32_t)count++;
        put(&b, bin_of[i], (free_space ? free_space : capacity) - lengths[i]);
    }
    *ret_bins = count;
done:
    bt_free(b.left);
    bt_free(b.right);
    bt_free(b.rank);
    bt_free(b.first);
    bt_free(b.occupied);
    return err;
}
