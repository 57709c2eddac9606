#include "train/packed.h"

#include <math.h>

void bt_pack_codes(uint8_t *packed, const int8_t *codes, size_t rows, size_t cols)
{
    const size_t quarter = rows / 4 * cols;
    for (size_t i = 0; i < quarter; i++) {
        unsigned byte = 0;
        for (size_t part = 0; part < 4; part++)
            byte |= (unsigned)(codes[part * quarter + i] + 1) << (2 * part);
        packed[i] = (uint8_t)byte;
    }
}

bool bt_unpack_codes(float *codes, const uint8_t *packed, size_t rows, size_t cols, size_t *ret_at)
{
    const size_t quarter = rows / 4 * cols;
    for (size_t i = 0; i < quarter; i++) {
        if (packed[i] & packed[i] >> 1 & 0x55) { /* both bits of a pair: the value 3 */
            *ret_at = i;
            return false;
        }
        for (size_t part = 0; part < 4; part++)
            codes[part * quarter + i] = (float)(packed[i] >> (2 * part) & 3) - 1.0f;
    }
    return true;
}

/* Smallest scale of bt_weight_scale. */
#define SMALLEST_SCALE 1e-5f

static size_t count_nonzero(const float *codes, size_t n)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        count += codes[i] != 0.0f;
    return count;
}

bool bt_ternary_masters(float *codes, size_t n, float scale)
{
    const size_t nonzero = count_nonzero(codes, n);
    const double sum = (double)scale * (double)n, share = sum / (double)nonzero;
    if (!nonzero)
        return true;
    if (!(scale >= SMALLEST_SCALE && share < 3e38))
        return false;
    float low = (float)share;
    if ((double)low > share)
        low = nextafterf(low, 0.0f);
    const float high = nextafterf(low, INFINITY);
    /* How many must be `high` for the sum to be the wanted one: the products are exact in double. */
    size_t rest = (size_t)rint((sum - (double)low * (double)nonzero) / ((double)high - (double)low));
    for (size_t i = 0; i < n; i++) {
        if (codes[i] == 0.0f)
            continue;
        codes[i] = copysignf(rest ? high : low, codes[i]);
        rest -= rest > 0;
    }
    return true;
}
