/* kernels/matmul.c - whole products, and the choice among the project's own implementations. */
#include "kernels/matmul.h"

#include "kernels/instances.h"
#include "kernels/tiles.h"
#include "kernels/variant.h"

const struct bt_matmul *bt_matmul_portable(enum bt_cpu_level level)
{
    static const struct bt_matmul portable[] = {
        [BT_CPU_PORTABLE] = {"portable", bt_gemm_portable, true},
#ifdef BT_HAVE_AVX2
        [BT_CPU_AVX2] = {"portable-avx2", bt_gemm_avx2, true},
#endif
#ifdef BT_HAVE_AVX512
        [BT_CPU_AVX512] = {"portable-avx512", bt_gemm_avx512, true},
#endif
    };
    return &portable[bt_instance_level(level)];
}

struct product {
    const struct bt_matmul *matmul;
    enum bt_product kind;
    size_t m, n, k;
    const float *a, *b;
    float *c;
    bool accumulate;
};

static void run_tile(const void *product, struct bt_tile_place at)
{
    const struct product *p = product;
    const size_t lda = p->kind == BT_TN ? p->m : p->k, ldb = p->kind == BT_NT ? p->k : p->n;
    const float *a = p->a + (p->kind == BT_TN ? at.i : at.i * lda);
    const float *b = p->b + (p->kind == BT_NT ? at.j * ldb : at.j);
    p->matmul->gemm(p->kind, at.height, at.width, p->k, a, lda, b, ldb, p->c + at.i * p->n + at.j, p->n, p->accumulate);
}

void bt_matmul_run(const struct bt_matmul *matmul, enum bt_product kind, size_t m, size_t n, size_t k, const float *a,
                   const float *b, float *c, bool accumulate)
{
    const struct product p = {matmul, kind, m, n, k, a, b, c, accumulate};
    const struct bt_tiles tiles = matmul->free_tiles ? bt_tiles_free(m, n, k) : bt_tiles_fixed(m, n, k);
    bt_tiles_run(&tiles, run_tile, &p);
}
