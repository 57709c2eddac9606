#include "nn/bitlinear.h"

#include "kernels/quantize.h"

enum bt_operand { /* what a group's scratch holds at the moment */
                  OPERAND_NONE = 0,
                  OPERAND_CODES,       /* codes as floats: exact product */
                  OPERAND_DEQUANTISED, /* xq */
                  OPERAND_MIXED,       /* x + lambda (xq - x) */
};

enum bt_err bt_bitlinear_check_exact(const struct bt_shape *shape, struct bt_diag *diag)
{
    const size_t attention = shape->heads * shape->head_dim;
    const size_t wide = attention > shape->hidden ? attention : shape->hidden;
    const size_t in = shape->ffn > wide ? shape->ffn : wide;
    if (in > BT_EXACT_MAX_IN)
        return bt_fail(diag, BT_EINPUT,
                       "a linear layer has %zu inputs; the exact product of int8 codes takes at most %u", in,
                       BT_EXACT_MAX_IN);
    return BT_OK;
}

void bt_bitlinear_prepare(const struct bt_bitlinear *layer)
{
    if (!layer->t)
        return;
    const size_t count = layer->in * layer->out;
    *layer->s = bt_weight_scale(layer->w, count);
    bt_weight_codes(layer->t, layer->w, count, *layer->s);
}

void bt_linear_input_begin(struct bt_linear_input *input, float lambda)
{
    input->operand = OPERAND_NONE;
    if (input->codes && lambda > 0.0f)
        bt_activation_codes(input->codes, input->a, input->x, input->n, input->d);
}

bool bt_bitlinear_needs_x(const struct bt_bitlinear *layer, float lambda)
{
    return !(layer->int8 && lambda == 1.0f);
}

static bool is_exact(const struct bt_bitlinear *layer, float lambda)
{
    return layer->t && layer->int8 && lambda == 1.0f;
}

/* The left operand in the asked form, made in the group's scratch unless it is there already from a sister layer. */
static const float *input_operand(struct bt_linear_input *input, enum bt_operand form, float lambda)
{
    if (input->operand == (int)form)
        return input->scratch;
    input->operand = (int)form;
    switch (form) {
    case OPERAND_CODES:
        bt_activation_codes_float(input->scratch, input->codes, input->n * input->d);
        break;
    case OPERAND_DEQUANTISED:
        bt_activation_dequantize(input->scratch, input->codes, input->a, input->n, input->d);
        break;
    case OPERAND_MIXED:
        bt_activation_mix(input->scratch, input->x, input->codes, input->a, input->n, input->d, lambda);
        break;
    case OPERAND_NONE:
        break;
    }
    return input->scratch;
}

/* xe of the formulas. */
static const float *effective_input(const struct bt_bitlinear *layer, struct bt_linear_input *input, float lambda)
{
    if (!layer->int8 || lambda == 0.0f)
        return input->x;
    return input_operand(input, lambda == 1.0f ? OPERAND_DEQUANTISED : OPERAND_MIXED, lambda);
}

/* we of the formulas. */
static const float *effective_weight(const struct bt_bitlinear *layer, float lambda, float *we)
{
    const size_t count = layer->in * layer->out;
    if (!layer->t || lambda == 0.0f)
        return layer->w;
    if (lambda == 1.0f)
        bt_weight_dequantize(we, layer->t, count, *layer->s);
    else
        bt_weight_mix(we, layer->w, layer->t, count, *layer->s, lambda);
    return we;
}

static void fixed_fwd(const struct bt_bitlinear *layer, const struct bt_compute *compute, float lambda, float *y,
                      struct bt_linear_input *input)
{
    const struct bt_fixed_linear *fixed = layer->fixed;
    if (fixed->ternary.packed) {
        bt_ternary_linear(compute->kernels.level, &fixed->ternary, y, input->codes, input->a, input->n);
        return;
    }
    bt_panels_multiply(compute->kernels.level, &fixed->panels, y, effective_input(layer, input, lambda), input->n);
    if (layer->bias)
        compute->kernels.bias_fwd(y, layer->bias, input->n, layer->out);
}

static bool on_codes(const struct bt_bitlinear *layer, const struct bt_compute *compute, float lambda)
{
    return !layer->fixed && is_exact(layer, lambda) && compute->int8_forward;
}

static void codes_fwd(const struct bt_bitlinear *layer, const struct bt_compute *compute, float *y,
                      const float *residual, const struct bt_linear_input *input)
{
    const struct bt_codes_product product = {.m = input->n,
                                             .n = layer->out,
                                             .k = layer->in,
                                             .codes = input->codes,
                                             .a = input->a,
                                             .t = layer->t,
                                             .s = *layer->s,
                                             .bias = layer->bias,
                                             .y = y,
                                             .residual = residual};
    bt_codes_forward(compute->codes, &product);
}

void bt_bitlinear_fwd(const struct bt_bitlinear *layer, const struct bt_compute *compute, float lambda, float *y,
                      struct bt_linear_input *input, float *we)
{
    const size_t n = input->n, in = layer->in, out = layer->out;
    if (layer->fixed) {
        fixed_fwd(layer, compute, lambda, y, input);
        return;
    }
    if (on_codes(layer, compute, lambda)) {
        codes_fwd(layer, compute, y, NULL, input);
        return;
    }
    if (is_exact(layer, lambda)) {
        const float *codes = input_operand(input, OPERAND_CODES, lambda);
        bt_weight_codes_float(we, layer->t, in * out);
        bt_matmul_run(compute->matmul, BT_NT, n, out, in, codes, we, y, false);
        bt_codes_finish(y, input->a, *layer->s, layer->bias, n, out);
        return;
    }
    const float *xe = effective_input(layer, input, lambda);
    bt_matmul_run(compute->matmul, BT_NT, n, out, in, xe, effective_weight(layer, lambda, we), y, false);
    if (layer->bias)
        compute->kernels.bias_fwd(y, layer->bias, n, out);
}

void bt_bitlinear_fwd_add(const struct bt_bitlinear *layer, const struct bt_compute *compute, float lambda, float *y,
                          const float *residual, struct bt_linear_input *input, float *we)
{
    if (on_codes(layer, compute, lambda)) {
        codes_fwd(layer, compute, y, residual, input);
        return;
    }
    bt_bitlinear_fwd(layer, compute, lambda, y, input, we);
    compute->kernels.add(y, residual, input->n * layer->out);
}

/* Both products on int16 codes of dy: with the ternary codes, and with the int8 codes of x, whose scales go into dy. */
static void int16_bwd(const struct bt_bitlinear *layer, const struct bt_compute *compute, float *dx, bool add_dx,
                      const float *dy, const struct bt_linear_input *input)
{
    const size_t n = input->n, in = layer->in, out = layer->out;
    const struct bt_gradient_product to_x = {
        .m = n, .n = in, .k = out, .dy = dy, .b = layer->t, .scale = *layer->s, .c = dx, .accumulate = add_dx};
    const struct bt_gradient_product to_w = {.m = out,
                                             .n = in,
                                             .k = n,
                                             .dy = dy,
                                             .transposed = true,
                                             .weight = input->a,
                                             .b = input->codes,
                                             .scale = 1.0f / 127.0f,
                                             .c = layer->dw,
                                             .accumulate = true};
    bt_codes_gradient(compute->codes, &to_x);
    bt_codes_gradient(compute->codes, &to_w);
}

void bt_bitlinear_bwd(const struct bt_bitlinear *layer, const struct bt_compute *compute, float lambda, float *dx,
                      bool add_dx, const float *dy, struct bt_linear_input *input, float *we)
{
    const size_t n = input->n, in = layer->in, out = layer->out;
    if (layer->dbias)
        compute->kernels.bias_bwd(layer->dbias, dy, n, out);
    if (is_exact(layer, lambda) && compute->int16_gradient) {
        int16_bwd(layer, compute, dx, add_dx, dy, input);
        return;
    }
    const float *xe = effective_input(layer, input, lambda);
    bt_matmul_run(compute->matmul, BT_NN, n, in, out, dy, effective_weight(layer, lambda, we), dx, add_dx);
    bt_matmul_run(compute->matmul, BT_TN, out, in, n, dy, xe, layer->dw, true);
}
