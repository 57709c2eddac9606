/* kernels/codes.c - products of codes cut into tiles, and the choice of an implementation. */
#include "kernels/codes.h"

#include "kernels/tiles.h"
#include "kernels/variant.h"

static const struct bt_codes implementations[] = {
    [BT_CPU_PORTABLE] = {"int8-portable", bt_codes_forward_portable, bt_codes_gradient_portable},
#ifdef BT_HAVE_AVX2
    [BT_CPU_AVX2] = {"int8-avx2", bt_codes_forward_avx2, bt_codes_gradient_avx2},
#endif
#ifdef BT_HAVE_AVX512
    [BT_CPU_AVX512] = {"int8-avx512", bt_codes_forward_avx512, bt_codes_gradient_avx512},
#endif
};

const struct bt_codes *bt_codes_for(enum bt_cpu_level level)
{
    const enum bt_cpu_level machine = bt_cpu_level();
    size_t at = (size_t)BT_MIN(level, machine);
    while (at > 0 && (at >= sizeof implementations / sizeof *implementations || !implementations[at].forward))
        at--;
    return &implementations[at];
}

void bt_codes_forward(const struct bt_codes *codes, const struct bt_codes_product *p)
{
    if (p->m == 0 || p->n == 0)
        return;
    const struct bt_tiles tiles = bt_tiles_free(p->m, p->n, p->k);
#pragma omp parallel for schedule(dynamic) if (tiles.count > 1)
    for (size_t t = 0; t < tiles.count; t++) {
        const struct bt_tile_place at = bt_tile_place(&tiles, t);
        codes->forward(p, at.i, at.j, at.height, at.width);
    }
}

void bt_codes_gradient(const struct bt_codes *codes, const struct bt_gradient_product *p)
{
    if (p->m == 0 || p->n == 0)
        return;
    const struct bt_tiles tiles = bt_tiles_free(p->m, p->n, p->k);
#pragma omp parallel for schedule(dynamic) if (tiles.count > 1)
    for (size_t t = 0; t < tiles.count; t++) {
        const struct bt_tile_place at = bt_tile_place(&tiles, t);
        codes->gradient(p, at.i, at.j, at.height, at.width);
    }
}
