/* train/second_norm.h - one RMSNorm as two of them, one after the other.
 *
 * quantization_config.use_rms_norm puts a norm in front of every ternary layer, also where the model's class has one
 * already. The first, with the gain G in every channel, gives G u, where u = x / sqrt(mean(x^2) + eps) has a mean
 * square m of at most 1. The second, with the gains h, gives h G u / sqrt(G^2 m + eps). When G^2 is small beside eps
 * that is h u G / sqrt(G^2 + eps), whatever m is: the one norm of gains h / c, with c = sqrt(G^2 + eps) / G. (With G =
 * 1 it would not be: m moves away from 1 where the inputs are so small that eps matters.) The relative error is at most
 * G^2 / (2 eps). */
#ifndef BT_TRAIN_SECOND_NORM_H
#define BT_TRAIN_SECOND_NORM_H

#include <stdbool.h>

/* G: a power of two with G^2 <= eps * 2^-20, so an error of at most 5e-7. */
float bt_second_norm_first_gain(double eps);
/* c of a first norm with this gain; false when G^2 > eps * 2^-18: such a pair is no single norm. */
bool bt_second_norm_factor(double eps, float first_gain, double *ret_factor);

#endif
