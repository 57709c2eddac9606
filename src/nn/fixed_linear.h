/* nn/fixed_linear.h - the weights of a linear layer that no longer change, in the form that inference wants. */
#ifndef BT_NN_FIXED_LINEAR_H
#define BT_NN_FIXED_LINEAR_H

#include "kernels/panels.h"
#include "kernels/ternary.h"

struct bt_fixed_linear {       /* views */
    struct bt_ternary ternary; /* ternary weights that meet int8 codes; packed is NULL when the layer has panels */
    struct bt_panels panels;   /* all others: the effective weights at the lambda of the engine */
};

#endif
