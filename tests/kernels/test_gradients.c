/* Every backward pass against central differences of its forward, in double. */
#include "support.h"

#include <math.h>
#include <string.h>

#include "gradient_check.h"

static double *reals(size_t n, const char *name)
{
    return random_reals(&arena, n, -1.0, 1.0, name);
}

static const struct {
    size_t n, d;
} sizes[] = {{1, 1}, {3, 7}, {5, 64}, {17, 80}, {70, 33}, {9, 300}};

struct norm {
    size_t n, d;
    double *x, *gain, *y, *rstd, *dy;
};

static double norm_loss(void *context)
{
    struct norm *c = context;
    k.rmsnorm_fwd(c->y, c->rstd, c->x, c->gain, c->n, c->d, 1e-5);
    return dot(c->y, c->dy, c->n * c->d);
}

static void test_rmsnorm(void **state)
{
    (void)state;
    for (size_t i = 0; i < BT_ARRAY_LEN(sizes); i++) {
        const size_t n = sizes[i].n, d = sizes[i].d;
        struct norm c = {n, d, reals(n * d, "x"), reals(d, "gain"), zeros(n * d), zeros(n), reals(n * d, "dy")};
        double *dx = zeros(n * d), *dgain = zeros(d), *inplace = zeros(n * d), *added = zeros(n * d);
        norm_loss(&c);
        k.rmsnorm_bwd(dx, 0, dgain, c.dy, c.x, c.gain, c.rstd, n, d);
        check_gradient("rmsnorm dx", norm_loss, &c, c.x, n * d, dx);
        check_gradient("rmsnorm dgain", norm_loss, &c, c.gain, d, dgain);

        memcpy(inplace, c.dy, n * d * sizeof *inplace);
        norm_loss(&c);
        k.rmsnorm_bwd(inplace, 0, zeros(d), inplace, c.x, c.gain, c.rstd, n, d);
        assert_memory_equal(inplace, dx, n * d * sizeof *dx);

        for (size_t j = 0; j < n * d; j++)
            added[j] = 1.0;
        memset(dgain, 0, d * sizeof *dgain);
        k.rmsnorm_bwd(added, 1, dgain, c.dy, c.x, c.gain, c.rstd, n, d);
        for (size_t j = 0; j < n * d; j++)
            assert_true(fabs(added[j] - 1.0 - dx[j]) <= 1e-14 * (1.0 + fabs(dx[j])));
    }
}

struct rope {
    size_t n, heads, dim;
    double *x, *turned, *cosine, *sine, *dy;
    int32_t *position;
};

static double rope_loss(void *context)
{
    struct rope *c = context;
    memcpy(c->turned, c->x, c->n * c->heads * c->dim * sizeof *c->x);
    k.rope_fwd(c->turned, c->cosine, c->sine, c->position, c->n, c->heads, c->dim);
    return dot(c->turned, c->dy, c->n * c->heads * c->dim);
}

static void test_rope(void **state)
{
    static const size_t dims[] = {2, 8, 16, 64, 80};
    (void)state;
    for (size_t i = 0; i < BT_ARRAY_LEN(dims); i++) {
        const size_t n = 7, heads = 1 + i % 3, dim = dims[i], all = n * heads * dim, positions = 100;
        struct rope c = {n,
                         heads,
                         dim,
                         reals(all, "x"),
                         zeros(all),
                         zeros(positions * dim),
                         zeros(positions * dim),
                         reals(all, "dy"),
                         random_ints(&arena, n, positions, "position")};
        for (size_t p = 0; p < positions; p++)
            for (size_t j = 0; j < dim / 2; j++) {
                const double angle = (double)p * pow(10000.0, -2.0 * (double)j / (double)dim);
                c.cosine[p * (dim / 2) + j] = cos(angle);
                c.sine[p * (dim / 2) + j] = sin(angle);
            }
        double *dx = zeros(all);
        memcpy(dx, c.dy, all * sizeof *dx);
        k.rope_bwd(dx, c.cosine, c.sine, c.position, n, heads, dim);
        check_gradient("rope dx", rope_loss, &c, c.x, all, dx);
    }
}

struct glu {
    size_t n;
    enum bt_activation act;
    double *gate, *up, *f, *df;
};

static double glu_loss(void *context)
{
    struct glu *c = context;
    k.glu_fwd(c->f, c->gate, c->up, c->n, c->act);
    return dot(c->f, c->df, c->n);
}

static void test_glu(void **state)
{
    (void)state;
    for (size_t i = 0; i < BT_ARRAY_LEN(sizes); i++)
        for (int act = BT_ACT_SILU; act <= BT_ACT_RELU2; act++) {
            const size_t n = sizes[i].n * sizes[i].d;
            struct glu c = {
                n,        (enum bt_activation)act, random_reals(&arena, n, -4.0, 4.0, "gate"), reals(n, "up"),
                zeros(n), reals(n, "df")};
            double *dgate = zeros(n), *dup = zeros(n), *over = zeros(n), *other = zeros(n);
            k.glu_bwd(dgate, dup, c.df, c.gate, c.up, n, c.act);
            check_gradient("glu dgate", glu_loss, &c, c.gate, n, dgate);
            check_gradient("glu dup", glu_loss, &c, c.up, n, dup);
            memcpy(over, c.df, n * sizeof *over);
            k.glu_bwd(over, other, over, c.gate, c.up, n, c.act);
            assert_memory_equal(over, dgate, n * sizeof *over);
            memcpy(over, c.df, n * sizeof *over);
            k.glu_bwd(other, over, over, c.gate, c.up, n, c.act);
            assert_memory_equal(over, dup, n * sizeof *over);
        }
}

struct entropy {
    size_t n, vocab;
    double *z, *loss;
    int32_t *labels;
};

static double entropy_loss(void *context)
{
    struct entropy *c = context;
    double sum = 0.0;
    k.cross_entropy(c->loss, c->z, c->labels, c->n, c->vocab, 0.0);
    for (size_t t = 0; t < c->n; t++)
        sum += 0.25 * c->loss[t];
    return sum;
}

static void test_cross_entropy(void **state)
{
    (void)state;
    for (size_t i = 0; i < BT_ARRAY_LEN(sizes); i++) {
        const size_t n = sizes[i].n, vocab = sizes[i].d;
        struct entropy c = {n, vocab, reals(n * vocab, "z"), zeros(n), random_ints(&arena, n, vocab, "labels")};
        for (size_t t = 1; t < n; t += 4)
            c.labels[t] = BT_IGNORE_LABEL;
        double *dz = zeros(n * vocab);
        memcpy(dz, c.z, n * vocab * sizeof *dz);
        k.cross_entropy(c.loss, dz, c.labels, n, vocab, 0.25);
        check_gradient("cross entropy", entropy_loss, &c, c.z, n * vocab, dz);
        for (size_t t = 1; t < n; t += 4)
            for (size_t j = 0; j < vocab; j++)
                assert_true(dz[t * vocab + j] == 0.0);
    }
}

struct table {
    size_t n, d;
    double *rows, *x, *dx;
    int32_t *ids;
};

static double embedding_loss(void *context)
{
    struct table *c = context;
    k.embedding_fwd(c->x, c->rows, c->ids, c->n, c->d);
    return dot(c->x, c->dx, c->n * c->d);
}

static double bias_loss(void *context)
{
    struct table *c = context;
    memset(c->x, 0, c->n * c->d * sizeof *c->x);
    k.bias_fwd(c->x, c->rows, c->n, c->d);
    return dot(c->x, c->dx, c->n * c->d);
}

static void test_embedding_and_bias(void **state)
{
    (void)state;
    for (size_t i = 0; i < BT_ARRAY_LEN(sizes); i++) {
        const size_t n = sizes[i].n, d = sizes[i].d, vocab = 1 + n / 2;
        struct table c = {
            n, d, reals(vocab * d, "table"), zeros(n * d), reals(n * d, "dx"), random_ints(&arena, n, vocab, "ids")};
        double *dtable = zeros(vocab * d), *db = zeros(d);
        k.embedding_bwd(dtable, c.dx, c.ids, n, d);
        check_gradient("embedding", embedding_loss, &c, c.rows, vocab * d, dtable);
        k.bias_bwd(db, c.dx, n, d);
        check_gradient("bias", bias_loss, &c, c.rows, d, db);
    }
}

struct attend {
    struct bt_attention_shape shape;
    size_t queries;
    double *q, *k, *v, *out, *lse, *dout;
};

static double attend_loss(void *context)
{
    struct attend *c = context;
    k.attention_fwd(c->out, c->lse, c->q, c->k, c->v, &c->shape);
    return dot(c->out, c->dout, c->queries);
}

static void check_attention(struct bt_attention_shape s, enum visible sees)
{
    const size_t n = s.rows * s.seq, queries = n * s.heads * s.head_dim, keys = n * s.kv_heads * s.head_dim;
    s.first = first_seen(&arena, s.rows, s.seq, sees);
    struct attend c = {s,
                       queries,
                       reals(queries, "q"),
                       reals(keys, "k"),
                       reals(keys, "v"),
                       zeros(queries),
                       zeros(n * s.heads),
                       reals(queries, "dout")};
    double *dq = zeros(queries), *dk = zeros(keys), *dv = zeros(keys);
    attend_loss(&c);
    k.attention_bwd(dq, dk, dv, zeros(n * s.heads), c.dout, c.out, c.lse, c.q, c.k, c.v, &s);
    check_gradient("attention dq", attend_loss, &c, c.q, queries, dq);
    check_gradient("attention dk", attend_loss, &c, c.k, keys, dk);
    check_gradient("attention dv", attend_loss, &c, c.v, keys, dv);
}

static void test_attention(void **state)
{
    static const struct bt_attention_shape shapes[] = {
        {1, 1, 1, 1, 8, NULL, 0, 0},   {2, 7, 2, 1, 16, NULL, 0, 0},   {1, 64, 3, 3, 8, NULL, 0, 0},
        {2, 65, 3, 1, 64, NULL, 0, 0}, {1, 210, 2, 1, 80, NULL, 0, 0}, {1, 67, 2, 1, 260, NULL, 0, 0},
    };
    (void)state;
    for (size_t i = 0; i < BT_ARRAY_LEN(shapes); i++)
        for (int sees = 0; sees < SEES_COUNT; sees++)
            check_attention(shapes[i], (enum visible)sees);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_rmsnorm, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rope, setup, teardown),
        cmocka_unit_test_setup_teardown(test_glu, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cross_entropy, setup, teardown),
        cmocka_unit_test_setup_teardown(test_embedding_and_bias, setup, teardown),
        cmocka_unit_test_setup_teardown(test_attention, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
