#include "nn/model.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "nn/model_inside.h"
#include "nn/rope_table.h"

/* The views of one tensor in the flat buffers; NULL where the shape has none, and while the arena is only measured. */
static const float *weight_of(const struct bt_model *m, enum bt_param_kind kind, size_t layer)
{
    const struct bt_param *p = bt_params_get(m->params, kind, layer);
    return p && m->weights ? m->weights + p->offset : NULL;
}

static float *gradient_of(const struct bt_model *m, enum bt_param_kind kind, size_t layer)
{
    const struct bt_param *p = bt_params_get(m->params, kind, layer);
    return p && m->gradients ? m->gradients + p->offset : NULL;
}

static struct bt_norm norm_of(const struct bt_model *m, enum bt_param_kind kind, size_t layer)
{
    return (struct bt_norm){.gain = weight_of(m, kind, layer), .dgain = gradient_of(m, kind, layer)};
}

static struct bt_bitlinear linear_of(struct bt_model *m, struct bt_arena *arena, enum bt_param_kind kind, size_t layer)
{
    const struct bt_param *p = bt_params_get(m->params, kind, layer);
    const enum bt_param_kind bias = (enum bt_param_kind)(kind + 1); /* the table keeps a bias behind its weight */
    struct bt_bitlinear linear = {.in = p->shape[1],
                                  .out = p->shape[0],
                                  .w = weight_of(m, kind, layer),
                                  .dw = gradient_of(m, kind, layer),
                                  .bias = weight_of(m, bias, layer),
                                  .dbias = gradient_of(m, bias, layer)};
    if (p->excluded)
        return linear;
    linear.int8 = m->options.int8_activations;
    if (m->options.ternary_weights) {
        linear.t = bt_arena_take(arena, p->count, 1);
        linear.s = bt_arena_take(arena, 1, sizeof(float));
    }
    return linear;
}

static void carve_block(struct bt_model *m, struct bt_arena *arena, struct bt_block *block, size_t layer)
{
    memset(block, 0, sizeof *block);
    block->input_norm = norm_of(m, BT_P_INPUT_NORM, layer);
    block->post_norm = norm_of(m, BT_P_POST_NORM, layer);
    block->q_norm = norm_of(m, BT_P_Q_NORM, layer);
    block->k_norm = norm_of(m, BT_P_K_NORM, layer);
    block->attn_sub_norm = norm_of(m, BT_P_ATTN_SUB_NORM, layer);
    block->ffn_sub_norm = norm_of(m, BT_P_FFN_SUB_NORM, layer);
    block->q = linear_of(m, arena, BT_P_Q, layer);
    block->k = linear_of(m, arena, BT_P_K, layer);
    block->v = linear_of(m, arena, BT_P_V, layer);
    block->o = linear_of(m, arena, BT_P_O, layer);
    block->gate = linear_of(m, arena, BT_P_GATE, layer);
    block->up = linear_of(m, arena, BT_P_UP, layer);
    block->down = linear_of(m, arena, BT_P_DOWN, layer);
    block->window = layer >= m->shape->window_from ? m->shape->window : 0;
}

static float *take_floats(struct bt_arena *arena, size_t n, size_t columns)
{
    return bt_arena_take(arena, n, columns * sizeof(float));
}

struct bt_qkv bt_qkv_carve(struct bt_arena *arena, const struct bt_shape *shape, size_t n)
{
    struct bt_qkv qkv = {.q = take_floats(arena, n, shape->heads * shape->head_dim)};
    qkv.k = take_floats(arena, n, shape->kv_heads * shape->head_dim);
    qkv.v = take_floats(arena, n, shape->kv_heads * shape->head_dim);
    return qkv;
}

/* What the blocks save: each its own, or one set for all but the input, of which there are as many as are kept (or two,
 * by turns). */
static void carve_saved(struct bt_model *m, struct bt_arena *arena, size_t n)
{
    const struct bt_shape *shape = m->shape;
    const bool all = m->options.keep == BT_KEEP_ALL;
    float *turns[2] = {NULL, NULL};
    struct bt_block_saved saved = {0};
    for (size_t i = 0; i < shape->layers; i++) {
        if (all || i == 0)
            bt_block_saved_carve(&saved, arena, shape, n, m->options.int8_activations);
        else if (m->options.keep == BT_KEEP_INPUTS || i == 1)
            saved.x_in = take_floats(arena, n, shape->hidden);
        else
            saved.x_in = turns[i % 2];
        turns[i % 2] = saved.x_in;
        if (m->blocks)
            m->blocks[i].saved = saved;
    }
    m->x_last = take_floats(arena, n, shape->hidden);
}

/* The blocks' scratch and the head's lie in one place: the head begins when the blocks are through, and is done before
 * they run backward. */
static void carve_scratch(struct bt_model *m, struct bt_arena *arena, size_t n)
{
    const struct bt_model_options *options = &m->options;
    const size_t begin = arena->used;
    bt_block_scratch_carve(&m->scratch, arena, m->shape, n, options->gradients,
                           options->ternary_weights || options->int8_activations);
    const size_t end = arena->used;
    if (options->headless)
        return;
    arena->used = begin;
    bt_head_carve_scratch(&m->head, arena, m->shape, n, options->gradients);
    arena->used = arena->used > end ? arena->used : end;
}

/* Sizes the arena (without a base) or lays the model out in it. */
static void carve(struct bt_model *m, struct bt_arena *arena)
{
    const struct bt_shape *shape = m->shape;
    const size_t n = m->options.rows * m->options.seq, half = shape->head_dim / 2;
    struct bt_block measured;

    m->blocks = bt_arena_take(arena, shape->layers, sizeof *m->blocks);
    for (size_t i = 0; i < shape->layers; i++)
        carve_block(m, arena, m->blocks ? &m->blocks[i] : &measured, i);
    carve_saved(m, arena, n);
    carve_scratch(m, arena, n);
    m->head.loss = m->options.headless ? NULL : bt_arena_take(arena, n, sizeof(double));
    m->dx = m->options.gradients ? take_floats(arena, n, shape->hidden) : NULL;
    m->cosine = take_floats(arena, m->options.seq, half);
    m->sine = take_floats(arena, m->options.seq, half);
    m->first_window = bt_arena_take(arena, n, sizeof(int32_t));
    if (m->options.keep_qkv)
        m->qkv = bt_qkv_carve(arena, shape, n);
    if (m->options.keep_qkv && m->blocks)
        m->blocks[m->options.qkv_layer].kept = m->qkv;
    if (m->options.distill)
        bt_pupil_carve(&m->pupil, arena, shape, m->options.distill, m->options.rows, m->options.seq);
}

size_t bt_model_memory(const struct bt_params *params, const struct bt_model_options *options)
{
    struct bt_model m = {.params = params, .shape = params->shape, .options = *options};
    struct bt_arena measure = {0};
    size_t n;
    if (__builtin_mul_overflow(options->rows, options->seq, &n))
        return 0;
    carve(&m, &measure);
    return measure.overflow ? 0 : measure.used;
}

enum bt_err bt_model_create(const struct bt_params *params, const struct bt_model_options *options,
                            const float *weights, float *gradients, const struct bt_compute *compute,
                            struct bt_model **ret_model, struct bt_diag *diag)
{
    assert(!options->gradients || options->keep != BT_KEEP_LAST);
    const size_t size = bt_model_memory(params, options);
    const bool exact = options->ternary_weights && options->int8_activations;
    enum bt_err err = exact ? bt_bitlinear_check_exact(params->shape, diag) : BT_OK;
    if (err)
        return err;
    struct bt_model *m = bt_zalloc(1, sizeof *m);
    if (!m || !size || !bt_arena_init(&m->arena, size)) {
        bt_free(m);
        return bt_fail(diag, BT_ENOMEM, "out of memory: the model's activations need %zu bytes", size);
    }
    m->params = params;
    m->shape = params->shape;
    m->compute = compute;
    m->options = *options;
    m->weights = weights;
    m->gradients = gradients;
    carve(m, &m->arena);
    bt_rope_table(m->cosine, m->sine, options->seq, m->shape->head_dim, &m->shape->rope);
    *ret_model = m;
    return BT_OK;
}

void bt_model_destroy(struct bt_model *model)
{
    if (!model)
        return;
    bt_arena_finish(&model->arena);
    bt_free(model);
}

void bt_model_prepare(struct bt_model *model)
{
    for (size_t i = 0; i < model->shape->layers; i++) {
        const struct bt_block *b = &model->blocks[i];
        const struct bt_bitlinear *layers[] = {&b->q, &b->k, &b->v, &b->o, &b->gate, &b->up, &b->down};
        for (size_t j = 0; j < sizeof layers / sizeof *layers; j++)
            bt_bitlinear_prepare(layers[j]);
    }
}

static const struct bt_bitlinear *linear_for(const struct bt_block *block, enum bt_param_kind kind)
{
    switch (kind) {
    case BT_P_Q:
        return &block->q;
    case BT_P_K:
        return &block->k;
    case BT_P_V:
        return &block->v;
    case BT_P_O:
        return &block->o;
    case BT_P_GATE:
        return &block->gate;
    case BT_P_UP:
        return &block->up;
    case BT_P_DOWN:
        return &block->down;
    default:
        return NULL;
    }
}

const int8_t *bt_model_codes(const struct bt_model *m, const struct bt_param *param, float *ret_scale)
{
    const struct bt_bitlinear *linear = param->linear ? linear_for(&m->blocks[param->layer], param->kind) : NULL;
    if (!linear || !linear->t)
        return NULL;
    *ret_scale = *linear->s;
    return linear->t;
}

const float *bt_model_weight(const struct bt_model *m, const struct bt_param *param)
{
    return m->weights + param->offset;
}

void bt_model_count_inputs(struct bt_model *m, struct bt_input_counts *counts)
{
    for (size_t i = 0; i < m->shape->layers; i++)
        m->blocks[i].counts = counts ? counts + i * BT_INPUT_COUNT : NULL;
}

/* first, moved on where a sliding window hides more: token i sees j with i - window < j. */
static const int32_t *windowed_first(struct bt_model *m, const struct bt_batch *batch)
{
    const size_t window = m->shape->window;
    if (!window || window >= batch->seq)
        return batch->first;
    for (size_t r = 0; r < batch->rows; r++)
        for (size_t i = 0; i < batch->seq; i++) {
            const size_t at = r * batch->seq + i;
            const int32_t reach = i + 1 > window ? (int32_t)(i + 1 - window) : 0;
            m->first_window[at] = batch->first[at] > reach ? batch->first[at] : reach;
        }
    return m->first_window;
}

struct bt_block_context bt_model_context(struct bt_model *m, const struct bt_batch *batch, float lambda)
{
    assert(batch->rows <= m->options.rows && batch->seq == m->options.seq);
    return (struct bt_block_context){.shape = m->shape,
                                     .compute = m->compute,
                                     .scratch = &m->scratch,
                                     .cosine = m->cosine,
                                     .sine = m->sine,
                                     .position = batch->position,
                                     .first = batch->first,
                                     .first_window = windowed_first(m, batch),
                                     .rows = batch->rows,
                                     .seq = batch->seq,
                                     .used = batch->used,
                                     .lambda = lambda};
}

float *bt_model_block_input(const struct bt_model *m, size_t i)
{
    return i < m->shape->layers ? m->blocks[i].saved.x_in : m->x_last;
}

void bt_model_run(struct bt_model *m, const struct bt_block_context *context, const struct bt_batch *batch,
                  size_t blocks)
{
    m->compute->kernels.embedding_fwd(bt_model_block_input(m, 0), weight_of(m, BT_P_EMBED, 0), batch->ids,
                                      batch->rows * batch->seq, m->shape->hidden);
    for (size_t i = 0; i < blocks; i++)
        bt_block_fwd(&m->blocks[i], context, bt_model_block_input(m, i + 1));
}

struct bt_head_context bt_model_head(const struct bt_model *m, const struct bt_batch *batch)
{
    return (struct bt_head_context){.shape = m->shape,
                                    .compute = m->compute,
                                    .norm = norm_of(m, BT_P_FINAL_NORM, 0),
                                    .weight = weight_of(m, BT_P_HEAD, 0),
                                    .dweight = gradient_of(m, BT_P_HEAD, 0),
                                    .x = m->x_last,
                                    .labels = batch->labels,
                                    .n = batch->rows * batch->seq};
}

double bt_model_loss(struct bt_model *m, const struct bt_batch *batch, float lambda)
{
    const struct bt_block_context context = bt_model_context(m, batch, lambda);
    const struct bt_head_context head = bt_model_head(m, batch);
    bt_model_run(m, &context, batch, m->shape->layers);
    return bt_head_loss(&m->head, &head);
}

double bt_model_backward(struct bt_model *m, const struct bt_batch *batch, float lambda, float scale)
{
    const struct bt_block_context context = bt_model_context(m, batch, lambda);
    const struct bt_head_context head = bt_model_head(m, batch);
    bt_model_run(m, &context, batch, m->shape->layers);
    const double loss = bt_head_backward(&m->head, &head, scale, m->dx);
    for (size_t i = m->shape->layers; i-- > 0;)
        bt_model_block_bwd(m, &context, i);
    bt_model_embedding_bwd(m, batch);
    return loss;
}

void bt_model_block_bwd(struct bt_model *m, const struct bt_block_context *context, size_t i)
{
    /* What the blocks share still holds the last one's when backward begins. */
    if (m->options.keep == BT_KEEP_INPUTS && i + 1 < m->shape->layers)
        bt_block_save_again(&m->blocks[i], context);
    bt_block_bwd(&m->blocks[i], context, m->dx);
}

void bt_model_embedding_bwd(struct bt_model *m, const struct bt_batch *batch)
{
    m->compute->kernels.embedding_bwd(gradient_of(m, BT_P_EMBED, 0), m->dx, batch->ids, batch->rows * batch->seq,
                                      m->shape->hidden);
}

void bt_model_forward(struct bt_model *m, const struct bt_batch *batch, float lambda, size_t blocks)
{
    const struct bt_block_context context = bt_model_context(m, batch, lambda);
    bt_model_run(m, &context, batch, blocks);
}

const struct bt_qkv *bt_model_qkv(const struct bt_model *m)
{
    return &m->qkv;
}

void bt_model_logits(struct bt_model *m, const struct bt_batch *batch, float lambda, float *logits)
{
    const struct bt_block_context context = bt_model_context(m, batch, lambda);
    const struct bt_head_context head = bt_model_head(m, batch);
    bt_model_run(m, &context, batch, m->shape->layers);
    bt_head_logits(&m->head, &head, logits);
}

const double *bt_model_losses(const struct bt_model *m)
{
    return m->head.loss;
}

void bt_model_each_logits(struct bt_model *m, const struct bt_batch *batch, float lambda,
                          void (*each)(void *context, size_t first, size_t rows, const float *logits), void *context)
{
    const struct bt_block_context block = bt_model_context(m, batch, lambda);
    const struct bt_head_context head = bt_model_head(m, batch);
    bt_model_run(m, &block, batch, m->shape->layers);
    bt_head_each(&m->head, &head, each, context);
}

const float *bt_model_hidden(const struct bt_model *m, size_t i)
{
    return bt_model_block_input(m, i);
}

void bt_model_branch_squares(struct bt_model *m, size_t i, size_t n, double *ret_attn, double *ret_ffn)
{
    const struct bt_kernels *kernels = &m->compute->kernels;
    const struct bt_shape *shape = m->shape;
    const struct bt_block_saved *saved = &m->blocks[i].saved;
    float *f = m->scratch.wide;
    *ret_attn = kernels->sum_squares(saved->o, n * shape->heads * shape->head_dim);
    kernels->glu_fwd(f, saved->gate, saved->up, n * shape->ffn, shape->act);
    *ret_ffn = kernels->sum_squares(f, n * shape->ffn);
}
