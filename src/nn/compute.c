#include "nn/compute.h"

void bt_compute_init(struct bt_compute *compute, enum bt_cpu_level level)
{
    *compute = (struct bt_compute){.matmul = NULL};
    bt_kernels_init(&compute->kernels, level);
    compute->matmul = bt_matmul_portable(compute->kernels.level);
    compute->codes = bt_codes_for(compute->kernels.level);
    compute->int8_forward = compute->kernels.level >= BT_CPU_AVX2;
}

void bt_compute_auto(struct bt_compute *compute)
{
    bt_compute_init(compute, BT_CPU_AVX512);
    if (bt_codes_vnni(compute->kernels.level))
        compute->codes = bt_codes_vnni(compute->kernels.level);
    if (compute->kernels.level < BT_CPU_AVX2 && bt_matmul_onednn())
        compute->matmul = bt_matmul_onednn();
}
