/* kernels/matmul.c - a product cut into tiles, and the choice of the project's own implementations. */
#include "kernels/matmul.h"

#include <omp.h>

#include "kernels/variant.h"

static const struct bt_matmul portable[] = {
    [BT_CPU_PORTABLE] = {"portable", bt_gemm_portable, true},
#ifdef BT_HAVE_AVX2
    [BT_CPU_AVX2] = {"portable-avx2", bt_gemm_avx2, true},
#endif
#ifdef BT_HAVE_AVX512
    [BT_CPU_AVX512] = {"portable-avx512", bt_gemm_avx512, true},
#endif
};

const struct bt_matmul *bt_matmul_portable(enum bt_cpu_level level)
{
    const enum bt_cpu_level machine = bt_cpu_level();
    size_t at = (size_t)BT_MIN(level, machine);
    while (at > 0 && (at >= sizeof portable / sizeof *portable || !portable[at].gemm))
        at--;
    return &portable[at];
}

/* Products below this many multiplications run as they are: a parallel region would cost more than it saves. */
#define ONE_TILE ((size_t)1 << 18)

/* Where tiles must depend on the shape alone: at most this long on a side, enough for a library to run at speed ... */
#define LONGEST 384
/* ... and enough of them to keep many threads busy to the end, ... */
#define MANY_TILES 32
/* ... but a side is not cut into pieces shorter than this. */
#define SHORTEST 32

/* Where tiles are free: so many a thread that none waits long for the last one. */
#define TILES_A_THREAD 4
/* Pieces are a multiple of this, but for the last: the rows and lanes of register tiles. */
#define GRAIN 48

/* The length of the pieces that a side is cut into: `parts` nearly equal ones. */
static size_t piece(size_t side, size_t parts, size_t grain)
{
    const size_t length = (side + parts - 1) / parts;
    return (length + grain - 1) / grain * grain;
}

struct cut {
    size_t height, width; /* of a tile */
};

static struct cut cut_product(const struct bt_matmul *matmul, size_t m, size_t n, size_t k)
{
    const size_t grain = matmul->free_tiles ? GRAIN : 16;
    const size_t enough = matmul->free_tiles ? TILES_A_THREAD * (size_t)omp_get_max_threads() : MANY_TILES;
    const size_t longest = matmul->free_tiles ? SIZE_MAX / 2 : LONGEST;
    size_t down = 1 + (m - 1) / longest, across = 1 + (n - 1) / longest;
    while (down * across < enough) {
        const size_t height = piece(m, down, grain), width = piece(n, across, grain);
        const bool cut_rows = height >= width;
        if ((cut_rows ? height : width) < 2 * SHORTEST || height * width * k < 2 * ONE_TILE)
            break;
        if (cut_rows)
            down++;
        else
            across++;
    }
    return (struct cut){piece(m, down, grain), piece(n, across, grain)};
}

struct product {
    const struct bt_matmul *matmul;
    enum bt_product kind;
    size_t m, n, k;
    const float *a, *b;
    float *c;
    bool accumulate;
};

/* The part of c whose first element is (i, j). */
static void run_tile(const struct product *p, size_t i, size_t j, size_t height, size_t width)
{
    const size_t lda = p->kind == BT_TN ? p->m : p->k, ldb = p->kind == BT_NT ? p->k : p->n;
    const float *a = p->a + (p->kind == BT_TN ? i : i * lda);
    const float *b = p->b + (p->kind == BT_NT ? j * ldb : j);
    p->matmul->gemm(p->kind, BT_MIN(height, p->m - i), BT_MIN(width, p->n - j), p->k, a, lda, b, ldb,
                    p->c + i * p->n + j, p->n, p->accumulate);
}

void bt_matmul_run(const struct bt_matmul *matmul, enum bt_product kind, size_t m, size_t n, size_t k, const float *a,
                   const float *b, float *c, bool accumulate)
{
    if (m == 0 || n == 0)
        return;
    const struct product p = {matmul, kind, m, n, k, a, b, c, accumulate};
    const struct cut cut = cut_product(matmul, m, n, k);
    const size_t down = (m + cut.height - 1) / cut.height, across = (n + cut.width - 1) / cut.width;
    if (down * across == 1) {
        run_tile(&p, 0, 0, m, n);
        return;
    }
#pragma omp parallel for schedule(dynamic)
    for (size_t t = 0; t < down * across; t++)
        run_tile(&p, t / across * cut.height, t % across * cut.width, cut.height, cut.width);
}
