/* kernels/fill.c - the table of one instance. */
#include "kernels/variant.h"

void BT_FN(kernels_fill)(struct bt_kernels *kernels)
{
#define BT_SET(name) kernels->name = BT_FN(name);
    BT_KERNEL_LIST(BT_SET)
#undef BT_SET
}
