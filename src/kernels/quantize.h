/* kernels/quantize.h - ternary weight codes and int8 activation codes, exactly as docs/numerics.md section 1 writes
 * them (the BitNet b1.58 formulas). Bit-exact: compiled without contraction, the same results on every instruction set
 * and for any number of threads. round is to nearest, ties to even.
 *
 *   weights      s = max(mean |w|, 1e-5)   t = clamp(round(w * (1 / s)), -1, 1)            wq = t * s
 *   activations  a = max(max |x_r|, 1e-5)  c = clamp(round(x * (127 / a)), -128, 127)      xq = c * (a / 127)
 */
#ifndef BT_KERNELS_QUANTIZE_H
#define BT_KERNELS_QUANTIZE_H

#include <stddef.h>
#include <stdint.h>

/* The scale s of a whole weight tensor: blocks of 4096 summed in double, blocks added in order, rounded once to float.
 * A NaN anywhere gives a NaN. */
float bt_weight_scale(const float *w, size_t n);
void bt_weight_codes(int8_t *t, const float *w, size_t n, float s);
/* out = t as float; out = t * s; out = w + lambda (t s - w). */
void bt_weight_codes_float(float *out, const int8_t *t, size_t n);
void bt_weight_dequantize(float *out, const int8_t *t, size_t n, float s);
void bt_weight_mix(float *out, const float *w, const int8_t *t, size_t n, float s, float lambda);

/* x (rows, d) -> codes (rows, d) and a (rows). A row with a NaN or infinity has a non-finite a and codes of 0. */
void bt_activation_codes(int8_t *codes, float *a, const float *x, size_t rows, size_t d);
void bt_activation_codes_float(float *out, const int8_t *codes, size_t n);
void bt_activation_dequantize(float *out, const int8_t *codes, const float *a, size_t rows, size_t d);
/* out = x + lambda (xq - x); out may be x. */
void bt_activation_mix(float *out, const float *x, const int8_t *codes, const float *a, size_t rows, size_t d,
                       float lambda);

/* Finishes the exact product in place: y (rows, out) = y * ((a_r / 127) * s) + bias; bias (out) may be NULL. */
void bt_codes_finish(float *y, const float *a, float s, const float *bias, size_t rows, size_t out);
/* The same on one thread, for a part of y whose rows lie ld apart. */
void bt_codes_finish_part(float *y, size_t ld, const float *a, float s, const float *bias, size_t rows, size_t out);

#endif
