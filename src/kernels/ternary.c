/* kernels/ternary.c - packing of ternary weights, and their product cut into tasks. */
#include "kernels/ternary.h"

#include <string.h>

#include "base/minmax.h"
#include "kernels/instances.h"
#include "kernels/quantize.h"
#include "kernels/ternary_variant.h"

size_t bt_ternary_row_bytes(size_t in)
{
    return (in + BT_TERNARY_BLOCK - 1) / BT_TERNARY_BLOCK * BT_TERNARY_BLOCK_BYTES;
}

static void pack_row(uint8_t *packed, const int8_t *t, size_t in)
{
    for (size_t i = 0; i < in; i++) {
        const size_t block = i / BT_TERNARY_BLOCK, at = i % BT_TERNARY_BLOCK;
        const unsigned bits = (unsigned)(t[i] + 1) << (2 * (at / BT_TERNARY_BLOCK_BYTES));
        packed[block * BT_TERNARY_BLOCK_BYTES + at % BT_TERNARY_BLOCK_BYTES] |= (uint8_t)bits;
    }
}

void bt_ternary_pack(uint8_t *packed, const int8_t *t, size_t out, size_t in)
{
    const size_t bytes = bt_ternary_row_bytes(in);
#pragma omp parallel for schedule(static)
    for (size_t r = 0; r < out; r++) {
        memset(packed + r * bytes, 0, bytes);
        pack_row(packed + r * bytes, t + r * in, in);
    }
}

/* Products of fewer weights are not worth a team of threads. */
#define ALONE ((size_t)1 << 16)

/* A task is so many rows of weights with so many tokens. */
enum { TASK_ROWS = BT_TERNARY_MOST_ROWS, TASK_TOKENS = 64 };

void bt_ternary_linear(enum bt_cpu_level level, const struct bt_ternary *layer, float *y, const int8_t *codes,
                       const float *a, size_t n)
{
    static bt_ternary_rows_fn *const instances[] = BT_INSTANCES(ternary_rows);
    bt_ternary_rows_fn *rows_of = instances[bt_instance_level(level)];
    const size_t in = layer->in, out = layer->out, bytes = bt_ternary_row_bytes(in);
    const size_t down = (n + TASK_TOKENS - 1) / TASK_TOKENS, across = (out + TASK_ROWS - 1) / TASK_ROWS;
#pragma omp parallel for schedule(dynamic) if (n * out * in > ALONE)
    for (size_t task = 0; task < down * across; task++) {
        const size_t token = task / across * TASK_TOKENS, row = task % across * TASK_ROWS;
        const size_t tokens = BT_MIN((size_t)TASK_TOKENS, n - token), rows = BT_MIN((size_t)TASK_ROWS, out - row);
        float *to = y + token * out + row;
        rows_of(to, out, layer->packed + row * bytes, rows, in, codes + token * in, tokens);
        bt_codes_finish_part(to, out, a + token, layer->s, layer->bias ? layer->bias + row : NULL, tokens, rows);
    }
}
