/* nn/infer_load.c - the engine's memory, and its weights out of the float tensors of a model. */
#include <string.h>

#include "base/minmax.h"
#include "kernels/quantize.h"
#include "nn/infer_state.h"
#include "nn/rope_table.h"

enum { LINEARS = 7 }; /* of a block */

static const enum bt_param_kind linear_kinds[LINEARS] = {BT_P_Q, BT_P_K, BT_P_V, BT_P_O, BT_P_GATE, BT_P_UP, BT_P_DOWN};

static struct bt_bitlinear *linear_at(struct bt_block *b, size_t i)
{
    struct bt_bitlinear *const layers[LINEARS] = {&b->q, &b->k, &b->v, &b->o, &b->gate, &b->up, &b->down};
    return layers[i];
}

/* Two bits a weight, and sums in integers. */
static bool is_packed(const struct bt_infer *e, const struct bt_param *param)
{
    return e->options.ternary_weights && e->options.int8_activations && e->options.lambda == 1.0f && !param->excluded;
}

static bool is_mixed(const struct bt_infer *e, const struct bt_param *param)
{
    return e->options.ternary_weights && e->options.lambda > 0.0f && !param->excluded;
}

/* ---- memory ---- */

static float *take_floats(struct bt_arena *arena, size_t rows, size_t columns)
{
    return bt_arena_take(arena, rows, columns * sizeof(float));
}

/* The place of a gain or bias in `small`; NULL where the shape has none, and while the arena is only measured. */
static const float *small_at(const struct bt_infer *e, enum bt_param_kind kind, size_t layer)
{
    const struct bt_param *wanted = bt_params_get(e->params, kind, layer);
    const float *at = e->small;
    if (!wanted || !at)
        return NULL;
    for (const struct bt_param *p = e->params->list; p != wanted; p++)
        at += p->rank == 1 ? p->count : 0;
    return at;
}

static size_t small_count(const struct bt_params *params)
{
    size_t count = 0;
    for (size_t i = 0; i < params->count; i++)
        count += params->list[i].rank == 1 ? params->list[i].count : 0;
    return count;
}

static void carve_linear(struct bt_infer *e, struct bt_arena *arena, struct bt_bitlinear *layer,
                         struct bt_fixed_linear *fixed, const struct bt_param *p)
{
    const size_t out = p->shape[0], in = p->shape[1];
    const bool packed = is_packed(e, p);
    const size_t bytes = packed ? out * bt_ternary_row_bytes(in) : bt_panels_bytes(e->linear_format, out, in);
    const void *weights = bt_arena_take(arena, bytes, 1);

    *layer = (struct bt_bitlinear){.in = in,
                                   .out = out,
                                   .bias = small_at(e, (enum bt_param_kind)(p->kind + 1), p->layer),
                                   .int8 = e->options.int8_activations && !p->excluded,
                                   .fixed = fixed};
    if (packed)
        fixed->ternary = (struct bt_ternary){.in = in, .out = out, .packed = weights, .bias = layer->bias};
    else
        fixed->panels = (struct bt_panels){.in = in, .out = out, .format = e->linear_format, .panels = weights};
    e->weight_bytes += bytes;
}

static void carve_block(struct bt_infer *e, struct bt_arena *arena, struct bt_block *block,
                        struct bt_fixed_linear *fixed, size_t layer)
{
    *block = (struct bt_block){.input_norm.gain = small_at(e, BT_P_INPUT_NORM, layer),
                               .post_norm.gain = small_at(e, BT_P_POST_NORM, layer),
                               .q_norm.gain = small_at(e, BT_P_Q_NORM, layer),
                               .k_norm.gain = small_at(e, BT_P_K_NORM, layer),
                               .attn_sub_norm.gain = small_at(e, BT_P_ATTN_SUB_NORM, layer),
                               .ffn_sub_norm.gain = small_at(e, BT_P_FFN_SUB_NORM, layer),
                               .window = layer >= e->shape->window_from ? e->shape->window : 0};
    for (size_t i = 0; i < LINEARS; i++)
        carve_linear(e, arena, linear_at(block, i), &fixed[i], bt_params_get(e->params, linear_kinds[i], layer));
}

/* What a block writes on its way, shared by all of them: nothing is kept for a backward pass. Keys and values go where
 * the cache wants them. */
static struct bt_block_saved carve_saved(const struct bt_infer *e, struct bt_arena *arena)
{
    const struct bt_shape *shape = e->shape;
    const size_t n = BT_INFER_PIECE, width = shape->heads * shape->head_dim;
    struct bt_block_saved saved = {.x_mid = take_floats(arena, n, shape->hidden),
                                   .q = take_floats(arena, n, width),
                                   .o = take_floats(arena, n, width),
                                   .lse = take_floats(arena, n, shape->heads),
                                   .gate = take_floats(arena, n, shape->ffn),
                                   .up = take_floats(arena, n, shape->ffn)};
    saved.q_raw = saved.q;
    if (e->options.int8_activations) {
        const size_t widest = BT_MAX(shape->hidden, BT_MAX(width, shape->ffn));
        int8_t *codes = bt_arena_take(arena, n * widest + BT_TERNARY_OVERREAD, 1);
        float *a = take_floats(arena, n, 1);
        saved.h_codes = saved.o_codes = saved.g_codes = saved.f_codes = codes;
        saved.h_a = saved.o_a = saved.g_a = saved.f_a = a;
    }
    return saved;
}

static void carve_head(struct bt_infer *e, struct bt_arena *arena)
{
    const size_t vocab = e->shape->vocab, hidden = e->shape->hidden;
    const size_t bytes = bt_panels_bytes(e->head_format, vocab, hidden);
    e->head_panels = bt_arena_take(arena, bytes, 1);
    e->head_scales = e->head_format == BT_PANEL_INT8 ? take_floats(arena, vocab, 1) : NULL;
    e->head = (struct bt_panels){
        .in = hidden, .out = vocab, .format = e->head_format, .panels = e->head_panels, .scales = e->head_scales};
    e->weight_bytes += bytes;
}

static void carve_blocks(struct bt_infer *e, struct bt_arena *arena)
{
    const struct bt_shape *shape = e->shape;
    const struct bt_block_saved saved = carve_saved(e, arena);
    struct bt_block measured;
    struct bt_fixed_linear measured_fixed[LINEARS];
    e->blocks = bt_arena_take(arena, shape->layers, sizeof *e->blocks);
    e->fixed = bt_arena_take(arena, shape->layers, LINEARS * sizeof *e->fixed);
    for (size_t i = 0; i < shape->layers; i++) {
        carve_block(e, arena, e->blocks ? &e->blocks[i] : &measured,
                    e->blocks ? e->fixed + i * LINEARS : measured_fixed, i);
        if (e->blocks)
            e->blocks[i].saved = saved;
    }
}

/* Sizes the arena (without a base) or lays the engine out in it. */
static void carve(struct bt_infer *e, struct bt_arena *arena)
{
    const struct bt_shape *shape = e->shape;
    const size_t n = BT_INFER_PIECE, context = e->options.context, half = shape->head_dim / 2;
    const size_t width = shape->heads * shape->head_dim, kv_width = shape->kv_heads * shape->head_dim;
    const size_t widest = BT_MAX(shape->hidden, BT_MAX(width, shape->ffn));

    e->weight_bytes = 0;
    e->small = take_floats(arena, small_count(e->params), 1);
    e->embedding = take_floats(arena, shape->vocab, shape->hidden);
    e->final_gain = small_at(e, BT_P_FINAL_NORM, 0);
    carve_blocks(e, arena);
    carve_head(e, arena);
    e->keys = take_floats(arena, shape->layers, context * kv_width);
    e->values = take_floats(arena, shape->layers, context * kv_width);
    e->cosine = take_floats(arena, context, half);
    e->sine = take_floats(arena, context, half);
    e->scratch.wide = take_floats(arena, n, widest);
    e->scratch.operand = take_floats(arena, n, widest);
    e->x[0] = take_floats(arena, n, shape->hidden);
    e->x[1] = take_floats(arena, n, shape->hidden);
    e->normed = take_floats(arena, shape->hidden, 1);
    e->position = bt_arena_take(arena, n, sizeof(int32_t));
    e->first = bt_arena_take(arena, n, sizeof(int32_t));
    e->first_window = bt_arena_take(arena, n, sizeof(int32_t));
}

/* ---- weights ---- */

struct loader {
    struct bt_infer *engine;
    bt_infer_tensor_fn *tensor;
    void *context;
    int8_t *codes; /* of the largest linear layer */
    float *mixed;  /* its effective weights, where those are neither its codes nor itself */
};

static bool tensor_is_bf16(const struct loader *l, const struct bt_param *p)
{
    return bt_all_bf16(l->tensor(l->context, p), p->count);
}

/* Effective weights of linear layers are bfloat16 numbers only where they are the weights themselves. */
static void choose_formats(const struct loader *l)
{
    static const enum bt_panel_format formats[] = {
        [BT_INFER_HEAD_F32] = BT_PANEL_F32, [BT_INFER_HEAD_BF16] = BT_PANEL_BF16, [BT_INFER_HEAD_INT8] = BT_PANEL_INT8};
    struct bt_infer *e = l->engine;
    bool short_linears = true;
    for (size_t i = 0; i < e->params->count && short_linears; i++) {
        const struct bt_param *p = &e->params->list[i];
        if (p->linear && !is_packed(e, p))
            short_linears = !is_mixed(e, p) && tensor_is_bf16(l, p);
    }
    e->linear_format = short_linears ? BT_PANEL_BF16 : BT_PANEL_F32;
    if (e->options.head != BT_INFER_HEAD_AUTO)
        e->head_format = formats[e->options.head];
    else
        e->head_format = tensor_is_bf16(l, bt_params_get(e->params, BT_P_HEAD, 0)) ? BT_PANEL_BF16 : BT_PANEL_F32;
}

static void load_ternary(const struct loader *l, struct bt_ternary *to, const struct bt_param *p, const float *w)
{
    to->s = bt_weight_scale(w, p->count);
    bt_weight_codes(l->codes, w, p->count, to->s);
    bt_ternary_pack((uint8_t *)to->packed, l->codes, to->out, to->in);
}

static const float *effective_weights(const struct loader *l, const struct bt_param *p, const float *w)
{
    const float lambda = l->engine->options.lambda;
    if (!is_mixed(l->engine, p))
        return w;
    const float s = bt_weight_scale(w, p->count);
    bt_weight_codes(l->codes, w, p->count, s);
    if (lambda == 1.0f)
        bt_weight_dequantize(l->mixed, l->codes, p->count, s);
    else
        bt_weight_mix(l->mixed, w, l->codes, p->count, s, lambda);
    return l->mixed;
}

static void load_linear(const struct loader *l, struct bt_fixed_linear *to, const struct bt_param *p)
{
    const float *w = l->tensor(l->context, p);
    if (is_packed(l->engine, p))
        load_ternary(l, &to->ternary, p, w);
    else
        bt_panels_pack((void *)to->panels.panels, NULL, to->panels.format, effective_weights(l, p, w), to->panels.out,
                       to->panels.in);
}

static void load_all(const struct loader *l)
{
    struct bt_infer *e = l->engine;
    const struct bt_param *embed = bt_params_get(e->params, BT_P_EMBED, 0),
                          *head = bt_params_get(e->params, BT_P_HEAD, 0);
    float *small = e->small;
    for (size_t i = 0; i < e->params->count; i++) {
        const struct bt_param *p = &e->params->list[i];
        if (p->rank == 1) {
            memcpy(small, l->tensor(l->context, p), p->count * sizeof *small);
            small += p->count;
        }
    }
    for (size_t i = 0; i < e->shape->layers * LINEARS; i++)
        load_linear(l, &e->fixed[i], bt_params_get(e->params, linear_kinds[i % LINEARS], i / LINEARS));
    memcpy(e->embedding, l->tensor(l->context, embed), embed->count * sizeof(float));
    bt_panels_pack(e->head_panels, e->head_scales, e->head_format, l->tensor(l->context, head), e->head.out,
                   e->head.in);
}

static size_t largest_linear(const struct bt_params *params)
{
    size_t count = 0;
    for (size_t i = 0; i < params->count; i++)
        count = params->list[i].linear ? BT_MAX(count, params->list[i].count) : count;
    return count;
}

/* Elements of the two buffers of the loader. */
static size_t codes_count(const struct bt_params *params, const struct bt_infer_options *options)
{
    return options->ternary_weights ? largest_linear(params) : 0;
}

static size_t mixed_count(const struct bt_params *params, const struct bt_infer_options *options)
{
    return options->int8_activations && options->lambda == 1.0f ? 0 : codes_count(params, options);
}

size_t bt_infer_memory(const struct bt_params *params, const struct bt_infer_options *options)
{
    struct bt_infer e = {.params = params, .shape = params->shape, .options = *options}; /* float32, the widest */
    struct bt_arena measure = {0};
    carve(&e, &measure);
    bt_arena_take(&measure, codes_count(params, options), 1);
    bt_arena_take(&measure, mixed_count(params, options), sizeof(float));
    return measure.overflow ? 0 : measure.used;
}

static enum bt_err allocate(struct loader *l, struct bt_diag *diag)
{
    struct bt_infer *e = l->engine;
    struct bt_arena measure = {0};
    carve(e, &measure);
    l->codes = bt_zalloc(codes_count(e->params, &e->options), 1);
    l->mixed = bt_zalloc(mixed_count(e->params, &e->options), sizeof(float));
    if (!l->codes || !l->mixed || measure.overflow || !bt_arena_init(&e->arena, measure.used))
        return bt_fail(diag, BT_ENOMEM, "out of memory: inference with room for %zu tokens needs %zu bytes",
                       e->options.context, measure.used);
    carve(e, &e->arena);
    return BT_OK;
}

const float *bt_infer_flat_tensor(void *context, const struct bt_param *param)
{
    return (const float *)context + param->offset;
}

enum bt_err bt_infer_create(const struct bt_params *params, const struct bt_infer_options *options,
                            bt_infer_tensor_fn *tensor, void *context, const struct bt_compute *compute,
                            struct bt_infer **ret_engine, struct bt_diag *diag)
{
    enum bt_err err =
        options->ternary_weights && options->int8_activations ? bt_bitlinear_check_exact(params->shape, diag) : BT_OK;
    if (err)
        return err;
    struct bt_infer *e = bt_zalloc(1, sizeof *e);
    if (!e)
        return bt_fail_nomem(diag);
    *e = (struct bt_infer){.params = params, .shape = params->shape, .compute = compute, .options = *options};
    struct loader l = {.engine = e, .tensor = tensor, .context = context};
    choose_formats(&l);
    err = allocate(&l, diag);
    if (!err) {
        load_all(&l);
        bt_rope_table(e->cosine, e->sine, options->context, e->shape->head_dim, &e->shape->rope);
    }
    bt_free(l.codes);
    bt_free(l.mixed);
    if (err)
        bt_infer_destroy(e);
    else
        *ret_engine = e;
    return err;
}

void bt_infer_destroy(struct bt_infer *engine)
{
    if (!engine)
        return;
    bt_arena_finish(&engine->arena);
    bt_free(engine);
}
