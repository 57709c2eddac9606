#include "counters.h"

#include <omp.h>
#include <string.h>

#include "peak.h"

enum { MAX_THREADS = 256 };

static struct cell { /* of a thread */
    struct bench_count phase[BENCH_PHASES];
    size_t products_on_codes;
    double flops_on_floats;
    char apart[64]; /* no two threads on one cache line */
} cells[MAX_THREADS];

/* What is counted. */
static struct {
    struct bt_kernels kernels;
    const struct bt_matmul *matmul;
    const struct bt_codes *codes;
    const float *head, *head_gradient;
    size_t head_count;
} real;

static struct bt_matmul counting_matmul;
static struct bt_codes counting_codes;

const char *bench_phase_name(enum bench_phase phase)
{
    static const char *const names[] = {"products, forward",
                                        "products, backward",
                                        "products of the head",
                                        "cross entropy",
                                        "attention, forward",
                                        "attention, backward",
                                        "norms",
                                        "rope",
                                        "swiglu",
                                        "residuals, biases",
                                        "embedding",
                                        "gradient norm",
                                        "adamw"};
    return names[phase];
}

static double now(void)
{
    return bench_seconds(omp_get_max_threads());
}

static struct cell *my_cell(void)
{
    return &cells[omp_get_thread_num() % MAX_THREADS];
}

/* Inside of a parallel region all threads count, and each has its share of the time that passes. */
static void add(enum bench_phase phase, double start, double flops, double bytes)
{
    struct bench_count *count = &my_cell()->phase[phase];
    const double seconds = now() - start;
    count->seconds += omp_in_parallel() ? seconds / omp_get_num_threads() : seconds;
    count->flops += flops;
    count->bytes += bytes;
}

/* ---- products ---- */

static bool within(const float *at, const float *begin, size_t count)
{
    return begin && at >= begin && at < begin + count;
}

static void counting_gemm(enum bt_product kind, size_t m, size_t n, size_t k, const float *a, size_t lda,
                          const float *b, size_t ldb, float *c, size_t ldc, bool accumulate)
{
    const double start = now(), flops = 2.0 * (double)m * (double)n * (double)k;
    const bool head = within(b, real.head, real.head_count) || within(c, real.head_gradient, real.head_count);
    real.matmul->gemm(kind, m, n, k, a, lda, b, ldb, c, ldc, accumulate);
    add(head ? BENCH_HEAD : kind == BT_NT ? BENCH_FORWARD : BENCH_BACKWARD, start, flops, 0.0);
    if (!head && kind == BT_NT)
        my_cell()->flops_on_floats += flops;
}

static void counting_forward(const struct bt_codes_product *p, size_t i, size_t j, size_t height, size_t width)
{
    const double start = now();
    real.codes->forward(p, i, j, height, width);
    add(BENCH_FORWARD, start, 2.0 * (double)height * (double)width * (double)p->k, 0.0);
    my_cell()->products_on_codes += i == 0 && j == 0; /* every product has one such tile */
}

static void counting_gradient(const struct bt_gradient_product *p, size_t i, size_t j, size_t height, size_t width)
{
    const double start = now();
    real.codes->gradient(p, i, j, height, width);
    add(BENCH_BACKWARD, start, 2.0 * (double)height * (double)width * (double)p->k, 0.0);
}

/* ---- what touches every element a few times ---- */

/* Bytes of that many operands of n rows of d floats. */
static double operands(double count, size_t n, size_t d)
{
    return count * sizeof(float) * (double)n * (double)d;
}

static void embedding_fwd(float *x, const float *table, const int32_t *ids, size_t n, size_t d)
{
    const double start = now();
    real.kernels.embedding_fwd(x, table, ids, n, d);
    add(BENCH_EMBEDDING, start, 0.0, operands(2, n, d));
}

static void embedding_bwd(float *dtable, const float *dx, const int32_t *ids, size_t n, size_t d)
{
    const double start = now();
    real.kernels.embedding_bwd(dtable, dx, ids, n, d);
    add(BENCH_EMBEDDING, start, 0.0, operands(3, n, d));
}

static void rmsnorm_fwd(float *y, float *rstd, const float *x, const float *gain, size_t n, size_t d, float eps)
{
    const double start = now();
    real.kernels.rmsnorm_fwd(y, rstd, x, gain, n, d, eps);
    add(BENCH_NORM, start, 0.0, operands(2, n, d));
}

static void rmsnorm_apply(float *y, const float *x, const float *gain, const float *rstd, size_t n, size_t d)
{
    const double start = now();
    real.kernels.rmsnorm_apply(y, x, gain, rstd, n, d);
    add(BENCH_NORM, start, 0.0, operands(2, n, d));
}

static void rmsnorm_bwd(float *dx, int sum, float *dgain, const float *dy, const float *x, const float *gain,
                        const float *rstd, size_t n, size_t d)
{
    const double start = now();
    real.kernels.rmsnorm_bwd(dx, sum, dgain, dy, x, gain, rstd, n, d);
    add(BENCH_NORM, start, 0.0, operands(sum ? 4 : 3, n, d));
}

static void rope_fwd(float *x, const float *cosine, const float *sine, const int32_t *position, size_t n, size_t heads,
                     size_t head_dim)
{
    const double start = now();
    real.kernels.rope_fwd(x, cosine, sine, position, n, heads, head_dim);
    add(BENCH_ROPE, start, 0.0, operands(2, n, heads * head_dim));
}

static void rope_bwd(float *dx, const float *cosine, const float *sine, const int32_t *position, size_t n, size_t heads,
                     size_t head_dim)
{
    const double start = now();
    real.kernels.rope_bwd(dx, cosine, sine, position, n, heads, head_dim);
    add(BENCH_ROPE, start, 0.0, operands(2, n, heads * head_dim));
}

static void glu_fwd(float *f, const float *gate, const float *up, size_t n, enum bt_activation act)
{
    const double start = now();
    real.kernels.glu_fwd(f, gate, up, n, act);
    add(BENCH_GLU, start, 0.0, operands(3, n, 1));
}

static void glu_bwd(float *dgate, float *dup, const float *df, const float *gate, const float *up, size_t n,
                    enum bt_activation act)
{
    const double start = now();
    real.kernels.glu_bwd(dgate, dup, df, gate, up, n, act);
    add(BENCH_GLU, start, 0.0, operands(5, n, 1));
}

static void sum(float *y, const float *x, size_t n)
{
    const double start = now();
    real.kernels.add(y, x, n);
    add(BENCH_SUM, start, 0.0, operands(3, n, 1));
}

static void bias_fwd(float *y, const float *b, size_t n, size_t d)
{
    const double start = now();
    real.kernels.bias_fwd(y, b, n, d);
    add(BENCH_SUM, start, 0.0, operands(2, n, d));
}

static void bias_bwd(float *db, const float *dy, size_t n, size_t d)
{
    const double start = now();
    real.kernels.bias_bwd(db, dy, n, d);
    add(BENCH_SUM, start, 0.0, operands(1, n, d));
}

static void cross_entropy(double *loss, float *logits, const int32_t *labels, size_t n, size_t vocab, float scale)
{
    const double start = now();
    real.kernels.cross_entropy(loss, logits, labels, n, vocab, scale);
    add(BENCH_LOSS, start, 0.0, operands(scale != 0.0f ? 2 : 1, n, vocab));
}

static double sum_squares(const float *g, size_t n)
{
    const double start = now();
    const double squares = real.kernels.sum_squares(g, n);
    add(BENCH_GRADIENT_NORM, start, 0.0, operands(1, n, 1));
    return squares;
}

static void adamw(float *p, float *m, float *v, const float *g, size_t n, const struct bt_adamw *a)
{
    const double start = now();
    real.kernels.adamw(p, m, v, g, n, a);
    add(BENCH_ADAMW, start, 0.0, operands(7, n, 1));
}

/* ---- attention ---- */

double bench_attention_flops(const struct bt_attention_shape *s)
{
    double seen = 0.0;
    for (size_t i = 0; i < s->rows * s->seq; i++)
        seen += (double)(i % s->seq + 1) - (double)s->first[i];
    return 2.0 * 2.0 * seen * (double)(s->heads * s->head_dim);
}

static void attention_fwd(float *out, float *lse, const float *q, const float *k, const float *v,
                          const struct bt_attention_shape *s)
{
    const double flops = bench_attention_flops(s), start = now();
    real.kernels.attention_fwd(out, lse, q, k, v, s);
    add(BENCH_ATTENTION, start, flops, 0.0);
}

static void attention_bwd(float *dq, float *dk, float *dv, float *delta, const float *dout, const float *out,
                          const float *lse, const float *q, const float *k, const float *v,
                          const struct bt_attention_shape *s)
{
    const double flops = 2.5 * bench_attention_flops(s), start = now();
    real.kernels.attention_bwd(dq, dk, dv, delta, dout, out, lse, q, k, v, s);
    add(BENCH_ATTENTION_BACKWARD, start, flops, 0.0);
}

/* ---- the whole ---- */

static void replace_kernels(struct bt_kernels *k)
{
    k->embedding_fwd = embedding_fwd;
    k->embedding_bwd = embedding_bwd;
    k->rmsnorm_fwd = rmsnorm_fwd;
    k->rmsnorm_apply = rmsnorm_apply;
    k->rmsnorm_bwd = rmsnorm_bwd;
    k->rope_fwd = rope_fwd;
    k->rope_bwd = rope_bwd;
    k->glu_fwd = glu_fwd;
    k->glu_bwd = glu_bwd;
    k->add = sum;
    k->bias_fwd = bias_fwd;
    k->bias_bwd = bias_bwd;
    k->cross_entropy = cross_entropy;
    k->sum_squares = sum_squares;
    k->adamw = adamw;
    k->attention_fwd = attention_fwd;
    k->attention_bwd = attention_bwd;
}

void bench_count_begin(struct bt_compute *compute, const struct bt_params *params, const float *weights,
                       const float *gradients)
{
    const struct bt_param *head = bt_params_get(params, BT_P_HEAD, 0);
    real.kernels = compute->kernels;
    real.matmul = compute->matmul;
    real.codes = compute->codes;
    real.head = weights + head->offset;
    real.head_gradient = gradients + head->offset;
    real.head_count = head->count;
    counting_matmul = *compute->matmul;
    counting_matmul.gemm = counting_gemm;
    counting_codes = *compute->codes;
    counting_codes.forward = counting_forward;
    counting_codes.gradient = counting_gradient;
    compute->matmul = &counting_matmul;
    compute->codes = &counting_codes;
    replace_kernels(&compute->kernels);
    bench_count_reset();
}

void bench_count_reset(void)
{
    memset(cells, 0, sizeof cells);
}

struct bench_count bench_count_of(enum bench_phase phase)
{
    struct bench_count all = {0};
    for (size_t i = 0; i < MAX_THREADS; i++) {
        all.seconds += cells[i].phase[phase].seconds;
        all.flops += cells[i].phase[phase].flops;
        all.bytes += cells[i].phase[phase].bytes;
    }
    return all;
}

size_t bench_products_on_codes(void)
{
    size_t count = 0;
    for (size_t i = 0; i < MAX_THREADS; i++)
        count += cells[i].products_on_codes;
    return count;
}

double bench_flops_on_floats(void)
{
    double flops = 0.0;
    for (size_t i = 0; i < MAX_THREADS; i++)
        flops += cells[i].flops_on_floats;
    return flops;
}
