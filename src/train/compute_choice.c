#include "train/compute_choice.h"

#include <string.h>

#include "base/cpu.h"

static enum bt_cpu_level bound_of(enum bt_cfg_kernels kernels)
{
    switch (kernels) {
    case BT_KERNELS_PORTABLE:
        return BT_CPU_PORTABLE;
    case BT_KERNELS_AVX2:
        return BT_CPU_AVX2;
    case BT_KERNELS_AVX512:
    case BT_KERNELS_AUTO:
        break;
    }
    return BT_CPU_AVX512;
}

void bt_compute_choose(const struct bt_train_config *config, struct bt_compute *compute)
{
    const enum bt_cfg_kernels kernels = config->compute.kernels;
    bt_kernels_init(&compute->kernels, bound_of(kernels));
    /* With AVX2 our own products are ahead of oneDNN's (tests/bench/bench_products). */
    const bool library = kernels == BT_KERNELS_AUTO && compute->kernels.level != BT_CPU_AVX2;
    compute->matmul = library ? bt_matmul_onednn() : NULL;
    if (!compute->matmul)
        compute->matmul = bt_matmul_portable(compute->kernels.level);
}

static enum bt_err restore_kernels(const char *name, struct bt_kernels *kernels, struct bt_diag *diag)
{
    for (int level = BT_CPU_PORTABLE; level <= BT_CPU_AVX512; level++) {
        if (strcmp(bt_cpu_level_name((enum bt_cpu_level)level), name))
            continue;
        bt_kernels_init(kernels, (enum bt_cpu_level)level);
        if (kernels->level == (enum bt_cpu_level)level)
            return BT_OK;
        break;
    }
    return bt_fail(diag, BT_EINPUT, "the checkpoint was made with \"%s\" kernels, which this machine does not have",
                   name);
}

enum bt_err bt_compute_restore(const char *kernels, const char *matmul, struct bt_compute *compute,
                               struct bt_diag *diag)
{
    enum bt_err err = restore_kernels(kernels, &compute->kernels, diag);
    if (err)
        return err;
    const struct bt_matmul *candidates[2 + BT_CPU_AVX512] = {bt_matmul_onednn()};
    for (int level = BT_CPU_PORTABLE; level <= BT_CPU_AVX512; level++)
        candidates[1 + level] =
            (enum bt_cpu_level)level <= bt_cpu_level() ? bt_matmul_portable((enum bt_cpu_level)level) : NULL;
    for (size_t i = 0; i < sizeof candidates / sizeof *candidates; i++)
        if (candidates[i] && !strcmp(candidates[i]->name, matmul)) {
            compute->matmul = candidates[i];
            return BT_OK;
        }
    return bt_fail(diag, BT_EINPUT,
                   "the checkpoint was made with \"%s\" matrix products, which this build or machine does not have",
                   matmul);
}
