/* kernels/panels.h - a matrix that is multiplied with few rows at a time: the float linear layers and the output head
 * of inference.
 *
 *   y (n, out) = x (n, in) w (out, in)^T, each row of y times its output's scale where there are scales
 *
 * Memory decides the speed, so w may be kept in less than 32 bits. It lies in panels of BT_PANEL outputs, side by side
 * for each input, zeros beyond the edge; x stays float32. Sums run over strips of 256 inputs, each in order, strips in
 * order: what a row gives depends neither on the other rows nor on the number of threads. */
#ifndef BT_KERNELS_PANELS_H
#define BT_KERNELS_PANELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cpu.h"

enum bt_panel_format {
    BT_PANEL_F32,
    BT_PANEL_BF16, /* rounded to nearest, ties to even */
    BT_PANEL_INT8, /* codes -127 .. 127 of scale max |w_o| / 127 an output */
};

enum { BT_PANEL = 32 };

struct bt_panels { /* views */
    size_t in, out;
    enum bt_panel_format format;
    const void *panels;
    const float *scales; /* (out) of INT8, else NULL */
};

/* Bytes of the panels, without scales; 0 when they overflow. */
size_t bt_panels_bytes(enum bt_panel_format format, size_t out, size_t in);
/* w (out, in) into `panels`, and `scales` (out) of INT8. */
void bt_panels_pack(void *panels, float *scales, enum bt_panel_format format, const float *w, size_t out, size_t in);
/* Is every one of n values a bfloat16 number? Then BT_PANEL_BF16 changes nothing. */
bool bt_all_bf16(const float *w, size_t n);

void bt_panels_multiply(enum bt_cpu_level level, const struct bt_panels *w, float *y, const float *x, size_t n);

#endif
