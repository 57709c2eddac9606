/* kernels/panels.c - matrices laid out in panels, and their product cut into tasks. */
#include "kernels/panels.h"

#include <math.h>
#include <string.h>

#include "base/half.h"
#include "base/minmax.h"
#include "kernels/instances.h"
#include "kernels/panels_variant.h"

static size_t width_of(enum bt_panel_format format)
{
    return format == BT_PANEL_F32 ? sizeof(float) : format == BT_PANEL_BF16 ? sizeof(uint16_t) : sizeof(int8_t);
}

static size_t panel_count(size_t out)
{
    return (out + BT_PANEL - 1) / BT_PANEL;
}

size_t bt_panels_bytes(enum bt_panel_format format, size_t out, size_t in)
{
    size_t bytes;
    if (__builtin_mul_overflow(panel_count(out) * BT_PANEL, in, &bytes) ||
        __builtin_mul_overflow(bytes, width_of(format), &bytes))
        return 0;
    return bytes;
}

static float scale_of(const float *w, size_t in)
{
    float most = 0.0f;
    for (size_t i = 0; i < in; i++)
        most = fabsf(w[i]) > most ? fabsf(w[i]) : most;
    return most / 127.0f;
}

/* Output `lane` of a panel. */
static void pack_lane(void *panel, size_t lane, enum bt_panel_format format, const float *w, size_t in, float scale)
{
    for (size_t i = 0; i < in; i++) {
        const size_t at = i * BT_PANEL + lane;
        if (format == BT_PANEL_F32)
            ((float *)panel)[at] = w[i];
        else if (format == BT_PANEL_BF16)
            ((uint16_t *)panel)[at] = bt_bf16_from_f32(w[i]);
        else
            ((int8_t *)panel)[at] = scale > 0.0f ? (int8_t)lrintf(w[i] / scale) : 0;
    }
}

void bt_panels_pack(void *panels, float *scales, enum bt_panel_format format, const float *w, size_t out, size_t in)
{
    const size_t bytes = BT_PANEL * in * width_of(format);
#pragma omp parallel for schedule(static)
    for (size_t p = 0; p < panel_count(out); p++) {
        unsigned char *panel = (unsigned char *)panels + p * bytes;
        memset(panel, 0, bytes);
        for (size_t o = p * BT_PANEL; o < BT_MIN(out, (p + 1) * BT_PANEL); o++) {
            const float scale = format == BT_PANEL_INT8 ? scale_of(w + o * in, in) : 1.0f;
            if (format == BT_PANEL_INT8)
                scales[o] = scale;
            pack_lane(panel, o % BT_PANEL, format, w + o * in, in, scale);
        }
    }
}

bool bt_all_bf16(const float *w, size_t n)
{
    uint32_t low = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, w + i, sizeof bits);
        low |= bits & 0xffffu;
    }
    return low == 0;
}

/* Products of fewer weights are not worth a team of threads. */
#define ALONE ((size_t)1 << 15)

/* A task is one panel with so many rows. */
enum { TASK_ROWS = 32 };

static void run_task(bt_panel_rows_fn *rows_of, const struct bt_panels *w, size_t p, float *y, const float *x, size_t n)
{
    float all[TASK_ROWS * BT_PANEL];
    const unsigned char *panel = (const unsigned char *)w->panels + p * BT_PANEL * w->in * width_of(w->format);
    const size_t o = p * BT_PANEL, lanes = BT_MIN((size_t)BT_PANEL, w->out - o);
    rows_of(all, BT_PANEL, w->format, panel, x, w->in, n);
    for (size_t r = 0; r < n; r++)
        for (size_t l = 0; l < lanes; l++) {
            const float sum = all[r * BT_PANEL + l];
            y[r * w->out + o + l] = w->scales ? sum * w->scales[o + l] : sum;
        }
}

void bt_panels_multiply(enum bt_cpu_level level, const struct bt_panels *w, float *y, const float *x, size_t n)
{
    static bt_panel_rows_fn *const instances[] = BT_INSTANCES(panel_rows);
    bt_panel_rows_fn *rows_of = instances[bt_instance_level(level)];
    const size_t down = (n + TASK_ROWS - 1) / TASK_ROWS, across = panel_count(w->out);
#pragma omp parallel for schedule(dynamic) if (n * w->out * w->in > ALONE)
    for (size_t task = 0; task < down * across; task++) {
        const size_t row = task / across * TASK_ROWS;
        run_task(rows_of, w, task % across, y + row * w->out, x + row * w->in, BT_MIN((size_t)TASK_ROWS, n - row));
    }
}
