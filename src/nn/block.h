/* nn/block.h - one decoder block: attention and feed-forward, each behind its norm, with the SubLN norms of a BitNet
 * model before the two output projections (docs/numerics.md section 2). */
#ifndef BT_NN_BLOCK_H
#define BT_NN_BLOCK_H

#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"
#include "nn/batch.h"
#include "nn/bitlinear.h"
#include "nn/compute.h"
#include "nn/params.h"
#include "nn/shape.h"

struct bt_norm { /* views */
    const float *gain;
    float *dgain; /* NULL in a model without gradients */
};

/* What forward saves for backward: one set a block, or one for all but x_in (BT_KEEP_INPUTS). n = tokens. */
struct bt_block_saved {
    float *x_in;                                   /* (n, hidden) the block's input */
    float *x_mid;                                  /* (n, hidden) after the attention's residual */
    float *input_rstd;                             /* (n) */
    float *q, *k, *v;                              /* (n, heads | kv_heads, head_dim) as attention takes them */
    float *q_raw, *k_raw;                          /* before q_norm and k_norm; qk_norm only */
    float *q_rstd, *k_rstd;                        /* (n, heads | kv_heads) */
    float *o, *lse;                                /* (n, heads, head_dim), (n, heads): attention's output */
    float *o_rstd;                                 /* (n) of attn_sub_norm */
    float *post_rstd;                              /* (n) */
    float *gate, *up;                              /* (n, ffn) */
    float *ffn_rstd;                               /* (n) of ffn_sub_norm */
    int8_t *h_codes, *o_codes, *g_codes, *f_codes; /* inputs of q k v | o | gate up | down */
    float *h_a, *o_a, *g_a, *f_a;                  /* (n) their scales */
};

/* q (n, heads, head_dim), k and v (n, kv_heads, head_dim) as the projections and q_norm and k_norm give them, before
 * RoPE; or their gradients. */
struct bt_qkv {
    float *q, *k, *v;
};

/* What one input of linear layers was in a forward pass, over its tokens that are not padding. */
enum bt_input { BT_INPUT_QKV, BT_INPUT_O, BT_INPUT_GATE_UP, BT_INPUT_DOWN, BT_INPUT_COUNT };
struct bt_input_counts {
    uint64_t codes; /* 0: none were made */
    uint64_t ends;  /* of these, 127 or -127 */
    float absmax;   /* the largest magnitude, at least 1e-5; NaN or infinity where one is not finite */
    double seconds; /* that counting took */
};

struct bt_block {
    struct bt_norm input_norm, post_norm, q_norm, k_norm, attn_sub_norm, ffn_sub_norm;
    struct bt_bitlinear q, k, v, o, gate, up, down;
    struct bt_block_saved saved;
    struct bt_qkv kept;             /* forward copies them here; NULL: it does not */
    struct bt_qkv extra;            /* gradients that backward adds to its own; NULL: none */
    size_t window;                  /* 0: none */
    struct bt_input_counts *counts; /* (BT_INPUT_COUNT) forward overwrites them; NULL: it does not count */
};

/* Buffers shared by all blocks; d = max(hidden, heads * head_dim, ffn). */
struct bt_block_scratch {
    float *wide;    /* (n, d) norm outputs, f */
    float *operand; /* (n, d) left operands of products */
    float *branch;  /* (n, d) gradient inside a branch */
    float *normed;  /* (n, hidden) a norm's output made again in backward */
    float *dh;      /* (n, hidden) */
    float *dq, *dk, *dv, *delta;
    float *we; /* the largest linear's weights; operand and we: only where something is quantised */
};

struct bt_block_context { /* what a pass hands to every block */
    const struct bt_shape *shape;
    const struct bt_compute *compute;
    const struct bt_block_scratch *scratch;
    const float *cosine, *sine;  /* (positions, head_dim / 2) */
    const int32_t *position;     /* (n) */
    const int32_t *first;        /* (n) documents only */
    const int32_t *first_window; /* (n) documents and window; equals first where there is none */
    size_t rows, seq;
    const int32_t *used; /* (rows) tokens in front of a row's padding; NULL: no row has any */
    float lambda;
    /* Inference, with one row: tokens whose keys and values stand before saved.k and saved.v in memory, and the first
     * token that the one at past / 64 * 64 sees in a block with a window. 0 in training. */
    size_t past, window_begin;
};

/* Reserves what a block saves for n tokens; codes only with int8. */
void bt_block_saved_carve(struct bt_block_saved *saved, struct bt_arena *arena, const struct bt_shape *shape, size_t n,
                          bool int8);
void bt_block_scratch_carve(struct bt_block_scratch *scratch, struct bt_arena *arena, const struct bt_shape *shape,
                            size_t n, bool gradients, bool quantised);

/* x_out (n, hidden) from block->saved.x_in, which the caller has filled; it overlaps nothing saved. */
void bt_block_fwd(struct bt_block *block, const struct bt_block_context *context, float *x_out);
/* What forward saves, once more and with the same bits, from the same x_in. */
void bt_block_save_again(struct bt_block *block, const struct bt_block_context *context);
/* dx (n, hidden): the gradient of the block's output, turned in place into that of its input. */
void bt_block_bwd(struct bt_block *block, const struct bt_block_context *context, float *dx);

#endif
