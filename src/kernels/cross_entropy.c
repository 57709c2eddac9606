/* kernels/cross_entropy.c - the loss of a row of logits, and its gradient in place of them:
 *
 *   loss = log(sum exp(z - max)) + max - z[label]      dz = softmax(z) - onehot(label) */
#include "kernels/exp.h"
#include "kernels/lanes.h"

struct range {
    bt_real low, high;
};

/* The smallest and the largest logit. NaN may or may not come through; the sum of exponentials shows it. */
static struct range row_range(const bt_real *z, size_t vocab)
{
    bt_real low[BT_LANES], high[BT_LANES];
    for (size_t j = 0; j < BT_LANES; j++)
        low[j] = high[j] = z[BT_MIN(j, vocab - 1)];
    size_t i = 0;
    for (; i + BT_LANES <= vocab; i += BT_LANES) {
#pragma omp simd
        for (size_t j = 0; j < BT_LANES; j++) {
            low[j] = z[i + j] < low[j] ? z[i + j] : low[j];
            high[j] = z[i + j] > high[j] ? z[i + j] : high[j];
        }
    }
    struct range all = {low[0], high[0]};
    for (size_t j = 0; i + j < vocab; j++) {
        low[j] = BT_MIN(low[j], z[i + j]);
        high[j] = z[i + j] > high[j] ? z[i + j] : high[j];
    }
    for (size_t j = 0; j < BT_LANES; j++) {
        all.low = BT_MIN(all.low, low[j]);
        all.high = high[j] > all.high ? high[j] : all.high;
    }
    return all;
}

/* The sum of e (which is z itself when the gradient is wanted) = exp(z - high): lanes over a block, blocks in double.
 */
static double sum_exp(bt_real *e, const bt_real *z, bt_real high, size_t vocab)
{
    enum { BLOCK = 1024 };
    bt_real part[BLOCK];
    double sum = 0.0;
    for (size_t begin = 0; begin < vocab; begin += BLOCK) {
        const size_t count = BT_MIN((size_t)BLOCK, vocab - begin);
        bt_real *to = e ? e + begin : part;
#pragma omp simd
        for (size_t i = 0; i < count; i++)
            to[i] = bt_exp(z[begin + i] - high);
        sum += bt_sum(to, count);
    }
    return sum;
}

/* Returns the loss of a row that has a label. */
static double row_loss(bt_real *z, size_t label, size_t vocab, bt_real scale)
{
    const struct range range = row_range(z, vocab);
    const double at_label = (double)z[label];
    const double sum = sum_exp(scale != 0 ? z : NULL, z, range.high, vocab);
    if (scale != 0) {
        const bt_real factor = (bt_real)((double)scale / sum);
#pragma omp simd
        for (size_t i = 0; i < vocab; i++)
            z[i] *= factor;
        z[label] -= scale;
    }
    /* A logit of -infinity takes no part in the sum, but it means that training has diverged. */
    if (isinf(range.low))
        return (double)NAN;
    return log(sum) + ((double)range.high - at_label);
}

void BT_FN(cross_entropy)(double *loss, bt_real *logits, const int32_t *labels, size_t n, size_t vocab,
                          bt_real dlogits_scale)
{
#pragma omp parallel for schedule(static)
    for (size_t t = 0; t < n; t++) {
        bt_real *row = logits + t * vocab;
        if (labels[t] != BT_IGNORE_LABEL) {
            loss[t] = row_loss(row, (size_t)labels[t], vocab, dlogits_scale);
            continue;
        }
        loss[t] = 0.0;
        if (dlogits_scale != 0)
            for (size_t i = 0; i < vocab; i++)
                row[i] = 0;
    }
}
