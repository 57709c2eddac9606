#include "arguments.h"

#include <omp.h>
#include <string.h>

static enum bt_err choose(const char *kernels, struct bt_compute *compute, struct bt_diag *diag)
{
    if (!kernels || !strcmp(kernels, "auto")) {
        bt_compute_auto(compute);
        return BT_OK;
    }
    if (!strcmp(kernels, "onednn")) {
        if (!bt_matmul_onednn())
            return bt_fail(diag, BT_EUSAGE, "--kernels onednn: this build is without it");
        bt_compute_auto(compute);
        compute->matmul = bt_matmul_onednn();
        return BT_OK;
    }
    for (int level = BT_CPU_PORTABLE; level <= BT_CPU_AVX512; level++)
        if (!strcmp(kernels, bt_cpu_level_name((enum bt_cpu_level)level)))
            bt_compute_init(compute, (enum bt_cpu_level)level);
    return BT_OK;
}

enum bt_err bench_machine_begin(struct bench_machine *machine, const struct bt_command_line *line,
                                struct bt_compute *compute, struct bt_diag *diag)
{
    if (line->operand_count)
        return bt_fail(diag, BT_EUSAGE, "there is no use for the argument \"%s\"", line->operands[0]);
    if (!machine->threads)
        machine->threads = (uint64_t)bt_cpu_count();
    if (machine->threads > 256)
        return bt_fail(diag, BT_EUSAGE, "--threads: the most is 256");
    omp_set_num_threads((int)machine->threads);
    return choose(machine->kernels, compute, diag);
}
