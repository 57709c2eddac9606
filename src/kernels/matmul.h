/* kernels/matmul.h - dense float32 matrix products behind one small interface.
 *
 * A product is cut into output tiles, each one single-threaded call of an implementation inside our own parallel loop.
 * Tiles depend on the shape alone unless every element has the same bits in any tile, and a sum over k is never split:
 * the same bits for any number of threads. (A threaded library product is not: its split of k moves with their
 * number.) */
#ifndef BT_KERNELS_MATMUL_H
#define BT_KERNELS_MATMUL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/cpu.h"

/* All row-major; leading dimensions are the row lengths of the operands as stored. */
enum bt_product {
    BT_NT, /* c (m, n) = a (m, k)  b (n, k)^T     forward:  y  = x w^T   */
    BT_NN, /* c (m, n) = a (m, k)  b (k, n)       backward: dx = dy w    */
    BT_TN, /* c (m, n) = a (k, m)^T b (k, n)      backward: dw = dy^T x  */
};

/* One tile, single-threaded. c = product, or c += product with accumulate. Does not allocate. c overlaps nothing. */
typedef void bt_gemm_fn(enum bt_product kind, size_t m, size_t n, size_t k, const float *a, size_t lda, const float *b,
                        size_t ldb, float *c, size_t ldc, bool accumulate);

struct bt_matmul {
    const char *name; /* "portable", "portable-avx2", "onednn" */
    bt_gemm_fn *gemm;
    bool free_tiles; /* every element of c has the same bits whatever tile it is computed in */
};

/* The project's own kernels: plain C, blocked, with OpenMP SIMD, compiled once per instruction set. Always there. */
const struct bt_matmul *bt_matmul_portable(enum bt_cpu_level level);
/* oneDNN's float32 GEMM, or NULL when the build is without it. */
const struct bt_matmul *bt_matmul_onednn(void);

/* The whole product, parallel over tiles, operands packed (lda etc. as the shape says). */
void bt_matmul_run(const struct bt_matmul *matmul, enum bt_product kind, size_t m, size_t n, size_t k, const float *a,
                   const float *b, float *c, bool accumulate);

#endif
