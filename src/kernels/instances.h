/* kernels/instances.h - the choice among the instances of a source that is compiled once per instruction set. For the
 * files that are told which ones the build has (BT_HAVE_...): a compiler that knows a level knows those below it.
 * Private to this folder. */
#ifndef BT_KERNELS_INSTANCES_H
#define BT_KERNELS_INSTANCES_H

#include "base/cpu.h"

/* All instances of a function, in the order of enum bt_cpu_level: the initializer of a table. */
#if defined(BT_HAVE_AVX512)
#define BT_INSTANCES(name)                                                                                             \
    {                                                                                                                  \
        bt_##name##_portable, bt_##name##_avx2, bt_##name##_avx512                                                     \
    }
#elif defined(BT_HAVE_AVX2)
#define BT_INSTANCES(name)                                                                                             \
    {                                                                                                                  \
        bt_##name##_portable, bt_##name##_avx2                                                                         \
    }
#else
#define BT_INSTANCES(name)                                                                                             \
    {                                                                                                                  \
        bt_##name##_portable                                                                                           \
    }
#endif

/* The highest level of at most `wish` that this build has instances for and this machine can run. */
enum bt_cpu_level bt_instance_level(enum bt_cpu_level wish);

#endif
