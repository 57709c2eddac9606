#include "train/compute_choice.h"

#include <stdio.h>
#include <string.h>

#include "base/cpu.h"

#define FLOAT32 "float32" /* in a checkpoint: not on integers */

static enum bt_cpu_level bound_of(enum bt_cfg_kernels kernels)
{
    switch (kernels) {
    case BT_KERNELS_PORTABLE:
        return BT_CPU_PORTABLE;
    case BT_KERNELS_AVX2:
        return BT_CPU_AVX2;
    case BT_KERNELS_AVX512:
    case BT_KERNELS_ONEDNN:
    case BT_KERNELS_AUTO:
        break;
    }
    return BT_CPU_AVX512;
}

static void choose_codes(const struct bt_train_config *config, struct bt_compute *compute)
{
    const enum bt_cfg_matmul matmul = config->compute.matmul;
    compute->int16_gradient = config->compute.gradient == BT_GRADIENT_INT16;
    if (matmul != BT_MATMUL_AUTO)
        compute->int8_forward = matmul == BT_MATMUL_INT8;
}

enum bt_err bt_compute_choose(const struct bt_train_config *config, struct bt_compute *compute, struct bt_diag *diag)
{
    const enum bt_cfg_kernels kernels = config->compute.kernels;
    if (kernels == BT_KERNELS_ONEDNN && !bt_matmul_onednn())
        return bt_fail(diag, BT_EUSAGE,
                       "compute.kernels: \"onednn\" is asked for, and this program was built without it");
    if (kernels == BT_KERNELS_AUTO || kernels == BT_KERNELS_ONEDNN)
        bt_compute_auto(compute);
    else
        bt_compute_init(compute, bound_of(kernels));
    if (kernels == BT_KERNELS_ONEDNN)
        compute->matmul = bt_matmul_onednn();
    choose_codes(config, compute);
    return BT_OK;
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

static enum bt_err restore_matmul(const char *name, struct bt_compute *compute, struct bt_diag *diag)
{
    const struct bt_matmul *candidates[2 + BT_CPU_AVX512] = {bt_matmul_onednn()};
    for (int level = BT_CPU_PORTABLE; level <= BT_CPU_AVX512; level++)
        candidates[1 + level] =
            (enum bt_cpu_level)level <= bt_cpu_level() ? bt_matmul_portable((enum bt_cpu_level)level) : NULL;
    for (size_t i = 0; i < sizeof candidates / sizeof *candidates; i++)
        if (candidates[i] && !strcmp(candidates[i]->name, name)) {
            compute->matmul = candidates[i];
            return BT_OK;
        }
    return bt_fail(diag, BT_EINPUT,
                   "the checkpoint was made with \"%s\" matrix products, which this build or machine does not have",
                   name);
}

/* VNNI or not: the bits are the same, and so the machine decides unless the checkpoint says that it was kept out. */
static void restore_codes(const struct bt_train_state *state, struct bt_compute *compute)
{
    const struct bt_codes *plain = bt_codes_for(compute->kernels.level), *vnni = bt_codes_vnni(compute->kernels.level);
    compute->codes = vnni && strcmp(state->codes, plain->name) ? vnni : plain;
    compute->int8_forward = strcmp(state->codes, FLOAT32) != 0;
    compute->int16_gradient = strcmp(state->gradient, FLOAT32) != 0;
}

enum bt_err bt_compute_restore(const struct bt_train_state *state, struct bt_compute *compute, struct bt_diag *diag)
{
    enum bt_err err = restore_kernels(state->kernels, &compute->kernels, diag);
    if (!err)
        err = restore_matmul(state->matmul, compute, diag);
    if (!err)
        restore_codes(state, compute);
    return err;
}

void bt_compute_record(const struct bt_compute *compute, struct bt_train_state *state)
{
    snprintf(state->kernels, sizeof state->kernels, "%s", bt_cpu_level_name(compute->kernels.level));
    snprintf(state->matmul, sizeof state->matmul, "%s", compute->matmul->name);
    snprintf(state->codes, sizeof state->codes, "%s", compute->int8_forward ? compute->codes->name : FLOAT32);
    snprintf(state->gradient, sizeof state->gradient, "%s", compute->int16_gradient ? "int16" : FLOAT32);
}
