/* The losses against a teacher, in double: their values against the formulas written down plainly, their gradients
 * against central differences. */
#include "support.h"

#include <math.h>
#include <string.h>

#include "gradient_check.h"

static double *reals(size_t n, double size, const char *name)
{
    return random_reals(&arena, n, -size, size, name);
}

static double *copy_of(const double *x, size_t n)
{
    double *copy = zeros(n);
    memcpy(copy, x, n * sizeof *x);
    return copy;
}

static void check_near(const char *what, double got, double want)
{
    if (!(fabs(got - want) <= 1e-12 * (1.0 + fabs(want))))
        fail_msg("%s: got %.15g, want %.15g", what, got, want);
}

/* ---- logits ---- */

struct logits {
    size_t n, vocab;
    struct bt_logit_loss loss;
    double *z, *t, *ce, *kl;
    int32_t *labels;
    struct bt_top_rows top; /* count 0: all logits */
};

static double *run_logits(struct logits *c)
{
    double *z = copy_of(c->z, c->n * c->vocab);
    if (c->top.count)
        k.teacher_top(c->ce, c->kl, z, &c->top, c->labels, c->n, c->vocab, &c->loss);
    else
        k.teacher_logits(c->ce, c->kl, z, copy_of(c->t, c->n * c->vocab), c->labels, c->n, c->vocab, &c->loss);
    return z;
}

static double logits_loss(void *context)
{
    struct logits *c = context;
    double sum = 0.0;
    run_logits(c);
    for (size_t i = 0; i < c->n; i++)
        sum += c->loss.label_scale * c->ce[i] + c->loss.teacher_scale * c->kl[i];
    return sum;
}

static double log_softmax(const double *z, size_t vocab, double tau, size_t at)
{
    double sum = 0.0;
    for (size_t i = 0; i < vocab; i++)
        sum += exp(z[i] / tau);
    return z[at] / tau - log(sum);
}

static struct logits logits_case(size_t n, size_t vocab, double tau, double label_scale, double teacher_scale)
{
    struct logits c = {n,
                       vocab,
                       {tau, label_scale, teacher_scale},
                       reals(n * vocab, 4.0, "z"),
                       reals(n * vocab, 4.0, "t"),
                       zeros(n),
                       zeros(n),
                       random_ints(&arena, n, vocab, "labels"),
                       {0}};
    for (size_t i = 1; i < n; i += 4)
        c.labels[i] = BT_IGNORE_LABEL;
    return c;
}

static void check_unlabelled(const struct logits *c, const double *dz)
{
    for (size_t i = 1; i < c->n; i += 4)
        for (size_t v = 0; v < c->vocab; v++)
            assert_true(dz[i * c->vocab + v] == 0.0 && c->ce[i] == 0.0 && c->kl[i] == 0.0);
}

static void check_logit_values(const struct logits *c)
{
    for (size_t i = 0; i < c->n; i++) {
        const double *z = c->z + i * c->vocab, *t = c->t + i * c->vocab, tau = c->loss.temperature;
        double kl = 0.0;
        if (c->labels[i] == BT_IGNORE_LABEL)
            continue;
        for (size_t v = 0; v < c->vocab; v++) {
            const double p = log_softmax(t, c->vocab, tau, v);
            kl += exp(p) * (p - log_softmax(z, c->vocab, tau, v));
        }
        check_near("kl", c->kl[i], kl);
        check_near("ce", c->ce[i], -log_softmax(z, c->vocab, 1.0, (size_t)c->labels[i]));
    }
}

static void test_teacher_logits(void **state)
{
    static const double settings[][3] = {{1.0, 0.5, 0.25}, {5.0, 0.5, 2.0}, {0.7, 0.0, 1.0}, {2.0, 1.0, 0.0}};
    static const size_t vocabs[] = {1, 2, 61, 1100};
    (void)state;
    for (size_t s = 0; s < BT_ARRAY_LEN(settings); s++)
        for (size_t v = 0; v < BT_ARRAY_LEN(vocabs); v++) {
            struct logits c = logits_case(6, vocabs[v], settings[s][0], settings[s][1], settings[s][2]);
            const double *dz = run_logits(&c);
            check_unlabelled(&c, dz);
            check_logit_values(&c);
            check_gradient("teacher logits", logits_loss, &c, c.z, c.n * c.vocab, dz);
        }
}

/* The `count` likeliest ids of every row, as the teacher's own logits give them. */
static void keep_top(struct logits *c, size_t count)
{
    int32_t *ids = bt_arena_take(&arena, c->n * count, sizeof *ids);
    uint16_t *levels = bt_arena_take(&arena, c->n * count, sizeof *levels);
    uint16_t *rest = bt_arena_take(&arena, c->n, sizeof *rest);
    for (size_t i = 0; i < c->n; i++) {
        double *t = copy_of(c->t + i * c->vocab, c->vocab), left = 1.0;
        for (size_t j = 0; j < count; j++) {
            size_t best = 0;
            for (size_t v = 1; v < c->vocab; v++)
                best = t[v] > t[best] ? v : best;
            const double p = log_softmax(c->t + i * c->vocab, c->vocab, c->loss.temperature, best);
            t[best] = -INFINITY;
            left -= exp(p);
            ids[i * count + j] = (int32_t)best;
            levels[i * count + j] = (uint16_t)lrint(-p / BT_LEVEL_STEP);
        }
        rest[i] = count == c->vocab ? BT_LEVEL_NONE : (uint16_t)lrint(-log(left) / BT_LEVEL_STEP);
    }
    c->top = (struct bt_top_rows){count, ids, levels, rest};
}

static void test_teacher_top(void **state)
{
    static const double settings[][3] = {{1.0, 0.5, 0.25}, {5.0, 0.5, 2.0}, {0.7, 0.0, 1.0}};
    static const size_t sizes[][2] = {{2, 1}, {61, 8}, {61, 61}, {1100, 64}};
    (void)state;
    for (size_t s = 0; s < BT_ARRAY_LEN(settings); s++)
        for (size_t v = 0; v < BT_ARRAY_LEN(sizes); v++) {
            struct logits c = logits_case(6, sizes[v][0], settings[s][0], settings[s][1], settings[s][2]);
            run_logits(&c);
            const double *full = copy_of(c.kl, c.n);
            keep_top(&c, sizes[v][1]);
            const double *dz = run_logits(&c);
            check_unlabelled(&c, dz);
            check_gradient("teacher top", logits_loss, &c, c.z, c.n * c.vocab, dz);
            /* The bound of docs/numerics.md section 8. */
            for (size_t i = 0; i < c.n; i++) {
                const double rounding = (2.0 + full[i]) * 0x1p-11;
                assert_true(c.kl[i] <= full[i] + rounding && c.kl[i] >= -1e-12);
                if (c.top.count == c.vocab)
                    assert_true(fabs(c.kl[i] - full[i]) <= rounding);
            }
        }
}

/* ---- hidden states ---- */

struct hidden {
    size_t rows, seq, d;
    enum bt_hidden_loss type;
    double *s, *t, *loss;
    int32_t *used;
};

static double hidden_sum(void *context)
{
    struct hidden *c = context;
    double sum = 0.0;
    k.hidden_loss(c->loss, NULL, c->s, c->t, c->used, c->rows, c->seq, c->d, c->type, 0.0);
    for (size_t i = 0; i < c->rows * c->seq; i++)
        sum += 0.75 * c->loss[i];
    return sum;
}

static double plain_hidden(const struct hidden *c, size_t token)
{
    const double *s = c->s + token * c->d, *t = c->t + token * c->d;
    double ss = 0.0, tt = 0.0, st = 0.0, mse = 0.0, unit = 0.0;
    for (size_t i = 0; i < c->d; i++) {
        ss += s[i] * s[i];
        tt += t[i] * t[i];
        st += s[i] * t[i];
        mse += (s[i] - t[i]) * (s[i] - t[i]);
    }
    for (size_t i = 0; i < c->d; i++)
        unit += pow(s[i] / sqrt(ss) - t[i] / sqrt(tt), 2.0);
    return c->type == BT_HIDDEN_MSE              ? mse / (double)c->d
           : c->type == BT_HIDDEN_MSE_NORMALIZED ? unit / (double)c->d
                                                 : -st / sqrt(ss) / sqrt(tt);
}

static void check_hidden(size_t d, enum bt_hidden_loss type, bool padded)
{
    const size_t rows = 3, seq = 4, n = rows * seq;
    struct hidden c = {rows, seq, d, type, reals(n * d, 1.0, "s"), reals(n * d, 1.0, "t"), zeros(n), NULL};
    double *ds = zeros(n * d);
    int32_t used[] = {4, 2, 0};
    if (padded)
        c.used = used;
    k.hidden_loss(c.loss, ds, c.s, c.t, c.used, rows, seq, d, type, 0.75);
    for (size_t i = 0; i < n; i++) {
        const bool padding = padded && i % seq >= (size_t)used[i / seq];
        check_near("hidden", c.loss[i], padding ? 0.0 : plain_hidden(&c, i));
        for (size_t j = 0; padding && j < d; j++)
            assert_true(ds[i * d + j] == 0.0);
    }
    check_gradient("hidden", hidden_sum, &c, c.s, n * d, ds);
    const double *once = copy_of(ds, n * d);
    k.hidden_loss(c.loss, ds, c.s, c.t, c.used, rows, seq, d, type, 0.75);
    for (size_t i = 0; i < n * d; i++)
        assert_true(fabs(ds[i] - 2.0 * once[i]) <= 1e-14); /* it adds */
}

static void test_hidden(void **state)
{
    static const size_t widths[] = {2, 7, 64, 100};
    (void)state;
    for (size_t i = 0; i < BT_ARRAY_LEN(widths); i++)
        for (int type = BT_HIDDEN_MSE; type <= BT_HIDDEN_INNER_PRODUCT; type++)
            for (int padded = 0; padded < 2; padded++)
                check_hidden(widths[i], (enum bt_hidden_loss)type, padded);
}

/* A vector of zeros has no direction: the losses and gradients are those of the bound. */
static void test_hidden_of_nothing(void **state)
{
    double s[3] = {0.0, 0.0, 0.0}, t[3] = {1.0, 2.0, 2.0}, ds[3] = {0.0, 0.0, 0.0}, loss;
    (void)state;
    k.hidden_loss(&loss, ds, s, t, NULL, 1, 1, 3, BT_HIDDEN_MSE_NORMALIZED, 1.0);
    check_near("mse of zeros", loss, 1.0 / 3.0);
    for (size_t i = 0; i < 3; i++)
        check_near("its gradient", ds[i] * 1e-12, -2.0 / 3.0 * t[i] / 3.0);
    k.hidden_loss(&loss, ds, s, t, NULL, 1, 1, 3, BT_HIDDEN_INNER_PRODUCT, 0.0);
    assert_true(loss == 0.0);
}

/* ---- relations ---- */

struct related {
    struct bt_relation_shape shape;
    double *a, *t, *loss, *stats;
};

static size_t pairs_of(const struct related *c)
{
    return c->shape.rows * c->shape.seq * c->shape.groups;
}

static double related_sum(void *context)
{
    struct related *c = context;
    double sum = 0.0;
    k.relation(c->loss, NULL, c->stats, c->a, c->t, &c->shape, 0.0);
    for (size_t i = 0; i < pairs_of(c); i++)
        sum += 0.75 * c->loss[i];
    return sum;
}

/* The relation of token i to token j, one side, held at the floor. */
static double plain_relation(const struct related *c, const double *x, size_t dim, double rate, size_t i, size_t j)
{
    const size_t groups = c->shape.groups, seq = c->shape.seq, row = i / groups / seq * seq;
    double sum = 0.0, at = 0.0;
    for (size_t other = 0; other < seq; other++) {
        const size_t to = (row + other) * groups + i % groups;
        double score = 0.0;
        if (c->shape.first[row + other] != c->shape.first[i / groups])
            continue;
        for (size_t d = 0; d < dim; d++)
            score += x[i * dim + d] * x[to * dim + d];
        sum += exp(rate * score);
        at = other == j ? exp(rate * score) : at;
    }
    return fmax(at / sum, exp(c->shape.log_floor));
}

static double plain_related(const struct related *c, size_t i)
{
    const struct bt_relation_shape *s = &c->shape;
    const size_t token = i / s->groups, row = token / s->seq * s->seq;
    double sum = 0.0;
    for (size_t j = 0; j < s->seq; j++) {
        if (s->first[row + j] != s->first[token])
            continue;
        const double t = plain_relation(c, c->t, s->teacher_dim, s->teacher_rate, i, j);
        sum += t * log(t / plain_relation(c, c->a, s->dim, s->rate, i, j));
    }
    return sum;
}

static void check_relation(struct bt_relation_shape s, bool documents)
{
    const size_t n = s.rows * s.seq, pairs = n * s.groups;
    s.first = documents ? first_seen(&arena, s.rows, s.seq, SEES_DOCUMENTS)
                        : memset(bt_arena_take(&arena, n, sizeof(int32_t)), 0, n * sizeof(int32_t));
    struct related c = {s, reals(pairs * s.dim, 1.0, "a"), reals(pairs * s.teacher_dim, 1.0, "t"), zeros(pairs),
                        zeros(3 * pairs)};
    double *da = zeros(pairs * s.dim);
    k.relation(c.loss, da, c.stats, c.a, c.t, &s, 0.75);
    for (size_t i = 0; i < pairs; i += 1 + i / 50)
        check_near("relation", c.loss[i], plain_related(&c, i));
    check_gradient("relation", related_sum, &c, c.a, pairs * s.dim, da);
}

static void test_relation(void **state)
{
    static const struct bt_relation_shape shapes[] = {
        {1, 1, 1, 4, 4, 0.5, 0.5, -INFINITY, NULL},      {2, 12, 4, 8, 8, 0.35, 0.35, -INFINITY, NULL},
        {1, 65, 2, 16, 8, 0.25, 0.5, -INFINITY, NULL},   {2, 130, 1, 20, 33, 0.2, 0.3, -INFINITY, NULL},
        {1, 70, 1, 260, 300, 0.1, 0.1, -INFINITY, NULL}, {2, 70, 2, 16, 16, 2.0, 2.0, -5.0, NULL},
    };
    (void)state;
    for (size_t i = 0; i < BT_ARRAY_LEN(shapes); i++)
        for (int documents = 0; documents < 2; documents++)
            check_relation(shapes[i], documents);
}

struct unit {
    size_t n, d;
    double *x, *dy;
};

static double unit_sum(void *context)
{
    const struct unit *c = context;
    double *y = copy_of(c->x, c->n * c->d), sum = 0.0;
    k.unit_fwd(y, zeros(c->n), c->n, c->d);
    for (size_t i = 0; i < c->n * c->d; i++)
        sum += y[i] * c->dy[i];
    return sum;
}

static void test_unit(void **state)
{
    struct unit c = {5, 33, reals(165, 1.0, "x"), reals(165, 1.0, "dy")};
    double *y = copy_of(c.x, 165), *dx = copy_of(c.dy, 165), *length = zeros(5), none[2] = {0.0, 0.0};
    (void)state;
    k.unit_fwd(y, length, c.n, c.d);
    k.unit_bwd(dx, y, length, c.n, c.d);
    check_gradient("unit", unit_sum, &c, c.x, 165, dx);
    k.unit_fwd(none, length, 1, 2);
    assert_true(none[0] == 0.0 && none[1] == 0.0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_teacher_logits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_teacher_top, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hidden, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hidden_of_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_relation, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unit, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
