#include "support.h"

#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "train/best_fit.h"

/* The definition, read off literally. */
static size_t naive_best_fit(const uint32_t *lengths, size_t n, size_t capacity, uint32_t *bin_of)
{
    size_t bins = 0, *space = malloc((n + 1) * sizeof *space);
    assert_non_null(space);
    for (size_t i = 0; i < n; i++) {
        size_t best = bins;
        for (size_t b = 0; b < bins; b++) {
            if (space[b] >= lengths[i] && (best == bins || space[b] < space[best]))
                best = b;
        }
        if (best == bins)
            space[bins++] = capacity;
        space[best] -= lengths[i];
        bin_of[i] = (uint32_t)best;
    }
    free(space);
    return bins;
}

static void worked_by_hand(void **state)
{
    (void)state;
    static const struct {
        uint32_t capacity;
        size_t n;
        uint32_t lengths[8], bins[8];
        size_t count;
    } cases[] = {
        {10, 0, {0}, {0}, 0},
        {10, 1, {10}, {0}, 1},
        {10, 3, {6, 5, 4}, {0, 1, 0}, 2},
        {10, 4, {8, 7, 2, 2}, {0, 1, 0, 1}, 2},
        {10, 5, {6, 6, 4, 4, 1}, {0, 1, 0, 1, 2}, 3},       /* equally full: the one opened first */
        {10, 6, {7, 6, 3, 2, 2, 1}, {0, 1, 0, 1, 1, 2}, 3}, /* 3 fits tightest into the first */
        {1, 3, {1, 1, 1}, {0, 1, 2}, 3},
    };
    for (size_t c = 0; c < BT_ARRAY_LEN(cases); c++) {
        struct bt_diag diag = {0};
        uint32_t bin_of[8];
        size_t bins = 99;
        TEST_OK(bt_best_fit(cases[c].lengths, cases[c].n, cases[c].capacity, bin_of, &bins, &diag), diag);
        assert_int_equal(bins, cases[c].count);
        assert_memory_equal(bin_of, cases[c].bins, cases[c].n * sizeof *bin_of);
    }
}

static int descending(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x < y) - (x > y);
}

static void random_pieces_agree_with_the_definition(void **state)
{
    (void)state;
    static const size_t capacities[] = {1, 2, 7, 63, 64, 65, 128, 200, 1000};
    for (uint64_t round = 0; round < 400; round++) {
        struct bt_diag diag = {0};
        const size_t capacity = capacities[round % BT_ARRAY_LEN(capacities)], n = bt_rng_below(1, round, 300);
        const size_t longest = 1 + bt_rng_below(2, round, capacity);
        uint32_t lengths[300], got[300], want[300];
        size_t bins = 0;
        for (size_t i = 0; i < n; i++)
            lengths[i] = 1 + (uint32_t)bt_rng_below(3 + round, i, longest);
        qsort(lengths, n, sizeof *lengths, descending);
        TEST_OK(bt_best_fit(lengths, n, capacity, got, &bins, &diag), diag);
        assert_int_equal(bins, naive_best_fit(lengths, n, capacity, want));
        if (memcmp(got, want, n * sizeof *got))
            fail_msg("round %d: other bins than the definition gives", (int)round);
    }
}

static enum bt_err place(void *context)
{
    static const uint32_t lengths[] = {5, 4, 3, 3, 2, 1};
    uint32_t bin_of[BT_ARRAY_LEN(lengths)];
    size_t bins;
    (void)context;
    return bt_best_fit(lengths, BT_ARRAY_LEN(lengths), 6, bin_of, &bins, NULL);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    test_every_allocation_fails(place, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(worked_by_hand),
        cmocka_unit_test(random_pieces_agree_with_the_definition),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
