/* tests/bench/arguments.h - options that several benchmarks have. */
#ifndef BT_BENCH_ARGUMENTS_H
#define BT_BENCH_ARGUMENTS_H

#include "nn/compute.h"
#include "options.h"
#include "report.h"
#include "shapes.h"

#define BENCH_KERNELS "auto|portable|avx2|avx512|onednn"

struct bench_machine {
    const char *kernels; /* of BENCH_KERNELS; NULL: auto */
    uint64_t threads;    /* 0: all processors */
    const char *json;
};

#define BENCH_OPTION_SHAPE(at)                                                                                         \
    {                                                                                                                  \
        "shape", BENCH_SHAPES, BT_OPTION_CHOICE, (at), 0, "of which model (default: smollm2-135m)"                     \
    }
#define BENCH_OPTION_KERNELS(at)                                                                                       \
    {                                                                                                                  \
        "kernels", BENCH_KERNELS, BT_OPTION_CHOICE, (at), 0,                                                           \
            "a bound on instruction sets; onednn: its float32 products (default: auto, what the trainer takes)"        \
    }
#define BENCH_OPTION_THREADS(at)                                                                                       \
    {                                                                                                                  \
        "threads", "N", BT_OPTION_NUMBER, (at), 1, "default: all processors"                                           \
    }
#define BENCH_OPTION_JSON(at)                                                                                          \
    {                                                                                                                  \
        "json", "FILE", BT_OPTION_TEXT, (at), 0, "write the figures there too; \"-\": to stdout, and no table"         \
    }

/* Sets the number of threads and chooses kernels; BT_EUSAGE for operands, or oneDNN where there is none. */
enum bt_err bench_machine_begin(struct bench_machine *machine, const struct bt_command_line *line,
                                struct bt_compute *compute, struct bt_diag *diag);

#endif
