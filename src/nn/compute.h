/* nn/compute.h - which kernels and which matrix products a model runs on. */
#ifndef BT_NN_COMPUTE_H
#define BT_NN_COMPUTE_H

#include "kernels/codes.h"
#include "kernels/kernels.h"
#include "kernels/matmul.h"

struct bt_compute {
    struct bt_kernels kernels;
    const struct bt_matmul *matmul;
    const struct bt_codes *codes;
    bool int8_forward;   /* forward products at lambda = 1 by `codes`; else on the codes as floats: the same bits */
    bool int16_gradient; /* backward products at lambda = 1 by `codes`, the gradient as int16 */
};

/* At most `level`, all of it our own code; products of codes where the machine has instructions for them, of which VNNI
 * is not part of a level. */
void bt_compute_init(struct bt_compute *compute, enum bt_cpu_level level);
/* The fastest of what the machine and the build have, by a fixed rule: VNNI where it is there; oneDNN's float32
 * products only without AVX2, for with it our own are ahead (tests/bench/bench_products). */
void bt_compute_auto(struct bt_compute *compute);

#endif
