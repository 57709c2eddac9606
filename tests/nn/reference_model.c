#include "reference_model.h"

#include "support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static double *doubles(size_t n)
{
    double *p = calloc(n ? n : 1, sizeof *p);
    assert_non_null(p);
    return p;
}

double *reference_doubles(const float *values, size_t n)
{
    double *copy = doubles(n);
    for (size_t i = 0; i < n; i++)
        copy[i] = (double)values[i];
    return copy;
}

static size_t tokens_of(const struct reference *r)
{
    return r->batch->rows * r->batch->seq;
}

/* What all linear layers of a pass read, laid end to end. */
static size_t inputs_of(const struct reference *r)
{
    size_t sum = 0;
    for (size_t i = 0; i < r->params->count; i++)
        sum += r->params->list[i].linear ? r->params->list[i].shape[1] * tokens_of(r) : 0;
    return sum;
}

void reference_init(struct reference *r, const struct bt_params *params, const struct bt_batch *batch,
                    const int32_t *document)
{
    *r = (struct reference){.params = params, .batch = batch, .document = document, .margin = 1.0};
    r->weight_offset = doubles(params->total);
    r->input_offset = doubles(inputs_of(r));
}

void reference_finish(struct reference *r)
{
    free(r->weight_offset);
    free(r->input_offset);
    *r = (struct reference){0};
}

static void near_boundary(struct reference *r, double x)
{
    const double distance = fabs(fabs(x - trunc(x)) - 0.5);
    r->margin = fmin(r->margin, distance);
}

/* Scale and codes in float as they are defined, the mixing in double. */
static void freeze_weight(struct reference *r, const struct bt_param *p, const float *w)
{
    double sum = 0.0;
    for (size_t i = 0; i < p->count; i++)
        sum += (double)fabsf(w[i]);
    const float s = fmaxf((float)(sum / (double)p->count), 1e-5f), inverse = 1.0f / s;
    for (size_t i = 0; i < p->count; i++) {
        const double t = fmin(fmax(rint((double)(w[i] * inverse)), -1.0), 1.0);
        r->weight_offset[p->offset + i] = r->lambda * (t * (double)s - (double)w[i]);
    }
}

void reference_freeze(struct reference *r, const float *weights, bool ternary, bool int8, double lambda)
{
    r->ternary = ternary;
    r->int8 = int8;
    r->lambda = lambda;
    r->margin = 1.0;
    memset(r->weight_offset, 0, r->params->total * sizeof(double));
    memset(r->input_offset, 0, inputs_of(r) * sizeof(double));
    for (size_t i = 0; i < r->params->count && ternary; i++) {
        const struct bt_param *p = &r->params->list[i];
        if (p->linear && !p->excluded)
            freeze_weight(r, p, weights + p->offset);
    }
    double *w = reference_doubles(weights, r->params->total);
    r->freezing = true;
    reference_loss(r, w, NULL);
    r->freezing = false;
    free(w);
}

static void freeze_input(struct reference *r, double *offset, const double *x, size_t d)
{
    double a = 1e-5;
    for (size_t i = 0; i < d; i++)
        a = fmax(a, fabs(x[i]));
    for (size_t i = 0; i < d; i++) {
        const double code = x[i] * (127.0 / a);
        near_boundary(r, code);
        offset[i] = r->lambda * (fmin(fmax(rint(code), -128.0), 127.0) * (a / 127.0) - x[i]);
    }
}

/* y (n, out) = xe we^T + b. */
static void linear(struct reference *r, const double *weights, enum bt_param_kind kind, enum bt_param_kind bias,
                   size_t layer, double *y, const double *x)
{
    const struct bt_param *p = bt_params_get(r->params, kind, layer), *b = bt_params_get(r->params, bias, layer);
    const size_t n = tokens_of(r), in = p->shape[1], out = p->shape[0];
    const double *w = weights + p->offset, *dw = r->weight_offset + p->offset;
    double *dx = r->input_offset + r->input_used;
    r->input_used += n * in;
    for (size_t t = 0; t < n; t++) {
        const double *xt = x + t * in;
        if (r->freezing && r->int8 && !p->excluded)
            freeze_input(r, dx + t * in, xt, in);
        for (size_t o = 0; o < out; o++) {
            double sum = b ? weights[b->offset + o] : 0.0;
            for (size_t i = 0; i < in; i++)
                sum += (xt[i] + dx[t * in + i]) * (w[o * in + i] + dw[o * in + i]);
            y[t * out + o] = sum;
        }
    }
}

/* x (n, d) in place; nothing where the shape has no such norm. */
static void rmsnorm(const struct reference *r, const double *weights, enum bt_param_kind kind, size_t layer, double *x,
                    size_t n)
{
    const struct bt_param *p = bt_params_get(r->params, kind, layer);
    if (!p)
        return;
    const size_t d = p->count;
    for (size_t t = 0; t < n; t++) {
        double sum = 0.0;
        for (size_t i = 0; i < d; i++)
            sum += x[t * d + i] * x[t * d + i];
        const double root = sqrt(sum / (double)d + (double)r->params->shape->eps);
        for (size_t i = 0; i < d; i++)
            x[t * d + i] = x[t * d + i] / root * weights[p->offset + i];
    }
}

double reference_frequency(const struct bt_rope *rope, size_t j, size_t head_dim)
{
    const double f = exp(-log(rope->theta) * (double)(2 * j) / (double)head_dim);
    if (rope->scaling == BT_ROPE_SCALING_NONE)
        return f;
    if (rope->scaling == BT_ROPE_SCALING_LINEAR)
        return f / rope->factor;
    const double turns = rope->original_max_position * f / (2.0 * acos(-1.0)); /* original / wavelength */
    const double share = (turns - rope->low_freq_factor) / (rope->high_freq_factor - rope->low_freq_factor);
    const double kept = fmin(fmax(share, 0.0), 1.0);
    return f * (kept + (1.0 - kept) / rope->factor);
}

/* A token's place in its document. */
static size_t place(const struct reference *r, size_t token)
{
    size_t back = 0;
    while (token % r->batch->seq > back && r->document[token - back - 1] == r->document[token])
        back++;
    return back;
}

/* Channel j turns with channel j + head_dim / 2. */
static void rope(const struct reference *r, double *x, size_t heads)
{
    const size_t d = r->params->shape->head_dim, half = d / 2;
    for (size_t t = 0; t < tokens_of(r); t++)
        for (size_t h = 0; h < heads; h++)
            for (size_t j = 0; j < half; j++) {
                const double angle = (double)place(r, t) * reference_frequency(&r->params->shape->rope, j, d);
                double *at = x + (t * heads + h) * d + j;
                const double a = at[0], b = at[half];
                at[0] = a * cos(angle) - b * sin(angle);
                at[half] = b * cos(angle) + a * sin(angle);
            }
}

static bool sees(const struct reference *r, size_t layer, size_t i, size_t j)
{
    const struct bt_shape *s = r->params->shape;
    const size_t seq = r->batch->seq;
    if (i / seq != j / seq || j > i || r->document[i] != r->document[j])
        return false;
    return !s->window || layer < s->window_from || i < j + s->window;
}

/* One query of one head. */
static void attend(const struct reference *r, size_t layer, size_t i, size_t head, double *o, const double *q,
                   const double *k, const double *v)
{
    const struct bt_shape *s = r->params->shape;
    const size_t d = s->head_dim, kv = head / (s->heads / s->kv_heads);
    const double *query = q + (i * s->heads + head) * d;
    double *out = o + (i * s->heads + head) * d, total = 0.0;
    memset(out, 0, d * sizeof *out);
    for (size_t j = 0; j <= i; j++) {
        const size_t at = (j * s->kv_heads + kv) * d;
        double dot = 0.0;
        if (!sees(r, layer, i, j))
            continue;
        for (size_t c = 0; c < d; c++)
            dot += query[c] * k[at + c];
        const double weight = exp(dot / sqrt((double)d));
        total += weight;
        for (size_t c = 0; c < d; c++)
            out[c] += weight * v[at + c];
    }
    for (size_t c = 0; c < d; c++)
        out[c] /= total;
}

static void trace_squares(double *squares, const double *x, size_t layer, size_t n, size_t d)
{
    for (size_t t = 0; squares && t < n; t++) {
        double sum = 0.0;
        for (size_t i = 0; i < d; i++)
            sum += x[t * d + i] * x[t * d + i];
        squares[layer * n + t] = sum;
    }
}

static void add(double *y, const double *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] += x[i];
}

static double *normed_copy(const struct reference *r, const double *w, enum bt_param_kind kind, size_t layer,
                           const double *x)
{
    const size_t n = tokens_of(r), hidden = r->params->shape->hidden;
    double *h = doubles(n * hidden);
    memcpy(h, x, n * hidden * sizeof *h);
    rmsnorm(r, w, kind, layer, h, n);
    return h;
}

static void attention_branch(struct reference *r, const double *w, size_t layer, double *x,
                             const struct reference_trace *trace)
{
    const struct bt_shape *s = r->params->shape;
    const size_t n = tokens_of(r), q_width = s->heads * s->head_dim, kv_width = s->kv_heads * s->head_dim;
    double *h = normed_copy(r, w, BT_P_INPUT_NORM, layer, x);
    double *q = doubles(n * q_width), *k = doubles(n * kv_width), *v = doubles(n * kv_width), *o = doubles(n * q_width);

    linear(r, w, BT_P_Q, BT_P_Q_BIAS, layer, q, h);
    linear(r, w, BT_P_K, BT_P_K_BIAS, layer, k, h);
    linear(r, w, BT_P_V, BT_P_V_BIAS, layer, v, h);
    rmsnorm(r, w, BT_P_Q_NORM, layer, q, n * s->heads);
    rmsnorm(r, w, BT_P_K_NORM, layer, k, n * s->kv_heads);
    rope(r, q, s->heads);
    rope(r, k, s->kv_heads);
    for (size_t i = 0; i < n; i++)
        for (size_t head = 0; head < s->heads; head++)
            attend(r, layer, i, head, o, q, k, v);
    trace_squares(trace->attn, o, layer, n, q_width);
    rmsnorm(r, w, BT_P_ATTN_SUB_NORM, layer, o, n);
    linear(r, w, BT_P_O, BT_P_O_BIAS, layer, h, o);
    add(x, h, n * s->hidden);
    free(h);
    free(q);
    free(k);
    free(v);
    free(o);
}

static double activation(enum bt_activation act, double x)
{
    if (act == BT_ACT_RELU2)
        return x > 0.0 ? x * x : 0.0;
    return x / (1.0 + exp(-x));
}

static void ffn_branch(struct reference *r, const double *w, size_t layer, double *x,
                       const struct reference_trace *trace)
{
    const struct bt_shape *s = r->params->shape;
    const size_t n = tokens_of(r);
    double *h = normed_copy(r, w, BT_P_POST_NORM, layer, x);
    double *gate = doubles(n * s->ffn), *up = doubles(n * s->ffn);

    linear(r, w, BT_P_GATE, BT_P_GATE_BIAS, layer, gate, h);
    linear(r, w, BT_P_UP, BT_P_UP_BIAS, layer, up, h);
    for (size_t i = 0; i < n * s->ffn; i++)
        up[i] *= activation(s->act, gate[i]);
    trace_squares(trace->ffn, up, layer, n, s->ffn);
    rmsnorm(r, w, BT_P_FFN_SUB_NORM, layer, up, n);
    linear(r, w, BT_P_DOWN, BT_P_DOWN_BIAS, layer, h, up);
    add(x, h, n * s->hidden);
    free(h);
    free(gate);
    free(up);
}

static double cross_entropy(const double *logits, size_t vocab, int32_t label)
{
    double sum = 0.0;
    for (size_t i = 0; i < vocab; i++)
        sum += exp(logits[i]);
    return log(sum) - logits[label];
}

static double head_loss(const struct reference *r, const double *w, const double *x,
                        const struct reference_trace *trace)
{
    const size_t hidden = r->params->shape->hidden, vocab = r->params->shape->vocab;
    const double *head = w + bt_params_get(r->params, BT_P_HEAD, 0)->offset;
    double *h = normed_copy(r, w, BT_P_FINAL_NORM, 0, x), *logits = doubles(vocab), loss = 0.0;
    for (size_t t = 0; t < tokens_of(r); t++) {
        for (size_t i = 0; i < vocab; i++) {
            logits[i] = 0.0;
            for (size_t c = 0; c < hidden; c++)
                logits[i] += h[t * hidden + c] * head[i * hidden + c];
        }
        if (trace->logits)
            memcpy(trace->logits + t * vocab, logits, vocab * sizeof *logits);
        if (r->batch->labels[t] >= 0)
            loss += cross_entropy(logits, vocab, r->batch->labels[t]);
    }
    free(h);
    free(logits);
    return loss;
}

double reference_loss(struct reference *r, const double *weights, const struct reference_trace *trace)
{
    static const struct reference_trace nothing;
    const struct bt_shape *s = r->params->shape;
    const size_t n = tokens_of(r), size = n * s->hidden;
    const double *table = weights + bt_params_get(r->params, BT_P_EMBED, 0)->offset;
    double *x = doubles(size);
    trace = trace ? trace : &nothing;
    r->input_used = 0;
    for (size_t t = 0; t < n; t++)
        memcpy(x + t * s->hidden, table + (size_t)r->batch->ids[t] * s->hidden, s->hidden * sizeof *x);
    for (size_t layer = 0; layer <= s->layers; layer++) {
        if (trace->hidden)
            memcpy(trace->hidden + layer * size, x, size * sizeof *x);
        if (layer == s->layers)
            break;
        attention_branch(r, weights, layer, x, trace);
        ffn_branch(r, weights, layer, x, trace);
    }
    const double loss = head_loss(r, weights, x, trace);
    free(x);
    return loss;
}
