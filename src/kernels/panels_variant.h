/* kernels/panels_variant.h - the instances of the product with a panel. Private to this folder. */
#ifndef BT_KERNELS_PANELS_VARIANT_H
#define BT_KERNELS_PANELS_VARIANT_H

#include "kernels/panels.h"

/* y (n, BT_PANEL), rows ldy apart, = x (n, in) with one panel. Single-threaded. */
typedef void bt_panel_rows_fn(float *y, size_t ldy, enum bt_panel_format format, const void *panel, const float *x,
                              size_t in, size_t n);
bt_panel_rows_fn bt_panel_rows_portable, bt_panel_rows_avx2, bt_panel_rows_avx512;

#endif
