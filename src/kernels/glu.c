/* kernels/glu.c - f = act(gate) * up.
 *
 *   silu(g)  = g sigmoid(g)     silu'(g)  = sigmoid(g) (1 + g (1 - sigmoid(g)))
 *   relu2(g) = max(g, 0)^2      relu2'(g) = 2 max(g, 0) */
#include "kernels/exp.h"

/* Elements to a piece of work. */
enum { PIECE = 8192 };

static inline bt_real sigmoid(bt_real g)
{
    return (bt_real)1 / ((bt_real)1 + bt_exp(-g));
}

/* Written so that NaN stays NaN. */
static inline bt_real relu(bt_real g)
{
    return g < 0 ? (bt_real)0 : g;
}

static void silu_fwd(bt_real *f, const bt_real *gate, const bt_real *up, size_t n)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++)
        f[i] = gate[i] * sigmoid(gate[i]) * up[i];
}

static void relu2_fwd(bt_real *f, const bt_real *gate, const bt_real *up, size_t n)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++) {
        const bt_real g = relu(gate[i]);
        f[i] = g * g * up[i];
    }
}

/* In both, df may be dgate or dup: element i is read before it is written. */
static void silu_bwd(bt_real *dgate, bt_real *dup, const bt_real *df, const bt_real *gate, const bt_real *up, size_t n)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++) {
        const bt_real d = df[i], g = gate[i], s = sigmoid(g);
        dgate[i] = d * up[i] * (s * ((bt_real)1 + g * ((bt_real)1 - s)));
        dup[i] = d * (g * s);
    }
}

static void relu2_bwd(bt_real *dgate, bt_real *dup, const bt_real *df, const bt_real *gate, const bt_real *up, size_t n)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++) {
        const bt_real d = df[i], g = relu(gate[i]);
        dgate[i] = d * up[i] * (g + g);
        dup[i] = d * (g * g);
    }
}

void BT_FN(glu_fwd)(bt_real *f, const bt_real *gate, const bt_real *up, size_t n, enum bt_activation act)
{
#pragma omp parallel for schedule(static) if (n > PIECE)
    for (size_t i = 0; i < n; i += PIECE) {
        const size_t count = BT_MIN((size_t)PIECE, n - i);
        if (act == BT_ACT_SILU)
            silu_fwd(f + i, gate + i, up + i, count);
        else
            relu2_fwd(f + i, gate + i, up + i, count);
    }
}

void BT_FN(glu_bwd)(bt_real *dgate, bt_real *dup, const bt_real *df, const bt_real *gate, const bt_real *up, size_t n,
                    enum bt_activation act)
{
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < n; i += PIECE) {
        const size_t count = BT_MIN((size_t)PIECE, n - i);
        if (act == BT_ACT_SILU)
            silu_bwd(dgate + i, dup + i, df + i, gate + i, up + i, count);
        else
            relu2_bwd(dgate + i, dup + i, df + i, gate + i, up + i, count);
    }
}
