/* Attention in tiles against attention as the formula says it: every pair of tokens, in double. */
#include "support.h"

#include <float.h>
#include <math.h>

#include "random_reals.h"

struct plain {
    double *out, *lse, *dq, *dk, *dv;
    double *p; /* (seq): the probabilities of one query */
};

/* One query: its probabilities, output, and what it gives to the gradients. */
static void plain_query(struct plain *r, const struct bt_attention_shape *s, size_t row, size_t i, size_t head,
                        const float *q, const float *k, const float *v, const float *dout)
{
    const size_t dim = s->head_dim, kv = head / (s->heads / s->kv_heads), at = (row * s->seq + i) * s->heads + head;
    const size_t low = (size_t)s->first[row * s->seq + i];
    const double scale = 1.0 / sqrt((double)dim);
    double max = -INFINITY, sum = 0.0, delta = 0.0;
    for (size_t j = low; j <= i; j++) {
        const float *key = k + ((row * s->seq + j) * s->kv_heads + kv) * dim;
        r->p[j] = 0.0;
        for (size_t d = 0; d < dim; d++)
            r->p[j] += (double)q[at * dim + d] * (double)key[d] * scale;
        max = fmax(max, r->p[j]);
    }
    for (size_t j = low; j <= i; j++)
        sum += r->p[j] = exp(r->p[j] - max);
    r->lse[at] = log(sum) + max;
    for (size_t j = low; j <= i; j++) {
        const size_t key = ((row * s->seq + j) * s->kv_heads + kv) * dim;
        r->p[j] /= sum;
        for (size_t d = 0; d < dim; d++) {
            r->out[at * dim + d] += r->p[j] * (double)v[key + d];
            r->dv[key + d] += r->p[j] * (double)dout[at * dim + d];
            delta += (double)dout[at * dim + d] * r->p[j] * (double)v[key + d];
        }
    }
    for (size_t j = low; j <= i; j++) {
        const size_t key = ((row * s->seq + j) * s->kv_heads + kv) * dim;
        double dp = 0.0;
        for (size_t d = 0; d < dim; d++)
            dp += (double)dout[at * dim + d] * (double)v[key + d];
        const double ds = r->p[j] * (dp - delta) * scale;
        for (size_t d = 0; d < dim; d++) {
            r->dq[at * dim + d] += ds * (double)k[key + d];
            r->dk[key + d] += ds * (double)q[at * dim + d];
        }
    }
}

/* Relative to the largest value: the sums here are of at most 200 terms of like size, so 64 rounding errors of the
 * largest are ample, while a wrong mask, scale or head is off by far more. */
static void check_near(const char *what, const float *got, const double *want, size_t n)
{
    double most = 1e-3;
    for (size_t i = 0; i < n; i++)
        most = fmax(most, fabs(want[i]));
    for (size_t i = 0; i < n; i++)
        if (!(fabs((double)got[i] - want[i]) <= 64.0 * (double)FLT_EPSILON * most))
            fail_msg("%s[%zu]: got %.9g, want %.9g, largest %.3g", what, i, (double)got[i], want[i], most);
}

static void check_shape(const struct bt_kernels *kernels, struct bt_attention_shape s, enum visible sees)
{
    struct bt_arena a;
    assert_true(bt_arena_init(&a, (size_t)64 << 20));
    const size_t n = s.rows * s.seq, lses = n * s.heads, queries = lses * s.head_dim,
                 keys = n * s.kv_heads * s.head_dim;
    s.first = first_seen(&a, s.rows, s.seq, sees);
    const float *q = random_reals(&a, queries, -2.0, 2.0, "q"), *k = random_reals(&a, keys, -2.0, 2.0, "k");
    const float *v = random_reals(&a, keys, -1.0, 1.0, "v"), *dout = random_reals(&a, queries, -1.0, 1.0, "dout");
    float *out = bt_arena_take(&a, queries, 4), *lse = bt_arena_take(&a, lses, 4), *delta = bt_arena_take(&a, lses, 4);
    float *dq = bt_arena_take(&a, queries, 4), *dk = bt_arena_take(&a, keys, 4), *dv = bt_arena_take(&a, keys, 4);
    struct plain r = {bt_arena_take(&a, queries, 8), bt_arena_take(&a, lses, 8), bt_arena_take(&a, queries, 8),
                      bt_arena_take(&a, keys, 8),    bt_arena_take(&a, keys, 8), bt_arena_take(&a, s.seq, 8)};
    for (size_t row = 0; row < s.rows; row++)
        for (size_t head = 0; head < s.heads; head++)
            for (size_t i = 0; i < s.seq; i++)
                plain_query(&r, &s, row, i, head, q, k, v, dout);
    kernels->attention_fwd(out, lse, q, k, v, &s);
    kernels->attention_bwd(dq, dk, dv, delta, dout, out, lse, q, k, v, &s);
    check_near("out", out, r.out, queries);
    check_near("lse", lse, r.lse, lses);
    check_near("dq", dq, r.dq, queries);
    check_near("dk", dk, r.dk, keys);
    check_near("dv", dv, r.dv, keys);
    bt_arena_finish(&a);
}

static void test_against_the_formula(void **state)
{
    static const struct bt_attention_shape shapes[] = {
        {1, 1, 1, 1, 1, NULL, 0, 0},    {2, 3, 2, 2, 5, NULL, 0, 0},     {1, 31, 4, 2, 8, NULL, 0, 0},
        {2, 64, 3, 1, 16, NULL, 0, 0},  {1, 65, 3, 3, 64, NULL, 0, 0},   {1, 127, 2, 1, 80, NULL, 0, 0},
        {2, 200, 6, 2, 64, NULL, 0, 0}, {1, 129, 2, 1, 256, NULL, 0, 0}, {1, 90, 1, 1, 530, NULL, 0, 0},
    };
    (void)state;
    for (int level = 0; level <= (int)bt_cpu_level(); level++) {
        struct bt_kernels kernels;
        bt_kernels_init(&kernels, (enum bt_cpu_level)level);
        for (size_t i = 0; i < BT_ARRAY_LEN(shapes); i++)
            for (int sees = 0; sees < SEES_COUNT; sees++)
                check_shape(&kernels, shapes[i], (enum visible)sees);
    }
}

/* What a token does not see must not matter, not even when it is not a number. */
static void test_unseen_tokens_do_not_matter(void **state)
{
    enum { SEQ = 100, DIM = 16, BEGIN = 40, END = 70 };
    struct bt_attention_shape s = {1, SEQ, 1, 1, DIM, NULL, 0, 0};
    struct bt_kernels kernels;
    struct bt_arena a;
    (void)state;
    bt_kernels_init(&kernels, BT_CPU_AVX512);
    assert_true(bt_arena_init(&a, (size_t)1 << 20));
    int32_t *first = bt_arena_take(&a, SEQ, sizeof *first);
    for (size_t i = 0; i < SEQ; i++)
        first[i] = i < BEGIN ? 0 : i < END ? BEGIN : END;
    s.first = first;
    float *q = random_reals(&a, SEQ * DIM, -1.0, 1.0, "q"), *v = random_reals(&a, SEQ * DIM, -1.0, 1.0, "v");
    float *k = random_reals(&a, SEQ * DIM, -1.0, 1.0, "k");
    float *out = bt_arena_take(&a, SEQ * DIM, 4), *want = bt_arena_take(&a, SEQ * DIM, 4);
    float *lse = bt_arena_take(&a, SEQ, 4);
    kernels.attention_fwd(want, lse, q, k, v, &s);
    for (size_t i = BEGIN * DIM; i < END * DIM; i++)
        q[i] = k[i] = 1000.0f;
    kernels.attention_fwd(out, lse, q, k, v, &s);
    assert_memory_equal(out, want, BEGIN * DIM * sizeof *out);
    assert_memory_equal(out + END * DIM, want + END * DIM, (SEQ - END) * DIM * sizeof *out);
    q[50 * DIM] = NAN;
    kernels.attention_fwd(out, lse, q, k, v, &s);
    assert_true(isnan(out[50 * DIM]) && isnan(lse[50]));
    assert_memory_equal(out, want, BEGIN * DIM * sizeof *out);
    bt_arena_finish(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_the_formula),
        cmocka_unit_test(test_unseen_tokens_do_not_matter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
