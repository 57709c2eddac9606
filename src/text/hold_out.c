#include "text/hold_out.h"

#include <math.h>

#include "base/mem.h"
#include "base/rng.h"

static bool is_above(struct bt_draw a, struct bt_draw b)
{
    return a.value != b.value ? a.value > b.value : a.index > b.index;
}

static struct bt_draw draw(const struct bt_hold_out *h, uint64_t index)
{
    return (struct bt_draw){bt_rng_u64(h->key, index), index};
}

void bt_hold_out_begin(struct bt_hold_out *h, uint64_t seed, double share, uint64_t count)
{
    *h = (struct bt_hold_out){.key = bt_rng_key(seed, "split"), .count = share == 0.0 ? count : 0};
    h->limit.value = (uint64_t)ldexp(share, 64);
}

void bt_hold_out_finish(struct bt_hold_out *h)
{
    bt_free(h->heap);
    *h = (struct bt_hold_out){0};
}

bool bt_hold_out_counts(const struct bt_hold_out *h)
{
    return h->count > 0;
}

static void sift_down(struct bt_hold_out *h)
{
    for (size_t i = 0;;) {
        size_t largest = i;
        for (size_t child = 2 * i + 1; child <= 2 * i + 2 && child < h->held; child++)
            if (is_above(h->heap[child], h->heap[largest]))
                largest = child;
        if (largest == i)
            return;
        const struct bt_draw moved = h->heap[i];
        h->heap[i] = h->heap[largest];
        h->heap[largest] = moved;
        i = largest;
    }
}

static bool push(struct bt_hold_out *h, struct bt_draw draw)
{
    if (h->held == h->capacity) {
        const size_t capacity = 2 * h->capacity + 64;
        struct bt_draw *larger = bt_realloc(h->heap, capacity, sizeof *larger);
        if (!larger)
            return false;
        h->heap = larger;
        h->capacity = capacity;
    }
    size_t i = h->held++;
    for (; i > 0 && is_above(draw, h->heap[(i - 1) / 2]); i = (i - 1) / 2)
        h->heap[i] = h->heap[(i - 1) / 2];
    h->heap[i] = draw;
    return true;
}

enum bt_err bt_hold_out_show(struct bt_hold_out *h, uint64_t index, struct bt_diag *diag)
{
    const struct bt_draw shown = draw(h, index);
    h->shown++;
    if (h->held < h->count)
        return push(h, shown) ? BT_OK : bt_fail_nomem(diag);
    if (is_above(h->heap[0], shown)) {
        h->heap[0] = shown;
        sift_down(h);
    }
    return BT_OK;
}

enum bt_err bt_hold_out_decide(struct bt_hold_out *h, struct bt_diag *diag)
{
    if (h->shown <= h->count)
        return bt_fail(diag, BT_EINPUT,
                       "the inputs hold %llu documents: holding out %llu of them leaves none to train on",
                       (unsigned long long)h->shown, (unsigned long long)h->count);
    h->limit = h->heap[0];
    return BT_OK;
}

bool bt_hold_out_takes(const struct bt_hold_out *h, uint64_t index)
{
    return !is_above(draw(h, index), h->limit);
}
