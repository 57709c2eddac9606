/* Compiled twice, with bt_real float and double: runs every kernel and writes down what comes out.
 *
 * Tolerances: u stands for FLT_EPSILON, twice the largest relative error of one operation. A sum of n terms is within
 * n u sum|terms| of the true one in any order. */
#include "cases.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "random_reals.h"

#ifdef CASES_DOUBLE
#define CASES_RUN cases_double
void bt_kernels_fill_double(struct bt_kernels *kernels);
#else
#define CASES_RUN cases_float
#endif

static const double u = (double)FLT_EPSILON;

struct run {
    struct bt_kernels k;
    struct bt_arena *arena; /* of one case */
    struct outcomes out;
    size_t capacity;
};

static void note(struct run *r, const char *kernel, double value, double tolerance)
{
    if (r->out.count == r->capacity) {
        r->capacity = r->capacity ? 2 * r->capacity : 4096;
        r->out.at = bt_realloc(r->out.at, r->capacity, sizeof *r->out.at);
        assert_non_null(r->out.at);
    }
    r->out.at[r->out.count++] = (struct outcome){kernel, value, tolerance};
}

static bt_real *reals(struct run *r, size_t n, const char *name)
{
    return random_reals(r->arena, n, -1.0, 1.0, name);
}

static bt_real *zeros(struct run *r, size_t n)
{
    return bt_arena_take(r->arena, n, sizeof(bt_real));
}

static void embedding(struct run *r, size_t n, size_t d)
{
    const size_t vocab = 1 + n / 3;
    const int32_t *ids = random_ints(r->arena, n, vocab, "ids");
    bt_real *x = zeros(r, n * d), *table = reals(r, vocab * d, "table");
    r->k.embedding_fwd(x, table, ids, n, d);
    for (size_t i = 0; i < n * d; i++)
        note(r, "embedding_fwd", (double)x[i], 0.0);
    r->k.embedding_bwd(table, reals(r, n * d, "dx"), ids, n, d);
    for (size_t v = 0; v < vocab; v++) {
        size_t uses = 1;
        for (size_t t = 0; t < n; t++)
            uses += (size_t)ids[t] == v;
        for (size_t c = 0; c < d; c++)
            note(r, "embedding_bwd", (double)table[v * d + c], (double)(uses * uses) * u);
    }
}

/* rstd comes from a sum in double. dx is the difference of two terms, each of a few operations. */
static void rmsnorm(struct run *r, size_t n, size_t d)
{
    bt_real *y = zeros(r, n * d), *rstd = zeros(r, n), *x = reals(r, n * d, "x"), *gain = reals(r, d, "gain");
    bt_real *dx = reals(r, n * d, "dx"), *dgain = zeros(r, d), *dy = reals(r, n * d, "dy");
    r->k.rmsnorm_fwd(y, rstd, x, gain, n, d, (bt_real)1e-5f);
    r->k.rmsnorm_bwd(dx, 1, dgain, dy, x, gain, rstd, n, d);
    for (size_t t = 0; t < n; t++) {
        const double rs = (double)rstd[t];
        note(r, "rmsnorm_fwd", rs, u * rs);
        for (size_t c = 0; c < d; c++) {
            note(r, "rmsnorm_fwd", (double)y[t * d + c], 4.0 * u * fabs((double)y[t * d + c]));
            note(r, "rmsnorm_bwd", (double)dx[t * d + c], 6.0 * u * (1.0 + rs + rs * rs * rs));
        }
    }
    for (size_t c = 0; c < d; c++) {
        double sum = 0.0;
        for (size_t t = 0; t < n; t++)
            sum += fabs((double)dy[t * d + c] * (double)x[t * d + c]) * (double)rstd[t];
        note(r, "rmsnorm_bwd", (double)dgain[c], (double)(n + 4) * u * sum);
    }
}

static void rope(struct run *r, size_t n, size_t heads, size_t head_dim)
{
    const int32_t *position = random_ints(r->arena, n, 50, "position");
    bt_real *x = reals(r, n * heads * head_dim, "x");
    const bt_real *cosine = reals(r, 50 * (head_dim / 2), "cosine"), *sine = reals(r, 50 * (head_dim / 2), "sine");
    r->k.rope_fwd(x, cosine, sine, position, n, heads, head_dim);
    for (size_t i = 0; i < n * heads * head_dim; i++)
        note(r, "rope_fwd", (double)x[i], 4.0 * u);
    r->k.rope_bwd(x, cosine, sine, position, n, heads, head_dim);
    for (size_t i = 0; i < n * heads * head_dim; i++)
        note(r, "rope_bwd", (double)x[i], 16.0 * u);
}

/* Inputs are below 1 (the gate below 4). A score sums head_dim products and is off by at most e; a probability then by
 * the factor 1 + 2e, besides the exponential's own error and the sum's. */
static void attention(struct run *r, struct bt_attention_shape s, enum visible sees)
{
    const size_t n = s.rows * s.seq, queries = n * s.heads * s.head_dim, keys = n * s.kv_heads * s.head_dim;
    const double dim = (double)s.head_dim, seq = (double)s.seq;
    const double e = (dim + 2.0) * sqrt(dim) * u, p = 2.0 * e + (seq + 8.0) * u;
    s.first = first_seen(r->arena, s.rows, s.seq, sees);
    bt_real *q = reals(r, queries, "q"), *k = reals(r, keys, "k"), *v = reals(r, keys, "v");
    bt_real *out = zeros(r, queries), *lse = zeros(r, n * s.heads), *delta = zeros(r, n * s.heads);
    bt_real *dq = zeros(r, queries), *dk = zeros(r, keys), *dv = zeros(r, keys), *dout = reals(r, queries, "dout");
    r->k.attention_fwd(out, lse, q, k, v, &s);
    r->k.attention_bwd(dq, dk, dv, delta, dout, out, lse, q, k, v, &s);
    for (size_t i = 0; i < n * s.heads; i++)
        note(r, "attention_fwd", (double)lse[i], p + u * fabs((double)lse[i]));
    /* dp and delta are sums of head_dim products below 1, so |ds| <= 2 dim p for one pair. */
    const double ds = 2.0 * dim * (p + e) + 2.0 * dim * dim * u, group = (double)(s.heads / s.kv_heads);
    for (size_t i = 0; i < queries; i++) {
        note(r, "attention_fwd", (double)out[i], p + (seq + 1.0) * u);
        note(r, "attention_bwd", (double)dq[i], ds + seq * u * dim);
    }
    for (size_t i = 0; i < keys; i++) {
        note(r, "attention_bwd", (double)dk[i], (ds + seq * u * dim) * seq * group);
        note(r, "attention_bwd", (double)dv[i], (p + seq * u) * seq * group);
    }
}

static void glu(struct run *r, size_t n, enum bt_activation act)
{
    bt_real *f = zeros(r, n), *gate = random_reals(r->arena, n, -4.0, 4.0, "gate"), *up = reals(r, n, "up");
    bt_real *dgate = zeros(r, n), *dup = zeros(r, n), *df = reals(r, n, "df");
    r->k.glu_fwd(f, gate, up, n, act);
    r->k.glu_bwd(dgate, dup, df, gate, up, n, act);
    for (size_t i = 0; i < n; i++) {
        const double g = 1.0 + (double)gate[i] * (double)gate[i];
        note(r, "glu_fwd", (double)f[i], 8.0 * u * fabs((double)f[i]));
        note(r, "glu_bwd", (double)dgate[i], 12.0 * u * g);
        note(r, "glu_bwd", (double)dup[i], 8.0 * u * g);
    }
}

/* Logits are below 10: a difference of two is off by 10 u, the exponential by 2 u, a lane of a block sums 32 terms. */
static void cross_entropy(struct run *r, size_t n, size_t vocab)
{
    const double sum = (10.0 + 2.0 + 40.0) * u;
    const double scale = 0.125;
    bt_real *z = random_reals(r->arena, n * vocab, -10.0, 10.0, "logits");
    double *loss = bt_arena_take(r->arena, n, sizeof *loss);
    int32_t *labels = random_ints(r->arena, n, vocab, "labels");
    for (size_t t = 2; t < n; t += 3)
        labels[t] = BT_IGNORE_LABEL;
    r->k.cross_entropy(loss, z, labels, n, vocab, 0);
    for (size_t t = 0; t < n; t++)
        note(r, "cross_entropy", loss[t], sum);
    r->k.cross_entropy(loss, z, labels, n, vocab, (bt_real)scale);
    for (size_t t = 0; t < n; t++) {
        note(r, "cross_entropy", loss[t], sum);
        for (size_t i = 0; i < vocab; i++)
            note(r, "cross_entropy", (double)z[t * vocab + i], scale * (sum + 14.0 * u));
    }
}

/* As cross_entropy, twice, at a rate of 1 / 2. Of the kept ids every third is one; levels are near 1 / count. */
static void teacher(struct run *r, size_t n, size_t vocab)
{
    const double sum = 2.0 * (10.0 + 2.0 + 40.0) * u;
    const struct bt_logit_loss l = {2.0f, 0.125f, 0.25f};
    const size_t count = (vocab + 2) / 3 < 64 ? (vocab + 2) / 3 : 64;
    double *ce = bt_arena_take(r->arena, n, sizeof *ce), *kl = bt_arena_take(r->arena, n, sizeof *kl);
    int32_t *labels = random_ints(r->arena, n, vocab, "labels"), *ids = random_ints(r->arena, n * count, 3, "ids");
    uint16_t *levels = bt_arena_take(r->arena, n * count, sizeof *levels);
    uint16_t *rest = bt_arena_take(r->arena, n, sizeof *rest);
    for (size_t t = 2; t < n; t += 3)
        labels[t] = BT_IGNORE_LABEL;
    for (size_t i = 0; i < n * count; i++) {
        const int32_t id = (int32_t)(3 * (i % count)) + ids[i];
        ids[i] = id < (int32_t)vocab ? id : (int32_t)(3 * (i % count));
        levels[i] = (uint16_t)(2048.0 * log((double)count) + (double)(i * 37 % 4000));
    }
    for (size_t t = 0; t < n; t++)
        rest[t] = count == vocab ? BT_LEVEL_NONE : 1500;
    for (int top = 0; top < 2; top++) {
        bt_real *z = random_reals(r->arena, n * vocab, -10.0, 10.0, "logits");
        bt_real *other = random_reals(r->arena, n * vocab, -10.0, 10.0, "teacher");
        const struct bt_top_rows rows = {count, ids, levels, rest};
        if (top)
            r->k.teacher_top(ce, kl, z, &rows, labels, n, vocab, &l);
        else
            r->k.teacher_logits(ce, kl, z, other, labels, n, vocab, &l);
        for (size_t t = 0; t < n; t++) {
            note(r, "teacher", ce[t], sum);
            note(r, "teacher", kl[t], 4.0 * sum);
            for (size_t i = 0; i < vocab; i++)
                note(r, "teacher", (double)z[t * vocab + i], sum + 14.0 * u);
        }
    }
}

/* Sums are in double; a gradient is a few operations on numbers below 2. */
static void hidden_loss(struct run *r, size_t n, size_t d)
{
    for (int type = BT_HIDDEN_MSE; type <= BT_HIDDEN_INNER_PRODUCT; type++) {
        const bt_real *s = reals(r, n * d, "s"), *t = reals(r, n * d, "t");
        bt_real *ds = reals(r, n * d, "ds");
        double *loss = bt_arena_take(r->arena, n, sizeof *loss);
        r->k.hidden_loss(loss, ds, s, t, NULL, 1, n, d, (enum bt_hidden_loss)type, (bt_real)0.5f);
        for (size_t i = 0; i < n; i++)
            note(r, "hidden_loss", loss[i], 1e-12 * (1.0 + fabs(loss[i])));
        for (size_t i = 0; i < n * d; i++)
            note(r, "hidden_loss", (double)ds[i], 4.0 * u * (1.0 + fabs((double)ds[i])));
    }
}

/* A score of dim products below 1 is off by at most e, a log of a softmax by 2 e and what its sum and exponential add;
 * both sides make a loss, which gathers seq of such errors weighted by probabilities. */
static void relation(struct run *r, size_t rows, size_t seq, size_t groups, size_t dim, bt_real log_floor)
{
    const size_t n = rows * seq, pairs = n * groups;
    const double rate = 1.0 / sqrt((double)dim), e = (double)dim * rate * ((double)dim + 2.0) * u;
    const double p = 4.0 * e + 2.0 * ((double)seq + 8.0) * u;
    const struct bt_relation_shape s = {.rows = rows,
                                        .seq = seq,
                                        .groups = groups,
                                        .dim = dim,
                                        .teacher_dim = dim,
                                        .rate = (bt_real)(float)rate,
                                        .teacher_rate = (bt_real)(float)rate,
                                        .log_floor = log_floor,
                                        .first = first_seen(r->arena, rows, seq, SEES_DOCUMENTS)};
    bt_real *a = reals(r, pairs * dim, "a"), *t = reals(r, pairs * dim, "t"), *da = zeros(r, pairs * dim);
    double *loss = bt_arena_take(r->arena, pairs, sizeof *loss);
    r->k.relation(loss, da, zeros(r, 3 * pairs), a, t, &s, 1);
    for (size_t i = 0; i < pairs; i++)
        note(r, "relation", loss[i], 4.0 * p);
    for (size_t i = 0; i < pairs * dim; i++)
        note(r, "relation", (double)da[i], 8.0 * p);
    bt_real *length = zeros(r, pairs);
    r->k.unit_fwd(a, length, pairs, dim);
    r->k.unit_bwd(da, a, length, pairs, dim);
    for (size_t i = 0; i < pairs * dim; i++)
        note(r, "unit", (double)a[i], 2.0 * u);
    for (size_t i = 0; i < pairs; i++)
        note(r, "unit", (double)length[i], 2.0 * u * (double)length[i]);
}

static void elementwise(struct run *r, size_t n, size_t d)
{
    bt_real *y = reals(r, n * d, "y"), *x = reals(r, n * d, "x"), *b = reals(r, d, "b");
    r->k.combine(y, (bt_real)0.25f, y, (bt_real)0.5f, x, n * d);
    r->k.add(y, x, n * d);
    r->k.bias_fwd(y, b, n, d);
    for (size_t i = 0; i < n * d; i++)
        note(r, "add, bias_fwd", (double)y[i], 3.0 * u);
    r->k.bias_bwd(b, x, n, d);
    for (size_t c = 0; c < d; c++)
        note(r, "bias_bwd", (double)b[c], (double)((n + 1) * (n + 1)) * u);
    const double squares = r->k.sum_squares(x, n * d);
    note(r, "sum_squares", squares, (double)(n * d) * DBL_EPSILON * squares);
}

/* Moments are sums of two terms. sqrt halves the error of v; the step is bounded by lr * m / c1 / eps' with v >= 0.1.
 */
static void adamw(struct run *r, size_t n)
{
    const struct bt_adamw a = {.lr = 0.01f,
                               .beta1 = 0.9f,
                               .beta2 = 0.95f,
                               .eps = 1e-8f,
                               .weight_decay = 0.1f,
                               .gradient_scale = 0.7f,
                               .correction1 = 0.19f,
                               .correction2 = 0.0975f};
    bt_real *p = reals(r, n, "p"), *m = reals(r, n, "m"), *g = reals(r, n, "g");
    bt_real *v = random_reals(r->arena, n, 0.1, 1.0, "v");
    r->k.adamw(p, m, v, g, n, &a);
    for (size_t i = 0; i < n; i++) {
        note(r, "adamw", (double)m[i], 4.0 * u);
        note(r, "adamw", (double)v[i], 4.0 * u);
        note(r, "adamw", (double)p[i], 2.0 * u + 0.01 / 0.19 * 12.0 * u);
    }
}

/* Each case has the arena to itself. */
#define CASE(call)                                                                                                     \
    do {                                                                                                               \
        struct bt_arena arena_;                                                                                        \
        assert_true(bt_arena_init(&arena_, (size_t)64 << 20));                                                         \
        r.arena = &arena_;                                                                                             \
        call;                                                                                                          \
        bt_arena_finish(&arena_);                                                                                      \
    } while (0)

static const struct {
    size_t n, d;
} sizes[] = {{1, 1}, {3, 7}, {2, 31}, {5, 64}, {17, 80}, {33, 65}, {100, 576}, {300, 129}, {70, 1000}};

static const struct bt_attention_shape heads[] = {
    {1, 1, 1, 1, 8, NULL, 0, 0},    {2, 5, 2, 1, 16, NULL, 0, 0},   {1, 63, 3, 3, 8, NULL, 0, 0},
    {2, 64, 3, 1, 64, NULL, 0, 0},  {1, 65, 4, 2, 80, NULL, 0, 0},  {2, 130, 6, 2, 7, NULL, 0, 0},
    {1, 260, 2, 1, 64, NULL, 0, 0}, {1, 70, 2, 1, 300, NULL, 0, 0},
};

struct outcomes CASES_RUN(enum bt_cpu_level level) {
    struct run r = {.out = {NULL, 0}};
#ifdef CASES_DOUBLE
    (void)level;
    bt_kernels_fill_double(&r.k);
#else
    bt_kernels_init(&r.k, level);
#endif
    for (size_t i = 0; i < BT_ARRAY_LEN(sizes); i++) {
        const size_t n = sizes[i].n, d = sizes[i].d;
        CASE(embedding(&r, n, d));
        CASE(rmsnorm(&r, n, d));
        CASE(rope(&r, n, 1 + n % 3, 2 * (1 + d / 5)));
        CASE(glu(&r, n * d, BT_ACT_SILU));
        CASE(glu(&r, n * d, BT_ACT_RELU2));
        CASE(cross_entropy(&r, n, d));
        CASE(teacher(&r, n, d));
        CASE(hidden_loss(&r, n, d));
        CASE(elementwise(&r, n, d));
        CASE(adamw(&r, n * d));
    }
    CASE(cross_entropy(&r, 4, 3001));
    CASE(teacher(&r, 4, 3001));
    CASE(relation(&r, 1, 1, 1, 4, (bt_real)-INFINITY));
    CASE(relation(&r, 2, 70, 2, 16, (bt_real)-INFINITY));
    CASE(relation(&r, 1, 130, 3, 33, (bt_real)-3.0f));
    CASE(relation(&r, 1, 65, 1, 260, (bt_real)-INFINITY));
    for (size_t i = 0; i < BT_ARRAY_LEN(heads); i++)
        for (int sees = 0; sees < SEES_COUNT; sees++)
            CASE(attention(&r, heads[i], (enum visible)sees));
    return r.out;
}
