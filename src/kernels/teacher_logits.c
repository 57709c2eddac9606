/* kernels/teacher_logits.c - rows of logits against their labels and against a teacher's, with the gradient in their
 * place (docs/numerics.md section 8):
 *
 *   kl = sum pT (log pT - log pS)      dz = teacher_scale / temperature * (pS - pT)
 *
 * pT, pS being the softmax at the temperature. A teacher of which only the likeliest ids are kept has one more id: all
 * the others together. The student's mass is gathered in the same way, and inside the rest both are taken to agree. */
#include "kernels/softmax.h"

/* The student's side of a row. */
struct student {
    bt_real high;
    double at_label;
    double plain; /* sum of exp(z - high) */
    double soft;  /* the same at the temperature */
    bool broken;  /* a logit is -infinity: it takes no part in a sum, but it means that training has diverged */
};

static bt_real rate_of(const struct bt_logit_loss *l)
{
    return (bt_real)(1.0 / (double)l->temperature);
}

static struct student look_at(const bt_real *z, size_t label, size_t vocab)
{
    const struct range range = row_range(z, vocab);
    return (struct student){.high = range.high, .at_label = (double)z[label], .broken = isinf(range.low)};
}

/* The sums. At a temperature of 1 the logits become their exponentials, which the gradient is made of; else it takes
 * two exponentials of each, and they stay. */
static void sum_up(struct student *s, bt_real *z, size_t vocab, bt_real rate)
{
    s->plain = sum_exp(rate == 1 ? z : NULL, z, s->high, 1, vocab);
    s->soft = rate == 1 ? s->plain : sum_exp(NULL, z, s->high, rate, vocab);
}

static double label_loss(const struct student *s)
{
    return s->broken ? (double)NAN : log(s->plain) + ((double)s->high - s->at_label);
}

/* e = exp(rate (t - high)) in the place of t; returns its sum, and in `cross` that of e (rate (t - high) - u), u being
 * the student's exponents. */
static double read_teacher(bt_real *t, const bt_real *z, const struct student *s, size_t vocab, bt_real rate,
                           double *cross)
{
    enum { BLOCK = 1024 };
    bt_real difference[BLOCK];
    const bt_real high = row_range(t, vocab).high;
    double sum = 0.0;
    *cross = 0.0;
    for (size_t begin = 0; begin < vocab; begin += BLOCK) {
        const size_t count = BT_MIN((size_t)BLOCK, vocab - begin);
#pragma omp simd
        for (size_t i = 0; i < count; i++) {
            const bt_real of_teacher = (t[begin + i] - high) * rate, of_student = (z[begin + i] - s->high) * rate;
            difference[i] = of_teacher - of_student;
            t[begin + i] = bt_exp(of_teacher);
        }
        sum += bt_sum(t + begin, count);
        *cross += bt_dot(t + begin, difference, count);
    }
    return sum;
}

/* What the exponentials of a row are multiplied by in its gradient. */
struct factors {
    bt_real plain, soft, teacher;
};

/* z <- plain exp(z - high) + soft exp(rate (z - high)) - teacher e; e may be NULL. At a rate of 1 the exponentials
 * stand in z. */
static void row_gradient(bt_real *z, const bt_real *e, bt_real high, bt_real rate, size_t vocab, struct factors f)
{
    if (rate == 1) {
        const bt_real both = f.plain + f.soft;
#pragma omp simd
        for (size_t i = 0; i < vocab; i++)
            z[i] *= both;
    } else {
#pragma omp simd
        for (size_t i = 0; i < vocab; i++)
            z[i] = f.plain * bt_exp(z[i] - high) + f.soft * bt_exp((z[i] - high) * rate);
    }
    if (!e)
        return;
#pragma omp simd
    for (size_t i = 0; i < vocab; i++)
        z[i] -= f.teacher * e[i];
}

static void full_row(double *ce, double *kl, bt_real *z, bt_real *t, size_t label, size_t vocab,
                     const struct bt_logit_loss *l)
{
    const bt_real rate = rate_of(l);
    struct student s = look_at(z, label, vocab);
    const double scale = (double)l->teacher_scale * (double)rate;
    double cross;
    const double teacher = read_teacher(t, z, &s, vocab, rate, &cross);
    sum_up(&s, z, vocab, rate);
    *ce = label_loss(&s);
    *kl = s.broken ? (double)NAN : cross / teacher - log(teacher) + log(s.soft);
    row_gradient(z, t, s.high, rate, vocab,
                 (struct factors){(bt_real)((double)l->label_scale / s.plain), (bt_real)(scale / s.soft),
                                  (bt_real)(scale / teacher)});
    z[label] -= l->label_scale;
}

/* The ids that are kept of one row, with both sides' mass. */
struct kept {
    const int32_t *ids;
    size_t count;
    bt_real log_p[BT_TOP_MAX]; /* the teacher's, all and the rest summing to 1 */
    bt_real p[BT_TOP_MAX];
    double log_rest, rest;
    bt_real z[BT_TOP_MAX]; /* the student's logits */
    bt_real e[BT_TOP_MAX]; /* exp(rate (z - high)) */
    double student_rest;   /* the sum of all others' */
};

/* log p of a level, before the sum is made 1. */
static double log_of(uint16_t level)
{
    return -(double)level * BT_LEVEL_STEP;
}

static void read_kept(struct kept *k, const struct bt_top_rows *top, size_t row)
{
    const uint16_t *levels = top->levels + row * top->count;
    k->ids = top->ids + row * top->count;
    k->count = top->count;
    for (size_t i = 0; i < k->count; i++) {
        k->log_p[i] = (bt_real)log_of(levels[i]);
        k->p[i] = bt_exp(k->log_p[i]);
    }
    k->rest = top->rest[row] == BT_LEVEL_NONE ? 0.0 : exp(log_of(top->rest[row]));
    const double sum = bt_sum(k->p, k->count) + k->rest;
    const double log_sum = log(sum);
    k->log_rest = log_of(top->rest[row]) - log_sum;
    k->rest /= sum;
    for (size_t i = 0; i < k->count; i++) {
        k->log_p[i] -= (bt_real)log_sum;
        k->p[i] /= (bt_real)sum;
    }
}

/* Takes the kept logits out of the row, so that the sums over it are those of the rest alone. */
static void split_student(struct kept *k, bt_real *z, struct student *s, size_t vocab, bt_real rate)
{
    for (size_t i = 0; i < k->count; i++) {
        k->z[i] = z[k->ids[i]];
        k->e[i] = bt_exp((k->z[i] - s->high) * rate);
    }
    if (rate != 1)
        s->plain = sum_exp(NULL, z, s->high, 1, vocab);
    for (size_t i = 0; i < k->count; i++)
        z[k->ids[i]] = (bt_real)-INFINITY;
    const double others = sum_exp(rate == 1 ? z : NULL, z, s->high, rate, vocab);
    /* A rest below this has left the range of float exponentials; its gradient is that of the bound. */
    k->student_rest = fmax(others, 1e-30);
    s->soft = bt_sum(k->e, k->count) + (k->rest > 0.0 ? k->student_rest : others);
    if (rate == 1)
        s->plain = s->soft;
}

static double kept_divergence(const struct kept *k, const struct student *s, bt_real rate)
{
    const double lse = log(s->soft);
    double sum = 0.0;
    for (size_t i = 0; i < k->count; i++)
        sum += (double)k->p[i] * ((double)k->log_p[i] - ((double)((k->z[i] - s->high) * rate) - lse));
    if (k->rest > 0.0)
        sum += k->rest * (k->log_rest - (log(k->student_rest) - lse));
    return s->broken ? (double)NAN : sum;
}

static void top_row(double *ce, double *kl, bt_real *z, const struct bt_top_rows *top, size_t row, size_t label,
                    size_t vocab, const struct bt_logit_loss *l)
{
    const bt_real rate = rate_of(l);
    const double scale = (double)l->teacher_scale * (double)rate;
    struct student s = look_at(z, label, vocab);
    struct kept k;
    read_kept(&k, top, row);
    split_student(&k, z, &s, vocab, rate);
    *ce = label_loss(&s);
    *kl = kept_divergence(&k, &s, rate);
    const bt_real plain = (bt_real)((double)l->label_scale / s.plain), soft = (bt_real)(scale / s.soft);
    row_gradient(z, NULL, s.high, rate, vocab,
                 (struct factors){plain, (bt_real)(scale / s.soft - scale * k.rest / k.student_rest), 0});
    for (size_t i = 0; i < k.count; i++) {
        const bt_real e = rate == 1 ? k.e[i] : bt_exp(k.z[i] - s.high);
        z[k.ids[i]] = plain * e + soft * k.e[i] - (bt_real)scale * k.p[i];
    }
    z[label] -= l->label_scale;
}

/* A row that has no label. */
static void empty_row(double *ce, double *kl, bt_real *z, size_t vocab)
{
    *ce = *kl = 0.0;
    for (size_t i = 0; i < vocab; i++)
        z[i] = 0;
}

/* The teacher is `teacher` (n, vocab) or, where that is NULL, `top`. */
static void all_rows(double *ce, double *kl, bt_real *logits, bt_real *teacher, const struct bt_top_rows *top,
                     const int32_t *labels, size_t n, size_t vocab, const struct bt_logit_loss *l)
{
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < n; i++) {
        bt_real *z = logits + i * vocab;
        if (labels[i] == BT_IGNORE_LABEL)
            empty_row(&ce[i], &kl[i], z, vocab);
        else if (teacher)
            full_row(&ce[i], &kl[i], z, teacher + i * vocab, (size_t)labels[i], vocab, l);
        else
            top_row(&ce[i], &kl[i], z, top, i, (size_t)labels[i], vocab, l);
    }
}

void BT_FN(teacher_logits)(double *ce, double *kl, bt_real *logits, bt_real *teacher, const int32_t *labels, size_t n,
                           size_t vocab, const struct bt_logit_loss *l)
{
    all_rows(ce, kl, logits, teacher, NULL, labels, n, vocab, l);
}

void BT_FN(teacher_top)(double *ce, double *kl, bt_real *logits, const struct bt_top_rows *top, const int32_t *labels,
                        size_t n, size_t vocab, const struct bt_logit_loss *l)
{
    all_rows(ce, kl, logits, NULL, top, labels, n, vocab, l);
}
