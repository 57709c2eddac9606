#include "kernels/code_counts.h"

#include <math.h>

#include "base/minmax.h"

/* Elements to a piece of work: whole bytes of packed codes, and few enough to count in 32 bits. */
enum { PIECE = 16384 };

size_t bt_packed_codes_bytes(size_t n)
{
    return n / 4 + (n % 4 != 0);
}

/* The byte of up to four codes. */
static unsigned packed_byte(const int8_t *t, size_t n)
{
    unsigned byte = 0;
    for (size_t i = 0; i < n; i++)
        byte |= (unsigned)(t[i] + 1) << (2 * i);
    return byte;
}

void bt_packed_codes_make(uint8_t *packed, const int8_t *t, size_t n)
{
#pragma omp parallel for schedule(static) if (n > PIECE)
    for (size_t i = 0; i < n; i += 4)
        packed[i / 4] = (uint8_t)packed_byte(t + i, BT_MIN((size_t)4, n - i));
}

bool bt_packed_codes_valid(const uint8_t *packed, size_t n)
{
    for (size_t b = 0; b < bt_packed_codes_bytes(n); b++)
        if (packed[b] & (packed[b] >> 1) & 0x55)
            return false;
    return n % 4 == 0 || packed[n / 4] >> (2 * (n % 4)) == 0;
}

/* Code by code, up to the last that differs: most bytes are what they were. */
static void compare_byte(struct bt_code_counts *counts, unsigned byte, unsigned before)
{
    for (; byte != before; byte >>= 2, before >>= 2) {
        const int moved = (int)(byte & 3) - (int)(before & 3);
        counts->flipped += moved != 0;
        counts->sign_changed += moved == 2 || moved == -2;
    }
}

static struct bt_code_counts compare_piece(const int8_t *t, const uint8_t *packed, size_t n)
{
    struct bt_code_counts counts = {0};
    uint32_t minus = 0, plus = 0;
#pragma omp simd reduction(+ : minus, plus)
    for (size_t i = 0; i < n; i++) {
        minus += t[i] < 0;
        plus += t[i] > 0;
    }
    for (size_t i = 0; i < n; i += 4)
        compare_byte(&counts, packed_byte(t + i, BT_MIN((size_t)4, n - i)), packed[i / 4]);
    counts.minus = minus;
    counts.plus = plus;
    counts.zero = n - minus - plus;
    return counts;
}

void bt_codes_compare(struct bt_code_counts *counts, const int8_t *t, const uint8_t *packed, size_t n)
{
    uint64_t minus = 0, zero = 0, plus = 0, flipped = 0, sign_changed = 0;
#pragma omp parallel for schedule(static) reduction(+ : minus, zero, plus, flipped, sign_changed)
    for (size_t i = 0; i < n; i += PIECE) {
        const struct bt_code_counts piece = compare_piece(t + i, packed + i / 4, BT_MIN((size_t)PIECE, n - i));
        minus += piece.minus;
        zero += piece.zero;
        plus += piece.plus;
        flipped += piece.flipped;
        sign_changed += piece.sign_changed;
    }
    *counts = (struct bt_code_counts){minus, zero, plus, flipped, sign_changed};
}

uint64_t bt_weights_near_boundary(const float *w, size_t n, float s, float margin)
{
    const float inverse = 1.0f / s;
    uint64_t near = 0;
#pragma omp parallel for schedule(static) reduction(+ : near)
    for (size_t at = 0; at < n; at += PIECE) {
        const size_t end = at + BT_MIN((size_t)PIECE, n - at);
        uint32_t count = 0;
#pragma omp simd reduction(+ : count)
        for (size_t i = at; i < end; i++)
            count += fabsf(fabsf(w[i] * inverse) - 0.5f) < margin;
        near += count;
    }
    return near;
}

uint64_t bt_codes_at_ends(const int8_t *codes, size_t n)
{
    uint64_t ends = 0;
#pragma omp parallel for schedule(static) reduction(+ : ends) if (n > PIECE)
    for (size_t at = 0; at < n; at += PIECE) {
        const size_t end = at + BT_MIN((size_t)PIECE, n - at);
        uint32_t count = 0;
#pragma omp simd reduction(+ : count)
        for (size_t i = at; i < end; i++)
            count += codes[i] >= 127 || codes[i] <= -127;
        ends += count;
    }
    return ends;
}
