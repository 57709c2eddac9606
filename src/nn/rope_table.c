#include "nn/rope_table.h"

#include <math.h>

static const double two_pi = 6.283185307179586476925;

/* Long wavelengths are divided by the factor, short ones kept, those between blended linearly in original / wavelength.
 */
static double llama3_frequency(const struct bt_rope *rope, double frequency)
{
    const double wavelength = two_pi / frequency, original = rope->original_max_position;
    if (wavelength > original / rope->low_freq_factor)
        return frequency / rope->factor;
    if (wavelength < original / rope->high_freq_factor)
        return frequency;
    const double smooth =
        (original / wavelength - rope->low_freq_factor) / (rope->high_freq_factor - rope->low_freq_factor);
    return (1.0 - smooth) * frequency / rope->factor + smooth * frequency;
}

double bt_rope_frequency(const struct bt_rope *rope, size_t j, size_t head_dim)
{
    const double frequency = pow(rope->theta, -2.0 * (double)j / (double)head_dim);
    switch (rope->scaling) {
    case BT_ROPE_SCALING_LINEAR:
        return frequency / rope->factor;
    case BT_ROPE_SCALING_LLAMA3:
        return llama3_frequency(rope, frequency);
    case BT_ROPE_SCALING_NONE:
        break;
    }
    return frequency;
}

void bt_rope_table(float *cosine, float *sine, size_t positions, size_t head_dim, const struct bt_rope *rope)
{
    const size_t half = head_dim / 2;
    for (size_t j = 0; j < half; j++) {
        const double frequency = bt_rope_frequency(rope, j, head_dim);
        for (size_t p = 0; p < positions; p++) {
            const double angle = (double)p * frequency;
            cosine[p * half + j] = (float)cos(angle);
            sine[p * half + j] = (float)sin(angle);
        }
    }
}
