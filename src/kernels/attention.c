/* kernels/attention.c - causal grouped-query attention in tiles (the algorithm of FlashAttention, Dao and others 2022).
 *
 * A task owns a tile of TILE queries (or of TILE keys where the gradients of keys and values are made) and walks over
 * the tiles of the other side. What it owns is packed once so that its tokens are the lanes of the register tile; the
 * other side is read in place, and softmax runs down the lanes without ever summing across a vector:
 *
 *   forward   s (keys, lanes) = k q^T          out^T (dim, lanes) += v^T exp(s - max)
 *   dq        dp (keys, lanes) = v dout^T      ds = p (dp - delta)      dq^T (dim, lanes) += k^T ds
 *   dk, dv    s (queries, lanes) = q k^T       dv^T (dim, lanes) += dout^T p      dk^T (dim, lanes) += q^T ds
 *
 * with p = exp(s - lse) and delta = sum over the head of dout * out. A head larger than DIM is done in chunks of DIM
 * output columns, scores being computed again for each. */
#include <math.h>
#include <string.h>

#include "kernels/lanes.h"
#include "kernels/strip.h"

/* One query head of one row. Query i sees keys first[i] .. past + i. */
struct head {
    struct tokens q, k, v, dout;
    const int32_t *first;
    size_t past;  /* keys in front of the first query */
    size_t begin; /* where the keys of the first tile begin, if there are any in front */
    size_t at;    /* of (first token of the row, query head) in arrays of (n, heads) */
    size_t query; /* of the same in arrays of (n, heads, dim) */
    size_t key;   /* of (first token of the row, kv head) in arrays of (n, kv_heads, dim) */
};

static struct head find_head(const struct bt_attention_shape *s, size_t row, size_t head, const bt_real *q,
                             const bt_real *k, const bt_real *v, const bt_real *dout)
{
    const size_t kv = head / (s->heads / s->kv_heads), token = row * s->seq;
    const size_t query_step = s->heads * s->head_dim, key_step = s->kv_heads * s->head_dim;
    struct head h = {.first = s->first + token, .past = s->past, .begin = s->begin, .at = token * s->heads + head};
    h.query = h.at * s->head_dim;
    h.key = (token + row * s->past) * key_step + kv * s->head_dim;
    h.q = (struct tokens){q + h.query, query_step};
    h.k = (struct tokens){k + h.key, key_step};
    h.v = (struct tokens){v + h.key, key_step};
    if (dout)
        h.dout = (struct tokens){dout + h.query, query_step};
    return h;
}

static size_t tiles_of(const struct bt_attention_shape *s)
{
    return (s->seq + TILE - 1) / TILE;
}

/* Minus infinity where the lane's query does not see the row's key. `query` is the first lane's place among the keys,
 * and `first` its entry. */
static void mask_keys(square s, size_t key, size_t keys, size_t query, size_t queries, const int32_t *first)
{
    int32_t low[TILE], high[TILE];
    for (size_t lane = 0; lane < TILE; lane++) {
        low[lane] = lane < queries ? first[lane] : INT32_MAX;
        high[lane] = (int32_t)(query + lane);
    }
    for (size_t r = 0; r < keys; r++) {
        const int32_t j = (int32_t)(key + r);
#pragma omp simd
        for (size_t lane = 0; lane < TILE; lane++)
            s[r][lane] = j >= low[lane] && j <= high[lane] ? s[r][lane] : (bt_real)-INFINITY;
    }
}

/* Minus infinity where the row's query does not see the lane's key. */
static void mask_queries(square s, size_t query, size_t queries, size_t key, const int32_t *first)
{
    for (size_t r = 0; r < queries; r++) {
        const int32_t low = first[query + r], high = (int32_t)(query + r), base = (int32_t)key;
#pragma omp simd
        for (int32_t lane = 0; lane < TILE; lane++)
            s[r][lane] = base + lane >= low && base + lane <= high ? s[r][lane] : (bt_real)-INFINITY;
    }
}

/* Whether every query of the tile sees every key of the tile. */
static bool sees_all(const int32_t *first, size_t query, size_t queries, size_t key, size_t keys)
{
    return key + keys - 1 <= query && first[queries - 1] <= (int32_t)key;
}

static void scale_lanes(strip sum, size_t dims, const bt_real factor[TILE])
{
    for (size_t d = 0; d < dims; d++) {
#pragma omp simd
        for (size_t lane = 0; lane < TILE; lane++)
            sum[d][lane] *= factor[lane];
    }
}

/* The output columns [d0, d0 + dims) of the query lanes, and their softmax. */
static void forward_chunk(strip sum, struct softmax *softmax, const struct head *h, const struct lanes *q, size_t query,
                          size_t d0, size_t dims)
{
    _Alignas(64) square s;
    _Alignas(64) bt_real factor[TILE];
    memset(sum, 0, dims * sizeof *sum);
    softmax_begin(softmax);
    const int32_t *first = h->first + query;
    const size_t place = h->past + query, end = place + q->count;
    const size_t begin = h->past && query == 0 ? h->begin : (size_t)*first;
    for (size_t key = begin; key < end; key += TILE) {
        const size_t keys = BT_MIN((size_t)TILE, end - key);
        dots(s, h->k, key, keys, q);
        if (!sees_all(first, place, q->count, key, keys))
            mask_keys(s, key, keys, place, q->count, first);
        softmax_step(softmax, factor, s, keys);
        scale_lanes(sum, dims, factor);
        add_weighted(sum, h->v, d0, dims, key, keys, s);
    }
    for (size_t lane = 0; lane < TILE; lane++)
        factor[lane] = (bt_real)1 / softmax->sum[lane];
    scale_lanes(sum, dims, factor);
}

static void forward_tile(bt_real *out, bt_real *lse, const struct head *h, const struct bt_attention_shape *s,
                         size_t query)
{
    _Alignas(64) strip packed, sum;
    struct softmax softmax;
    const size_t dim = s->head_dim, queries = BT_MIN((size_t)TILE, s->seq - query);
    const struct lanes q = pack_lanes(packed, h->q, query, queries, dim, (bt_real)(1.0 / sqrt((double)dim)));
    for (size_t d0 = 0; d0 < dim; d0 += DIM) {
        const size_t dims = BT_MIN((size_t)DIM, dim - d0);
        forward_chunk(sum, &softmax, h, &q, query, d0, dims);
        unpack(out + h->query + query * h->q.step, h->q.step, sum, d0, dims, queries, 1);
    }
    for (size_t lane = 0; lane < queries; lane++)
        lse[h->at + (query + lane) * s->heads] = softmax_lse(&softmax, lane);
}

void BT_FN(attention_fwd)(bt_real *out, bt_real *lse, const bt_real *q, const bt_real *k, const bt_real *v,
                          const struct bt_attention_shape *s)
{
    const size_t tiles = tiles_of(s), heads = s->rows * s->heads;
    /* The last tiles see most keys: they go first, so that threads end together. */
#pragma omp parallel for schedule(dynamic)
    for (size_t task = 0; task < tiles * heads; task++) {
        const size_t tile = tiles - 1 - task / heads, head = task % heads;
        const struct head h = find_head(s, head / s->heads, head % s->heads, q, k, v, NULL);
        forward_tile(out, lse, &h, s, tile * TILE);
    }
}

/* ds (in s) = p (dp - delta), p = exp(s - lse); both belong to the lanes. */
static void score_gradient_lanes(square s, square dp, size_t keys, const bt_real lse[TILE], const bt_real delta[TILE])
{
    for (size_t r = 0; r < keys; r++) {
#pragma omp simd
        for (size_t lane = 0; lane < TILE; lane++)
            s[r][lane] = bt_exp(s[r][lane] - lse[lane]) * (dp[r][lane] - delta[lane]);
    }
}

/* The columns [d0, d0 + dims) of dq for the query lanes, without the scale of the scores. */
static void dq_chunk(strip sum, const struct head *h, const struct lanes *q, const struct lanes *dout, size_t query,
                     size_t d0, size_t dims, const bt_real lse[TILE], const bt_real delta[TILE])
{
    _Alignas(64) square s, dp;
    memset(sum, 0, dims * sizeof *sum);
    const size_t end = query + q->count;
    for (size_t key = (size_t)h->first[query]; key < end; key += TILE) {
        const size_t keys = BT_MIN((size_t)TILE, end - key);
        dots(s, h->k, key, keys, q);
        if (!sees_all(h->first + query, query, q->count, key, keys))
            mask_keys(s, key, keys, query, q->count, h->first + query);
        dots(dp, h->v, key, keys, dout);
        score_gradient_lanes(s, dp, keys, lse, delta);
        add_weighted(sum, h->k, d0, dims, key, keys, s);
    }
}

static void dq_tile(bt_real *dq, const struct head *h, const struct bt_attention_shape *s, size_t query,
                    const bt_real *lse, const bt_real *delta)
{
    _Alignas(64) strip packed_q, packed_dout, sum;
    bt_real lane_lse[TILE] = {0}, lane_delta[TILE] = {0};
    const size_t dim = s->head_dim, queries = BT_MIN((size_t)TILE, s->seq - query);
    const bt_real scale = (bt_real)(1.0 / sqrt((double)dim));
    const struct lanes q = pack_lanes(packed_q, h->q, query, queries, dim, scale);
    const struct lanes dout = pack_lanes(packed_dout, h->dout, query, queries, dim, 1);
    for (size_t lane = 0; lane < queries; lane++) {
        lane_lse[lane] = lse[h->at + (query + lane) * s->heads];
        lane_delta[lane] = delta[h->at + (query + lane) * s->heads];
    }
    for (size_t d0 = 0; d0 < dim; d0 += DIM) {
        const size_t dims = BT_MIN((size_t)DIM, dim - d0);
        dq_chunk(sum, h, &q, &dout, query, d0, dims, lane_lse, lane_delta);
        unpack(dq + h->query + query * h->q.step, h->q.step, sum, d0, dims, queries, scale);
    }
}

/* p = exp(s - lse) and ds (in dp) = p (dp - delta); both belong to the rows. `step` is from one query to the next. */
static void score_gradient_rows(square s, square dp, size_t queries, const bt_real *lse, const bt_real *delta,
                                size_t step)
{
    for (size_t r = 0; r < queries; r++) {
        const bt_real row_lse = lse[r * step], row_delta = delta[r * step];
#pragma omp simd
        for (size_t lane = 0; lane < TILE; lane++) {
            const bt_real p = bt_exp(s[r][lane] - row_lse);
            s[r][lane] = p;
            dp[r][lane] = p * (dp[r][lane] - row_delta);
        }
    }
}

/* Adds what one query head gives to the columns [d0, d0 + dims) of dk (without the scale) and dv of the key lanes. */
static void dkdv_chunk(strip dk, strip dv, const struct head *h, const struct bt_attention_shape *shape,
                       const struct lanes *k, const struct lanes *v, size_t key, size_t d0, size_t dims,
                       const bt_real *lse, const bt_real *delta)
{
    _Alignas(64) square s, dp;
    const int32_t last = (int32_t)(key + k->count - 1);
    for (size_t query = key; query < shape->seq && h->first[query] <= last; query += TILE) {
        const size_t queries = BT_MIN((size_t)TILE, shape->seq - query), at = h->at + query * shape->heads;
        dots(s, h->q, query, queries, k);
        if (!sees_all(h->first + query, query, queries, key, k->count))
            mask_queries(s, query, queries, key, h->first);
        dots(dp, h->dout, query, queries, v);
        score_gradient_rows(s, dp, queries, lse + at, delta + at, shape->heads);
        add_weighted(dv, h->dout, d0, dims, query, queries, s);
        add_weighted(dk, h->q, d0, dims, query, queries, dp);
    }
}

/* What a gradient pass reads. */
struct backward {
    const struct bt_attention_shape *shape;
    const bt_real *q, *k, *v, *dout, *lse, *delta;
};

static void dkdv_tile(bt_real *dk, bt_real *dv, const struct backward *b, size_t row, size_t kv_head, size_t key)
{
    _Alignas(64) strip packed_k, packed_v, sum_k, sum_v;
    const struct bt_attention_shape *s = b->shape;
    const size_t dim = s->head_dim, group = s->heads / s->kv_heads, keys = BT_MIN((size_t)TILE, s->seq - key);
    const bt_real scale = (bt_real)(1.0 / sqrt((double)dim));
    struct head h = find_head(s, row, kv_head * group, b->q, b->k, b->v, b->dout);
    const struct lanes k = pack_lanes(packed_k, h.k, key, keys, dim, scale);
    const struct lanes v = pack_lanes(packed_v, h.v, key, keys, dim, 1);
    for (size_t d0 = 0; d0 < dim; d0 += DIM) {
        const size_t dims = BT_MIN((size_t)DIM, dim - d0);
        memset(sum_k, 0, dims * sizeof *sum_k);
        memset(sum_v, 0, dims * sizeof *sum_v);
        for (size_t member = 0; member < group; member++) {
            h = find_head(s, row, kv_head * group + member, b->q, b->k, b->v, b->dout);
            dkdv_chunk(sum_k, sum_v, &h, s, &k, &v, key, d0, dims, b->lse, b->delta);
        }
        unpack(dk + h.key + key * h.k.step, h.k.step, sum_k, d0, dims, keys, scale);
        unpack(dv + h.key + key * h.v.step, h.v.step, sum_v, d0, dims, keys, 1);
    }
}

void BT_FN(attention_bwd)(bt_real *dq, bt_real *dk, bt_real *dv, bt_real *delta, const bt_real *dout,
                          const bt_real *out, const bt_real *lse, const bt_real *q, const bt_real *k, const bt_real *v,
                          const struct bt_attention_shape *s)
{
    const size_t dim = s->head_dim, tiles = tiles_of(s), heads = s->rows * s->heads, kv_heads = s->rows * s->kv_heads;
    const struct backward b = {s, q, k, v, dout, lse, delta};
#pragma omp parallel
    {
#pragma omp for schedule(static)
        for (size_t i = 0; i < s->rows * s->seq * s->heads; i++)
            delta[i] = (bt_real)bt_dot(dout + i * dim, out + i * dim, dim);
#pragma omp for schedule(dynamic) nowait
        for (size_t task = 0; task < tiles * kv_heads; task++) {
            const size_t head = task % kv_heads;
            dkdv_tile(dk, dv, &b, head / s->kv_heads, head % s->kv_heads, task / kv_heads * TILE);
        }
#pragma omp for schedule(dynamic)
        for (size_t task = 0; task < tiles * heads; task++) {
            const size_t tile = tiles - 1 - task / heads, head = task % heads;
            const struct head h = find_head(s, head / s->heads, head % s->heads, q, k, v, dout);
            dq_tile(dq, &h, s, tile * TILE, lse, delta);
        }
    }
}
