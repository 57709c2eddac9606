#include "nn/infer.h"

#include <assert.h>

#include "nn/infer_state.h"

enum { TILE = 64 }; /* of attention */

size_t bt_infer_length(const struct bt_infer *e)
{
    return e->length;
}

size_t bt_infer_weight_bytes(const struct bt_infer *e)
{
    return e->weight_bytes;
}

enum bt_panel_format bt_infer_head_format(const struct bt_infer *e)
{
    return e->head_format;
}

void bt_infer_cut(struct bt_infer *e, size_t length)
{
    assert(length <= e->length);
    e->length = length;
}

/* The first token that the one at `place` sees in a block with a window. */
static int32_t window_first(const struct bt_infer *e, size_t place)
{
    const size_t window = e->shape->window;
    return window && place + 1 > window ? (int32_t)(place + 1 - window) : 0;
}

static struct bt_block_context context_of(struct bt_infer *e, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        e->position[i] = (int32_t)(e->length + i);
        e->first_window[i] = window_first(e, e->length + i);
    }
    return (struct bt_block_context){.shape = e->shape,
                                     .compute = e->compute,
                                     .scratch = &e->scratch,
                                     .cosine = e->cosine,
                                     .sine = e->sine,
                                     .position = e->position,
                                     .first = e->first,
                                     .first_window = e->first_window,
                                     .rows = 1,
                                     .seq = n,
                                     .lambda = e->options.lambda,
                                     .past = e->length,
                                     .window_begin = (size_t)window_first(e, e->length / TILE * TILE)};
}

/* Where block i keeps the key (or value) of the next token. */
static float *cache_at(const struct bt_infer *e, float *cache, size_t i)
{
    return cache + (i * e->options.context + e->length) * e->shape->kv_heads * e->shape->head_dim;
}

/* n tokens through all blocks; returns what enters the final norm, (n, hidden). */
static const float *feed_piece(struct bt_infer *e, const int32_t *ids, size_t n)
{
    const struct bt_block_context context = context_of(e, n);
    float *x = e->x[0], *x_out = e->x[1];
    e->compute->kernels.embedding_fwd(x, e->embedding, ids, n, e->shape->hidden);
    for (size_t i = 0; i < e->shape->layers; i++) {
        struct bt_block *block = &e->blocks[i];
        block->saved.x_in = x;
        block->saved.k = block->saved.k_raw = cache_at(e, e->keys, i);
        block->saved.v = cache_at(e, e->values, i);
        bt_block_fwd(block, &context, x_out);
        float *const swap = x;
        x = x_out;
        x_out = swap;
    }
    e->length += n;
    return x;
}

/* Tokens that the next piece may have. Attention cuts queries and keys into tiles from the first token of a piece on:
 * all pieces but a short one that makes up for odd lengths begin where tiles do, so cuts are those of a whole row. */
static size_t piece_room(size_t length)
{
    const size_t odd = length % TILE;
    return odd ? TILE - odd : BT_INFER_PIECE;
}

void bt_infer_feed(struct bt_infer *e, const int32_t *ids, size_t n, float *logits)
{
    assert(n > 0 && n <= e->options.context - e->length);
    for (size_t done = 0; done < n;) {
        const size_t room = piece_room(e->length), count = n - done < room ? n - done : room;
        const float *x = feed_piece(e, ids + done, count);
        done += count;
        if (done < n || !logits)
            continue;
        e->compute->kernels.rmsnorm_fwd(e->normed, NULL, x + (count - 1) * e->shape->hidden, e->final_gain, 1,
                                        e->shape->hidden, e->shape->eps);
        bt_panels_multiply(e->compute->kernels.level, &e->head, logits, e->normed, 1);
    }
}
