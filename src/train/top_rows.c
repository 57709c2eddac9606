#include "train/top_rows.h"

#include <math.h>
#include <stdlib.h>

/* Is id a less likely than b? */
static bool below(const float *z, int32_t a, int32_t b)
{
    return z[a] < z[b] || (!(z[a] > z[b]) && a > b);
}

/* A heap of ids with the least likely at its top: sinks what stands at place i. */
static void sink(int32_t *heap, size_t count, size_t i, const float *z)
{
    for (size_t child; (child = 2 * i + 1) < count; i = child) {
        if (child + 1 < count && below(z, heap[child + 1], heap[child]))
            child++;
        if (!below(z, heap[child], heap[i]))
            return;
        const int32_t moved = heap[i];
        heap[i] = heap[child];
        heap[child] = moved;
    }
}

static int by_value(const void *a, const void *b)
{
    const int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

static void select_ids(int32_t *ids, size_t count, const float *z, size_t vocab)
{
    for (size_t i = 0; i < count; i++)
        ids[i] = (int32_t)i;
    for (size_t i = count / 2; i-- > 0;)
        sink(ids, count, i, z);
    for (size_t v = count; v < vocab; v++)
        if (below(z, ids[0], (int32_t)v)) {
            ids[0] = (int32_t)v;
            sink(ids, count, 0, z);
        }
    qsort(ids, count, sizeof *ids, by_value);
}

/* -log p in steps, as far as 16 bits go. */
static uint16_t level_of(double log_p)
{
    const double level = rint(-log_p / BT_LEVEL_STEP);
    return (uint16_t)(level > 0.0 ? fmin(level, BT_LEVEL_NONE - 1) : 0.0);
}

static bool fill_token(int32_t *ids, uint16_t *levels, uint16_t *rest, size_t count, const float *z, size_t vocab,
                       double temperature)
{
    double high = (double)z[0], sum = 0.0, others = 0.0;
    size_t next = 0;
    select_ids(ids, count, z, vocab);
    for (size_t v = 1; v < vocab; v++)
        high = fmax(high, (double)z[v]);
    for (size_t v = 0; v < vocab; v++) {
        const double e = exp(((double)z[v] - high) / temperature);
        const bool kept = next < count && ids[next] == (int32_t)v;
        next += kept;
        sum += e;
        others += kept ? 0.0 : e;
    }
    for (size_t i = 0; i < count; i++)
        levels[i] = level_of(((double)z[ids[i]] - high) / temperature - log(sum));
    *rest = others > 0.0 ? level_of(log(others / sum)) : BT_LEVEL_NONE;
    return isfinite(sum);
}

bool bt_top_rows_fill(const struct bt_top_block *block, size_t at, const float *logits, size_t n, size_t vocab,
                      float temperature)
{
    bool finite = true;
#pragma omp parallel for schedule(static) reduction(&& : finite)
    for (size_t i = 0; i < n; i++)
        finite &= fill_token(block->ids + (at + i) * block->count, block->levels + (at + i) * block->count,
                             block->rest + at + i, block->count, logits + i * vocab, vocab, (double)temperature);
    return finite;
}
