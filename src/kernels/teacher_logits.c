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
    double plain; /* sum of exp(z - high) */
    double soft;  /* the same at the temperature */
    bool broken;  /* a logit is -infinity: it takes no part in a sum, but it means that training has diverged */
};

static bt_real rate_of(const struct bt_logit_loss *l)
{
    return (bt_real)(1.0 / (double)l->temperature);
}

static struct student read_student(const bt_real *z, size_t vocab, bt_real rate)
{
    const struct range range = row_range(z, vocab);
    struct student s = {.high = range.high, .broken = isinf(range.low)};
    s.plain = sum_exp(NULL, z, range.high, 1, vocab);
    s.soft = rate == 1 ? s.plain : sum_exp(NULL, z, range.high, rate, vocab);
    return s;
}

static double label_loss(const struct student *s, double at_label)
{
    return s->broken ? (double)NAN : log(s->plain) + ((double)s->high - at_label);
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

/* z <- plain exp(z - high) + soft exp(rate (z - high)) - teacher e; e may be NULL. */
static void row_gradient(bt_real *z, const bt_real *e, bt_real high, bt_real rate, size_t vocab, struct factors f)
{
    if (rate == 1) {
        const bt_real both = f.plain + f.soft;
#pragma omp simd
        for (size_t i = 0; i < vocab; i++)
            z[i] = both * bt_exp(z[i] - high);
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
    const struct student s = read_student(z, vocab, rate);
    const double scale = (double)l->teacher_scale * (double)rate;
    double cross;
    *ce = label_loss(&s, (double)z[label]);
    const double teacher = read_teacher(t, z, &s, vocab, rate, &cross);
    *kl = s.broken ? (double)NAN : cross / teacher - log(teacher) + log(s.soft);
    row_gradient(z, t, s.high, rate, vocab,
                 (struct factors){(bt_real)((double)l->label_scale / s.plain), (bt_real)(scale / s.soft),
                                  (bt_real)(scale / teacher)});
    z[label] -= l->label_scale;
}

/* A row that has no label. */
static void empty_row(double *ce, double *kl, bt_real *z, size_t vocab)
{
    *ce = *kl = 0.0;
    for (size_t i = 0; i < vocab; i++)
        z[i] = 0;
}

void BT_FN(teacher_logits)(double *ce, double *kl, bt_real *logits, bt_real *teacher, const int32_t *labels, size_t n,
                           size_t vocab, const struct bt_logit_loss *l)
{
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < n; i++) {
        bt_real *z = logits + i * vocab;
        if (labels[i] == BT_IGNORE_LABEL)
            empty_row(&ce[i], &kl[i], z, vocab);
        else
            full_row(&ce[i], &kl[i], z, teacher + i * vocab, (size_t)labels[i], vocab, l);
    }
}

/* The ids that are kept of one row, with both sides' mass. */
struct kept {
    const int32_t *ids;
    size_t count;
    double p[BT_TOP_MAX];      /* the teacher's, all and the rest summing to 1 */
    bt_real z[BT_TOP_MAX];     /* the student's logits */
    double rest, student_rest; /* the teacher's mass, the student's sum of exponentials */
};

static void read_kept(struct kept *k, const struct bt_top_rows *top, size_t row)
{
    const uint16_t *levels = top->levels + row * top->count;
    double sum = 0.0;
    k->ids = top->ids + row * top->count;
    k->count = top->count;
    for (size_t i = 0; i < k->count; i++)
        sum += k->p[i] = exp(-(double)levels[i] * BT_LEVEL_STEP);
    k->rest = top->rest[row] == BT_LEVEL_NONE ? 0.0 : exp(-(double)top->rest[row] * BT_LEVEL_STEP);
    sum += k->rest;
    for (size_t i = 0; i < k->count; i++)
        k->p[i] /= sum;
    k->rest /= sum;
}

/* Takes the kept logits out of the row, so that the sum over it is that of the rest alone. */
static void split_student(struct kept *k, bt_real *z, struct student *s, size_t vocab, bt_real rate)
{
    for (size_t i = 0; i < k->count; i++) {
        k->z[i] = z[k->ids[i]];
        z[k->ids[i]] = (bt_real)-INFINITY;
    }
    /* A rest below this has left the range of float exponentials; its gradient is that of the bound. */
    k->student_rest = fmax(sum_exp(NULL, z, s->high, rate, vocab), 1e-30);
    s->soft = k->rest > 0.0 ? k->student_rest : k->student_rest - 1e-30;
    for (size_t i = 0; i < k->count; i++)
        s->soft += (double)bt_exp((k->z[i] - s->high) * rate);
}

static double kept_divergence(const struct kept *k, const struct student *s, bt_real rate)
{
    const double lse = log(s->soft);
    double sum = 0.0;
    for (size_t i = 0; i < k->count; i++)
        sum += k->p[i] * (log(k->p[i]) - ((double)((k->z[i] - s->high) * rate) - lse));
    if (k->rest > 0.0)
        sum += k->rest * (log(k->rest) - (log(k->student_rest) - lse));
    return s->broken ? (double)NAN : sum;
}

static void top_row(double *ce, double *kl, bt_real *z, const struct bt_top_rows *top, size_t row, size_t label,
                    size_t vocab, const struct bt_logit_loss *l)
{
    const bt_real rate = rate_of(l);
    const double scale = (double)l->teacher_scale * (double)rate;
    struct student s = read_student(z, vocab, rate);
    struct kept k;
    *ce = label_loss(&s, (double)z[label]);
    read_kept(&k, top, row);
    split_student(&k, z, &s, vocab, rate);
    *kl = kept_divergence(&k, &s, rate);
    const double plain = (double)l->label_scale / s.plain, soft = scale / s.soft;
    row_gradient(z, NULL, s.high, rate, vocab,
                 (struct factors){(bt_real)plain, (bt_real)(soft - scale * k.rest / k.student_rest), 0});
    for (size_t i = 0; i < k.count; i++)
        z[k.ids[i]] = (bt_real)(plain * (double)bt_exp(k.z[i] - s.high) +
                                soft * (double)bt_exp((k.z[i] - s.high) * rate) - scale * k.p[i]);
    z[label] -= l->label_scale;
}

void BT_FN(teacher_top)(double *ce, double *kl, bt_real *logits, const struct bt_top_rows *top, const int32_t *labels,
                        size_t n, size_t vocab, const struct bt_logit_loss *l)
{
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < n; i++) {
        bt_real *z = logits + i * vocab;
        if (labels[i] == BT_IGNORE_LABEL)
            empty_row(&ce[i], &kl[i], z, vocab);
        else
            top_row(&ce[i], &kl[i], z, top, i, (size_t)labels[i], vocab, l);
    }
}
