/* kernels/matmul_onednn.c - float32 products by oneDNN (2.6 to 3.x). */
#include "kernels/matmul.h"

#ifdef BT_HAVE_ONEDNN

#include <omp.h>
#include <oneapi/dnnl/dnnl.h>

/* oneDNN asks OpenMP how many threads there are and splits k by the answer. The answer it gets here is one, also where
 * no parallel region is active; omp_set_num_threads speaks for the calling thread alone. */
static void gemm(enum bt_product kind, size_t m, size_t n, size_t k, const float *a, size_t lda, const float *b,
                 size_t ldb, float *c, size_t ldc, bool accumulate)
{
    const int threads = omp_get_max_threads();
    omp_set_num_threads(1);
    const dnnl_status_t status =
        dnnl_sgemm(kind == BT_TN ? 'T' : 'N', kind == BT_NT ? 'T' : 'N', (dnnl_dim_t)m, (dnnl_dim_t)n, (dnnl_dim_t)k,
                   1.0f, a, (dnnl_dim_t)lda, b, (dnnl_dim_t)ldb, accumulate ? 1.0f : 0.0f, c, (dnnl_dim_t)ldc);
    omp_set_num_threads(threads);
    /* Only for want of scratch memory: the project's own kernel needs none. */
    if (status != dnnl_success)
        bt_matmul_portable(bt_cpu_level())->gemm(kind, m, n, k, a, lda, b, ldb, c, ldc, accumulate);
}

const struct bt_matmul *bt_matmul_onednn(void)
{
    static const struct bt_matmul onednn = {"onednn", gemm, false};
    return &onednn;
}

#else

const struct bt_matmul *bt_matmul_onednn(void)
{
    return NULL;
}

#endif
