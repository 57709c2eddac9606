#include "nn/block.h"

#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "base/minmax.h"
#include "kernels/code_counts.h"

static float *take_floats(struct bt_arena *arena, size_t rows, size_t columns)
{
    return bt_arena_take(arena, rows, columns * sizeof(float));
}

/* The codes of one group's input and their scales. */
static void carve_codes(int8_t **codes, float **a, struct bt_arena *arena, size_t n, size_t d)
{
    *codes = bt_arena_take(arena, n, d);
    *a = take_floats(arena, n, 1);
}

void bt_block_saved_carve(struct bt_block_saved *saved, struct bt_arena *arena, const struct bt_shape *shape, size_t n,
                          bool int8)
{
    const size_t q_width = shape->heads * shape->head_dim, kv_width = shape->kv_heads * shape->head_dim;
    saved->x_in = take_floats(arena, n, shape->hidden);
    saved->x_mid = take_floats(arena, n, shape->hidden);
    saved->input_rstd = take_floats(arena, n, 1);
    saved->post_rstd = take_floats(arena, n, 1);
    saved->q = take_floats(arena, n, q_width);
    saved->k = take_floats(arena, n, kv_width);
    saved->v = take_floats(arena, n, kv_width);
    saved->o = take_floats(arena, n, q_width);
    saved->lse = take_floats(arena, n, shape->heads);
    saved->gate = take_floats(arena, n, shape->ffn);
    saved->up = take_floats(arena, n, shape->ffn);
    if (shape->qk_norm) {
        saved->q_raw = take_floats(arena, n, q_width);
        saved->k_raw = take_floats(arena, n, kv_width);
        saved->q_rstd = take_floats(arena, n, shape->heads);
        saved->k_rstd = take_floats(arena, n, shape->kv_heads);
    }
    if (shape->sub_norm) {
        saved->o_rstd = take_floats(arena, n, 1);
        saved->ffn_rstd = take_floats(arena, n, 1);
    }
    if (int8) {
        carve_codes(&saved->h_codes, &saved->h_a, arena, n, shape->hidden);
        carve_codes(&saved->o_codes, &saved->o_a, arena, n, q_width);
        carve_codes(&saved->g_codes, &saved->g_a, arena, n, shape->hidden);
        carve_codes(&saved->f_codes, &saved->f_a, arena, n, shape->ffn);
    }
}

void bt_block_scratch_carve(struct bt_block_scratch *scratch, struct bt_arena *arena, const struct bt_shape *shape,
                            size_t n, bool gradients, bool quantised)
{
    const size_t q_width = shape->heads * shape->head_dim, kv_width = shape->kv_heads * shape->head_dim;
    const size_t widest = BT_MAX(shape->hidden, BT_MAX(q_width, shape->ffn));
    scratch->wide = take_floats(arena, n, widest);
    if (quantised) {
        scratch->operand = take_floats(arena, n, widest);
        scratch->we = take_floats(arena, shape->hidden, BT_MAX(q_width, shape->ffn));
    }
    if (!gradients)
        return;
    scratch->branch = take_floats(arena, n, widest);
    scratch->normed = take_floats(arena, n, shape->hidden);
    scratch->dh = take_floats(arena, n, shape->hidden);
    scratch->dq = take_floats(arena, n, q_width);
    scratch->dk = take_floats(arena, n, kv_width);
    scratch->dv = take_floats(arena, n, kv_width);
    scratch->delta = take_floats(arena, n, shape->heads);
}

static size_t tokens_of(const struct bt_block_context *c)
{
    return c->rows * c->seq;
}

static struct bt_linear_input group_input(const struct bt_block_context *c, size_t d, int8_t *codes, float *a,
                                          const float *x)
{
    return (struct bt_linear_input){
        .n = tokens_of(c), .d = d, .codes = codes, .a = a, .x = x, .scratch = c->scratch->operand};
}

static struct bt_attention_shape attention_shape(const struct bt_block *block, const struct bt_block_context *c)
{
    return (struct bt_attention_shape){.rows = c->rows,
                                       .seq = c->seq,
                                       .past = c->past,
                                       .begin = block->window ? c->window_begin : 0,
                                       .heads = c->shape->heads,
                                       .kv_heads = c->shape->kv_heads,
                                       .head_dim = c->shape->head_dim,
                                       .first = block->window ? c->first_window : c->first};
}

static void norm_fwd(const struct bt_norm *norm, const struct bt_block_context *c, float *y, float *rstd,
                     const float *x, size_t n, size_t d)
{
    c->compute->kernels.rmsnorm_fwd(y, rstd, x, norm->gain, n, d, c->shape->eps);
}

static void count_input(struct bt_input_counts *counts, const struct bt_block_context *c,
                        const struct bt_linear_input *input)
{
    const double start = bt_clock_seconds();
    *counts = (struct bt_input_counts){.seconds = counts->seconds};
    for (size_t r = 0; r < c->rows; r++) {
        const size_t used = c->used ? (size_t)c->used[r] : c->seq;
        const float *a = input->a + r * c->seq;
        counts->codes += used * input->d;
        counts->ends += bt_codes_at_ends(input->codes + r * c->seq * input->d, used * input->d);
        for (size_t i = 0; i < used; i++)
            if (isfinite(counts->absmax) && !(a[i] <= counts->absmax))
                counts->absmax = a[i];
    }
    counts->seconds += bt_clock_seconds() - start;
}

/* Does any layer of the group take the codes? Not where all are excluded. */
static bool takes_codes(const struct bt_block *block, enum bt_input which)
{
    switch (which) {
    case BT_INPUT_QKV:
        return block->q.int8 || block->k.int8 || block->v.int8;
    case BT_INPUT_O:
        return block->o.int8;
    case BT_INPUT_GATE_UP:
        return block->gate.int8 || block->up.int8;
    case BT_INPUT_DOWN:
    case BT_INPUT_COUNT:
        break;
    }
    return block->down.int8;
}

static void begin_input(const struct bt_block *block, const struct bt_block_context *c, enum bt_input which,
                        struct bt_linear_input *input)
{
    bt_linear_input_begin(input, c->lambda);
    if (block->counts && c->lambda > 0.0f && takes_codes(block, which))
        count_input(&block->counts[which], c, input);
}

static void linear_fwd(const struct bt_bitlinear *layer, const struct bt_block_context *c, float *y,
                       struct bt_linear_input *input)
{
    bt_bitlinear_fwd(layer, c->compute, c->lambda, y, input, c->scratch->we);
}

static void keep_qkv(struct bt_block *block, const struct bt_block_context *c)
{
    const size_t head = c->shape->head_dim * sizeof(float), n = tokens_of(c);
    memcpy(block->kept.q, block->saved.q, n * c->shape->heads * head);
    memcpy(block->kept.k, block->saved.k, n * c->shape->kv_heads * head);
    memcpy(block->kept.v, block->saved.v, n * c->shape->kv_heads * head);
}

/* q, k and v as attention takes them: projected, normed per head (Qwen3), rotated. */
static void project_qkv(struct bt_block *block, const struct bt_block_context *c)
{
    const struct bt_shape *shape = c->shape;
    const struct bt_kernels *kernels = &c->compute->kernels;
    struct bt_block_saved *s = &block->saved;
    const size_t n = tokens_of(c);
    struct bt_linear_input h = group_input(c, shape->hidden, s->h_codes, s->h_a, c->scratch->wide);

    norm_fwd(&block->input_norm, c, c->scratch->wide, s->input_rstd, s->x_in, n, shape->hidden);
    begin_input(block, c, BT_INPUT_QKV, &h);
    linear_fwd(&block->q, c, shape->qk_norm ? s->q_raw : s->q, &h);
    linear_fwd(&block->k, c, shape->qk_norm ? s->k_raw : s->k, &h);
    linear_fwd(&block->v, c, s->v, &h);
    if (shape->qk_norm) {
        norm_fwd(&block->q_norm, c, s->q, s->q_rstd, s->q_raw, n * shape->heads, shape->head_dim);
        norm_fwd(&block->k_norm, c, s->k, s->k_rstd, s->k_raw, n * shape->kv_heads, shape->head_dim);
    }
    if (block->kept.q)
        keep_qkv(block, c);
    kernels->rope_fwd(s->q, c->cosine, c->sine, c->position, n, shape->heads, shape->head_dim);
    kernels->rope_fwd(s->k, c->cosine, c->sine, c->position, n, shape->kv_heads, shape->head_dim);
}

static void attend(struct bt_block *block, const struct bt_block_context *c)
{
    const struct bt_attention_shape attention = attention_shape(block, c);
    const struct bt_kernels *kernels = &c->compute->kernels;
    struct bt_block_saved *s = &block->saved;
    const size_t past = c->past * c->shape->kv_heads * c->shape->head_dim;

    if (c->past && c->seq == 1)
        kernels->attention_last(s->o, s->q, s->k - past, s->v - past, &attention);
    else
        kernels->attention_fwd(s->o, s->lse, s->q, s->k - past, s->v - past, &attention);
}

static void attention_branch_fwd(struct bt_block *block, const struct bt_block_context *c)
{
    const struct bt_shape *shape = c->shape;
    const size_t n = tokens_of(c), width = shape->heads * shape->head_dim;
    struct bt_block_saved *s = &block->saved;

    project_qkv(block, c);
    attend(block, c);
    struct bt_linear_input o = group_input(c, width, s->o_codes, s->o_a, s->o);
    if (shape->sub_norm) {
        norm_fwd(&block->attn_sub_norm, c, c->scratch->wide, s->o_rstd, s->o, n, width);
        o.x = c->scratch->wide;
    }
    begin_input(block, c, BT_INPUT_O, &o);
    bt_bitlinear_fwd_add(&block->o, c->compute, c->lambda, s->x_mid, s->x_in, &o, c->scratch->we);
}

/* Up to the input of down_proj, which is returned. */
static struct bt_linear_input ffn_branch_fwd(struct bt_block *block, const struct bt_block_context *c)
{
    const struct bt_shape *shape = c->shape;
    const size_t n = tokens_of(c);
    struct bt_block_saved *s = &block->saved;
    float *wide = c->scratch->wide;

    norm_fwd(&block->post_norm, c, wide, s->post_rstd, s->x_mid, n, shape->hidden);
    struct bt_linear_input h = group_input(c, shape->hidden, s->g_codes, s->g_a, wide);
    begin_input(block, c, BT_INPUT_GATE_UP, &h);
    linear_fwd(&block->gate, c, s->gate, &h);
    linear_fwd(&block->up, c, s->up, &h);

    c->compute->kernels.glu_fwd(wide, s->gate, s->up, n * shape->ffn, shape->act);
    if (shape->sub_norm)
        norm_fwd(&block->ffn_sub_norm, c, wide, s->ffn_rstd, wide, n, shape->ffn);
    struct bt_linear_input f = group_input(c, shape->ffn, s->f_codes, s->f_a, wide);
    begin_input(block, c, BT_INPUT_DOWN, &f);
    return f;
}

/* All that is saved. What is left of the block is its last product, of which backward wants no more than the input. */
static struct bt_linear_input save(struct bt_block *block, const struct bt_block_context *c)
{
    attention_branch_fwd(block, c);
    return ffn_branch_fwd(block, c);
}

void bt_block_fwd(struct bt_block *block, const struct bt_block_context *c, float *x_out)
{
    struct bt_linear_input f = save(block, c);
    bt_bitlinear_fwd_add(&block->down, c->compute, c->lambda, x_out, block->saved.x_mid, &f, c->scratch->we);
}

void bt_block_save_again(struct bt_block *block, const struct bt_block_context *c)
{
    save(block, c);
}

static void linear_bwd(const struct bt_bitlinear *layer, const struct bt_block_context *c, float *dx, bool add,
                       const float *dy, struct bt_linear_input *input)
{
    bt_bitlinear_bwd(layer, c->compute, c->lambda, dx, add, dy, input, c->scratch->we);
}

static void norm_bwd(const struct bt_norm *norm, const struct bt_block_context *c, float *dx, bool add, const float *dy,
                     const float *x, const float *rstd, size_t n, size_t d)
{
    c->compute->kernels.rmsnorm_bwd(dx, add, norm->dgain, dy, x, norm->gain, rstd, n, d);
}

/* A norm's output once more, for the layers that need it at this lambda. */
static const float *norm_again(const struct bt_norm *norm, const struct bt_block_context *c, float *y, const float *x,
                               const float *rstd, size_t n, size_t d)
{
    c->compute->kernels.rmsnorm_apply(y, x, norm->gain, rstd, n, d);
    return y;
}

/* branch <- gradient of f = act(gate) * up. */
static void down_bwd(struct bt_block *block, const struct bt_block_context *c, const float *dx)
{
    const struct bt_shape *shape = c->shape;
    const struct bt_kernels *kernels = &c->compute->kernels;
    struct bt_block_saved *s = &block->saved;
    const size_t n = tokens_of(c);
    float *f = c->scratch->wide, *df = c->scratch->branch;
    const bool normed = shape->sub_norm && bt_bitlinear_needs_x(&block->down, c->lambda);
    struct bt_linear_input input = group_input(c, shape->ffn, s->f_codes, s->f_a, f);

    kernels->glu_fwd(f, s->gate, s->up, n * shape->ffn, shape->act);
    if (normed)
        kernels->rmsnorm_apply(f, f, block->ffn_sub_norm.gain, s->ffn_rstd, n, shape->ffn);
    linear_bwd(&block->down, c, df, false, dx, &input);
    if (!shape->sub_norm)
        return;
    if (normed) /* the norm wants its input back */
        kernels->glu_fwd(f, s->gate, s->up, n * shape->ffn, shape->act);
    norm_bwd(&block->ffn_sub_norm, c, df, false, df, f, s->ffn_rstd, n, shape->ffn);
}

static void ffn_branch_bwd(struct bt_block *block, const struct bt_block_context *c, float *dx)
{
    const struct bt_shape *shape = c->shape;
    const struct bt_block_scratch *scratch = c->scratch;
    struct bt_block_saved *s = &block->saved;
    const size_t n = tokens_of(c);
    float *dgate = scratch->branch, *dup = scratch->wide;
    struct bt_linear_input h = group_input(c, shape->hidden, s->g_codes, s->g_a, NULL);

    down_bwd(block, c, dx);
    c->compute->kernels.glu_bwd(dgate, dup, scratch->branch, s->gate, s->up, n * shape->ffn, shape->act);
    if (bt_bitlinear_needs_x(&block->gate, c->lambda) || bt_bitlinear_needs_x(&block->up, c->lambda))
        h.x = norm_again(&block->post_norm, c, scratch->normed, s->x_mid, s->post_rstd, n, shape->hidden);
    linear_bwd(&block->gate, c, scratch->dh, false, dgate, &h);
    linear_bwd(&block->up, c, scratch->dh, true, dup, &h);
    norm_bwd(&block->post_norm, c, dx, true, scratch->dh, s->x_mid, s->post_rstd, n, shape->hidden);
}

/* branch <- gradient of attention's output. */
static void o_bwd(struct bt_block *block, const struct bt_block_context *c, const float *dx)
{
    const struct bt_shape *shape = c->shape;
    struct bt_block_saved *s = &block->saved;
    const size_t n = tokens_of(c), width = shape->heads * shape->head_dim;
    float *dout = c->scratch->branch;
    struct bt_linear_input input = group_input(c, width, s->o_codes, s->o_a, s->o);

    if (shape->sub_norm && bt_bitlinear_needs_x(&block->o, c->lambda))
        input.x = norm_again(&block->attn_sub_norm, c, c->scratch->wide, s->o, s->o_rstd, n, width);
    linear_bwd(&block->o, c, dout, false, dx, &input);
    if (shape->sub_norm)
        norm_bwd(&block->attn_sub_norm, c, dout, false, dout, s->o, s->o_rstd, n, width);
}

static void add_extra(const struct bt_block *block, const struct bt_block_context *c)
{
    const struct bt_block_scratch *scratch = c->scratch;
    const size_t kv = tokens_of(c) * c->shape->kv_heads * c->shape->head_dim;
    c->compute->kernels.add(scratch->dq, block->extra.q, tokens_of(c) * c->shape->heads * c->shape->head_dim);
    c->compute->kernels.add(scratch->dk, block->extra.k, kv);
    c->compute->kernels.add(scratch->dv, block->extra.v, kv);
}

/* Through RoPE and the per-head norms, to the outputs of the projections; in place. */
static void qk_bwd(struct bt_block *block, const struct bt_block_context *c)
{
    const struct bt_shape *shape = c->shape;
    const struct bt_block_scratch *scratch = c->scratch;
    const struct bt_kernels *kernels = &c->compute->kernels;
    struct bt_block_saved *s = &block->saved;
    const size_t n = tokens_of(c);

    kernels->rope_bwd(scratch->dq, c->cosine, c->sine, c->position, n, shape->heads, shape->head_dim);
    kernels->rope_bwd(scratch->dk, c->cosine, c->sine, c->position, n, shape->kv_heads, shape->head_dim);
    if (block->extra.q)
        add_extra(block, c);
    if (!shape->qk_norm)
        return;
    norm_bwd(&block->q_norm, c, scratch->dq, false, scratch->dq, s->q_raw, s->q_rstd, n * shape->heads,
             shape->head_dim);
    norm_bwd(&block->k_norm, c, scratch->dk, false, scratch->dk, s->k_raw, s->k_rstd, n * shape->kv_heads,
             shape->head_dim);
}

static void attention_branch_bwd(struct bt_block *block, const struct bt_block_context *c, float *dx)
{
    const struct bt_shape *shape = c->shape;
    const struct bt_block_scratch *scratch = c->scratch;
    struct bt_block_saved *s = &block->saved;
    const size_t n = tokens_of(c);
    const struct bt_attention_shape attention = attention_shape(block, c);
    struct bt_linear_input h = group_input(c, shape->hidden, s->h_codes, s->h_a, NULL);

    o_bwd(block, c, dx);
    c->compute->kernels.attention_bwd(scratch->dq, scratch->dk, scratch->dv, scratch->delta, scratch->branch, s->o,
                                      s->lse, s->q, s->k, s->v, &attention);
    qk_bwd(block, c);
    if (bt_bitlinear_needs_x(&block->q, c->lambda) || bt_bitlinear_needs_x(&block->k, c->lambda) ||
        bt_bitlinear_needs_x(&block->v, c->lambda))
        h.x = norm_again(&block->input_norm, c, scratch->normed, s->x_in, s->input_rstd, n, shape->hidden);
    linear_bwd(&block->q, c, scratch->dh, false, scratch->dq, &h);
    linear_bwd(&block->k, c, scratch->dh, true, scratch->dk, &h);
    linear_bwd(&block->v, c, scratch->dh, true, scratch->dv, &h);
    norm_bwd(&block->input_norm, c, dx, true, scratch->dh, s->x_in, s->input_rstd, n, shape->hidden);
}

void bt_block_bwd(struct bt_block *block, const struct bt_block_context *c, float *dx)
{
    ffn_branch_bwd(block, c, dx);
    attention_branch_bwd(block, c, dx);
}
