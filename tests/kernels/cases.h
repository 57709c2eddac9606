/* Every kernel on ragged shapes, in a form that float and double instances share: a list of outputs as doubles, each
 * with how far a float computation may be from the true value. */
#ifndef BT_TESTS_KERNELS_CASES_H
#define BT_TESTS_KERNELS_CASES_H

#include <stddef.h>

#include "base/cpu.h"

struct outcome {
    const char *kernel;
    double value, tolerance;
};

struct outcomes {
    struct outcome *at;
    size_t count;
};

/* The outcomes of the float kernels of a level, and of the double instance (which takes no level). */
struct outcomes cases_float(enum bt_cpu_level level);
struct outcomes cases_double(enum bt_cpu_level level);

#endif
