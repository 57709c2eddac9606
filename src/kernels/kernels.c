/* kernels/kernels.c - the instances for a machine and a bound. */
#include "base/minmax.h"
#include "kernels/instances.h"
#include "kernels/variant.h"

enum bt_cpu_level bt_instance_level(enum bt_cpu_level wish)
{
#if defined(BT_HAVE_AVX512)
    const enum bt_cpu_level built = BT_CPU_AVX512;
#elif defined(BT_HAVE_AVX2)
    const enum bt_cpu_level built = BT_CPU_AVX2;
#else
    const enum bt_cpu_level built = BT_CPU_PORTABLE;
#endif
    const enum bt_cpu_level machine = bt_cpu_level(), able = BT_MIN(machine, built);
    return BT_MIN(wish, able);
}

void bt_kernels_init(struct bt_kernels *kernels, enum bt_cpu_level level)
{
    static void (*const fill[])(struct bt_kernels *) = BT_INSTANCES(kernels_fill);
    kernels->level = bt_instance_level(level);
    fill[kernels->level](kernels);
}
