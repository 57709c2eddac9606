#include "train/second_norm.h"

#include <math.h>

float bt_second_norm_first_gain(double eps)
{
    return (float)ldexp(1.0, (int)floor(log2(eps) / 2.0) - 10);
}

bool bt_second_norm_factor(double eps, float first_gain, double *ret_factor)
{
    const double square = (double)first_gain * (double)first_gain;
    if (!(first_gain > 0.0f && square <= ldexp(eps, -18)))
        return false;
    *ret_factor = (double)first_gain / sqrt(square + eps);
    return true;
}
