/* kernels/adamw.c - AdamW with decoupled decay (Loshchilov and Hutter 2019), in the order of operations
 *
 *   p <- p (1 - lr wd)
 *   m <- b1 m + (1 - b1) g      v <- b2 v + (1 - b2) g^2
 *   p <- p - lr (m / c1) / (sqrt(v / c2) + eps)          c = 1 - b^t */
#include "kernels/exp.h"

/* Elements to a piece of work. */
enum { PIECE = 16384 };

static void step(bt_real *p, bt_real *m, bt_real *v, const bt_real *g, size_t n, const struct bt_adamw *a)
{
    const bt_real keep = (bt_real)1 - (bt_real)a->lr * (bt_real)a->weight_decay;
    const bt_real beta1 = (bt_real)a->beta1, beta2 = (bt_real)a->beta2;
    const bt_real rest1 = (bt_real)1 - beta1, rest2 = (bt_real)1 - beta2;
    const bt_real lr = (bt_real)a->lr, eps = (bt_real)a->eps, scale = (bt_real)a->gradient_scale;
    const bt_real c1 = (bt_real)a->correction1, c2 = (bt_real)a->correction2;
#pragma omp simd
    for (size_t i = 0; i < n; i++) {
        const bt_real grad = g[i] * scale;
        const bt_real mean = beta1 * m[i] + rest1 * grad;
        const bt_real square = beta2 * v[i] + rest2 * (grad * grad);
        m[i] = mean;
        v[i] = square;
        p[i] = p[i] * keep - lr * (mean / c1) / (bt_sqrt(square / c2) + eps);
    }
}

void BT_FN(adamw)(bt_real *p, bt_real *m, bt_real *v, const bt_real *g, size_t n, const struct bt_adamw *a)
{
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < n; i += PIECE)
        step(p + i, m + i, v + i, g + i, BT_MIN((size_t)PIECE, n - i), a);
}
