/* kernels/attention_last.c - attention of one query to all keys before it, for text that is made token by token.
 *
 * The steps of kernels/attention.c, tile of keys by tile of keys, with the lanes turned around: there they are queries,
 * of which there is one here.
 *
 *   s (keys, heads) = k q^T      p = exp(s - max), lanes being keys      out (heads, dim) += p v, lanes being columns
 *
 * Every sum has the same terms in the same order, so the result has the same bits. Query heads that share keys are
 * done together. */
#include <math.h>
#include <string.h>

#include "kernels/exp.h"
#include "kernels/strip.h"

/* Query heads of one kv head that are done at once: a tile's lanes of the scores, a tile's rows of the output. */
enum { HEADS = BT_TILE_ROWS < BT_TILE_LANES ? BT_TILE_ROWS : BT_TILE_LANES };

struct last {
    const bt_real *q, *k, *v; /* of the first of the heads, and of their kv head */
    size_t heads, dim, step;  /* step: from a key to the next */
    bt_real max[HEADS], sum[HEADS];
    bt_real p[BT_TILE_ROWS][TILE]; /* scores, then their exponentials */
};

/* Columns [d0, d0 + dims) of the queries, scaled, with the heads as lanes. */
static void pack_queries(bt_real packed[DIM][BT_TILE_LANES], const struct last *l, size_t d0, size_t dims)
{
    const bt_real scale = (bt_real)(1.0 / sqrt((double)l->dim));
    for (size_t d = 0; d < dims; d++)
        for (size_t h = 0; h < BT_TILE_LANES; h++)
            packed[d][h] = h < l->heads ? l->q[h * l->dim + d0 + d] * scale : 0;
}

/* Scores of keys [key, key + keys) of each head. */
static void scores(struct last *l, size_t key, size_t keys)
{
    bt_real packed[DIM][BT_TILE_LANES], s[TILE][BT_TILE_LANES];
    for (size_t d0 = 0; d0 < l->dim; d0 += DIM) {
        const size_t dims = BT_MIN((size_t)DIM, l->dim - d0);
        pack_queries(packed, l, d0, dims);
        for (size_t r = 0; r < keys; r += BT_TILE_ROWS) {
            const struct bt_broadcast a = {l->k + (key + r) * l->step + d0, l->step, 1};
            bt_tile(BT_MIN((size_t)BT_TILE_ROWS, keys - r), s[r], BT_TILE_LANES, a, packed[0], BT_TILE_LANES, dims,
                    d0 > 0);
        }
    }
    for (size_t h = 0; h < l->heads; h++)
        for (size_t r = 0; r < TILE; r++)
            l->p[h][r] = r < keys ? s[r][h] : (bt_real)-INFINITY;
}

/* Scores to exponentials, and the output so far to the new maximum. */
static void softmax_of_head(struct last *l, size_t h, bt_real *out)
{
    bt_real *p = l->p[h], max = l->max[h], sum = 0;
    for (size_t r = 0; r < TILE; r++)
        max = p[r] > max ? p[r] : max;
    const bt_real base = max == (bt_real)-INFINITY ? 0 : max;
#pragma omp simd
    for (size_t r = 0; r < TILE; r++)
        p[r] = bt_exp(p[r] - base);
    for (size_t r = 0; r < TILE; r++)
        sum += p[r];
    const bt_real rescale = bt_exp(l->max[h] - base);
    l->sum[h] = l->sum[h] * rescale + sum;
    l->max[h] = max;
#pragma omp simd
    for (size_t d = 0; d < l->dim; d++)
        out[d] *= rescale;
}

/* out (heads, dim) += p v. Columns that do not fill a tile's lanes are done on the side. */
static void add_values(const struct last *l, bt_real *out, size_t key, size_t keys)
{
    const struct bt_broadcast p = {l->p[0], TILE, 1};
    const bt_real *v = l->v + key * l->step;
    const size_t whole = l->dim / BT_TILE_LANES * BT_TILE_LANES, rest = l->dim - whole;
    for (size_t d = 0; d < whole; d += BT_TILE_LANES)
        bt_tile(l->heads, out + d, l->dim, p, v + d, l->step, keys, true);
    if (!rest)
        return;
    bt_real edge[TILE][BT_TILE_LANES] = {{0}}, sum[BT_TILE_ROWS][BT_TILE_LANES] = {{0}};
    for (size_t r = 0; r < keys; r++)
        memcpy(edge[r], v + r * l->step + whole, rest * sizeof *v);
    for (size_t h = 0; h < l->heads; h++)
        memcpy(sum[h], out + h * l->dim + whole, rest * sizeof *out);
    bt_tile(l->heads, sum[0], BT_TILE_LANES, p, edge[0], BT_TILE_LANES, keys, true);
    for (size_t h = 0; h < l->heads; h++)
        memcpy(out + h * l->dim + whole, sum[h], rest * sizeof *out);
}

static void attend(struct last *l, bt_real *out, size_t begin, size_t first, size_t end)
{
    memset(out, 0, l->heads * l->dim * sizeof *out);
    for (size_t h = 0; h < l->heads; h++) {
        l->max[h] = (bt_real)-INFINITY;
        l->sum[h] = 0;
    }
    for (size_t key = begin; key < end; key += TILE) {
        const size_t keys = BT_MIN((size_t)TILE, end - key);
        scores(l, key, keys);
        for (size_t h = 0; h < l->heads; h++) {
            for (size_t r = 0; key + r < first && r < TILE; r++)
                l->p[h][r] = (bt_real)-INFINITY;
            softmax_of_head(l, h, out + h * l->dim);
        }
        add_values(l, out, key, keys);
    }
    for (size_t h = 0; h < l->heads; h++) {
        const bt_real factor = (bt_real)1 / l->sum[h];
        for (size_t d = 0; d < l->dim; d++)
            out[h * l->dim + d] *= factor;
    }
}

/* Fewer products are not worth a team of threads. */
#define ALONE ((size_t)1 << 14)

void BT_FN(attention_last)(bt_real *out, const bt_real *q, const bt_real *k, const bt_real *v,
                           const struct bt_attention_shape *s)
{
    const size_t group = s->heads / s->kv_heads, dim = s->head_dim;
    const size_t parts = (group + HEADS - 1) / HEADS; /* of a group */
#pragma omp parallel for schedule(dynamic) if (s->heads * dim * s->past > ALONE)
    for (size_t task = 0; task < s->kv_heads * parts; task++) {
        const size_t kv = task / parts, member = task % parts * HEADS, head = kv * group + member;
        struct last l = {.q = q + head * dim,
                         .k = k + kv * dim,
                         .v = v + kv * dim,
                         .heads = BT_MIN((size_t)HEADS, group - member),
                         .dim = dim,
                         .step = s->kv_heads * dim};
        attend(&l, out + head * dim, s->begin, (size_t)*s->first, s->past + 1);
    }
}
