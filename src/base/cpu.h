/* base/cpu.h - what this processor can do, and how many of it there are. */
#ifndef BT_BASE_CPU_H
#define BT_BASE_CPU_H

#include <stdbool.h>

/* An upper bound on the instruction set that kernels use; each includes the ones before it. */
enum bt_cpu_level {
    BT_CPU_PORTABLE = 0,
    BT_CPU_AVX2,   /* AVX2 and FMA */
    BT_CPU_AVX512, /* AVX-512 F, BW, DQ, VL */
};

enum bt_cpu_level bt_cpu_level(void);             /* of this machine */
const char *bt_cpu_level_name(enum bt_cpu_level); /* "portable", "avx2", "avx512" */
/* Whether this machine has `level` and, in the vectors of that level, the multiply-adds of VNNI: AVX-VNNI or AVX-512
 * VNNI. One does not include the other. */
bool bt_cpu_vnni(enum bt_cpu_level level);
int bt_cpu_count(void); /* processors this process may run on, at least 1 */

#endif
