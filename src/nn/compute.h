/* nn/compute.h - which kernels and which matrix product a model runs on. */
#ifndef BT_NN_COMPUTE_H
#define BT_NN_COMPUTE_H

#include "kernels/kernels.h"
#include "kernels/matmul.h"

struct bt_compute {
    struct bt_kernels kernels;
    const struct bt_matmul *matmul;
};

#endif
