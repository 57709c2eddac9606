/* kernels/codes.c - products of codes cut into tiles, and the choice of an implementation. */
#include "kernels/codes.h"

#include "kernels/instances.h"
#include "kernels/tiles.h"
#include "kernels/variant.h"

const struct bt_codes *bt_codes_for(enum bt_cpu_level level)
{
    static const struct bt_codes implementations[] = {
        [BT_CPU_PORTABLE] = {"int8-portable", bt_codes_forward_portable, bt_codes_gradient_portable},
#ifdef BT_HAVE_AVX2
        [BT_CPU_AVX2] = {"int8-avx2", bt_codes_forward_avx2, bt_codes_gradient_avx2},
#endif
#ifdef BT_HAVE_AVX512
        [BT_CPU_AVX512] = {"int8-avx512", bt_codes_forward_avx512, bt_codes_gradient_avx512},
#endif
    };
    return &implementations[bt_instance_level(level)];
}

const struct bt_codes *bt_codes_vnni(enum bt_cpu_level level)
{
    static const struct bt_codes implementations[BT_CPU_AVX512 + 1] = {
        [BT_CPU_PORTABLE] = {.name = NULL},
#ifdef BT_HAVE_AVX2_VNNI
        [BT_CPU_AVX2] = {"int8-avx2-vnni", bt_codes_forward_avx2_vnni, bt_codes_gradient_avx2_vnni},
#endif
#ifdef BT_HAVE_AVX512_VNNI
        [BT_CPU_AVX512] = {"int8-avx512-vnni", bt_codes_forward_avx512_vnni, bt_codes_gradient_avx512_vnni},
#endif
    };
    return implementations[level].name && bt_cpu_vnni(level) ? &implementations[level] : NULL;
}

struct forward {
    bt_codes_tile_fn *tile;
    const struct bt_codes_product *product;
};

static void forward_tile(const void *work, struct bt_tile_place at)
{
    const struct forward *forward = work;
    forward->tile(forward->product, at.i, at.j, at.height, at.width);
}

void bt_codes_forward(const struct bt_codes *codes, const struct bt_codes_product *p)
{
    const struct bt_tiles tiles = bt_tiles_free(p->m, p->n, p->k);
    bt_tiles_run(&tiles, forward_tile, &(const struct forward){codes->forward, p});
}

struct gradient {
    bt_gradient_tile_fn *tile;
    const struct bt_gradient_product *product;
};

static void gradient_tile(const void *work, struct bt_tile_place at)
{
    const struct gradient *gradient = work;
    gradient->tile(gradient->product, at.i, at.j, at.height, at.width);
}

void bt_codes_gradient(const struct bt_codes *codes, const struct bt_gradient_product *p)
{
    const struct bt_tiles tiles = bt_tiles_free(p->m, p->n, p->k);
    bt_tiles_run(&tiles, gradient_tile, &(const struct gradient){codes->gradient, p});
}
