/* kernels/cross_entropy.c - the loss of a row of logits, and its gradient in place of them:
 *
 *   loss = log(sum exp(z - max)) + max - z[label]      dz = softmax(z) - onehot(label) */
#include "kernels/softmax.h"

/* Returns the loss of a row that has a label. */
static double row_loss(bt_real *z, size_t label, size_t vocab, bt_real scale)
{
    const struct range range = row_range(z, vocab);
    const double at_label = (double)z[label];
    const double sum = sum_exp(scale != 0 ? z : NULL, z, range.high, 1, vocab);
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
