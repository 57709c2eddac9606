/* kernels/kernels.c - the table of functions for a machine and a bound. */
#include "kernels/variant.h"

void bt_kernels_init(struct bt_kernels *kernels, enum bt_cpu_level level)
{
    const enum bt_cpu_level machine = bt_cpu_level();
    const enum bt_cpu_level bound = BT_MIN(level, machine);
    bt_kernels_fill_portable(kernels);
    kernels->level = BT_CPU_PORTABLE;
#ifdef BT_HAVE_AVX2
    if (bound >= BT_CPU_AVX2) {
        bt_kernels_fill_avx2(kernels);
        kernels->level = BT_CPU_AVX2;
    }
#endif
#ifdef BT_HAVE_AVX512
    if (bound >= BT_CPU_AVX512) {
        bt_kernels_fill_avx512(kernels);
        kernels->level = BT_CPU_AVX512;
    }
#endif
    (void)bound;
}
